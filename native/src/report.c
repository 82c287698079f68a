#include "report.h"

#include "os.h"

#define HAK_REPORT_MOST 20u

void hak_text_put(hak_text_t *text, const char *string) {
    while (*string != '\0' && text->length < text->room) text->text[text->length++] = *string++;
}

static void hak_text_number(hak_text_t *text, uint64_t value, unsigned base) {
    char digits[21];
    char *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    hak_text_put(text, at);
}

void hak_text_decimal(hak_text_t *text, uint64_t value) { hak_text_number(text, value, 10); }

void hak_text_hex(hak_text_t *text, uint64_t value) {
    hak_text_put(text, "0x");
    hak_text_number(text, value, 16);
}

void hak_report(const char *what, const void *ptr) {
    static uint32_t reports;
    if (__atomic_fetch_add(&reports, 1, __ATOMIC_RELAXED) >= HAK_REPORT_MOST) return;
    char line[160];
    hak_text_t text = {.text = line, .room = sizeof line};
    hak_text_put(&text, "[hakmem] ");
    hak_text_put(&text, what);
    hak_text_put(&text, " ");
    hak_text_hex(&text, (uintptr_t)ptr);
    hak_text_put(&text, "\n");
    hak_os_message(line, text.length);
}
