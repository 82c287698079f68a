/* Misuse of the allocator: said on stderr, a few times, and otherwise ignored. */
#ifndef HAK_REPORT_H
#define HAK_REPORT_H

#include "base.h"

/* "[hakmem] <what> 0x<ptr>" */
void hak_report(const char *what, const void *ptr);

/* Text assembled in a fixed buffer: no allocation, async-signal-safe, cut when full. */
typedef struct {
    char *text;
    size_t length, room;
} hak_text_t;

void hak_text_put(hak_text_t *text, const char *string);
void hak_text_decimal(hak_text_t *text, uint64_t value);
void hak_text_hex(hak_text_t *text, uint64_t value);

#endif
