/* The historical class byte, in a legal place: the last byte of the stride before the block, so that blocks stay aligned
 * to 16 bytes. Requests grow by one byte to leave room for the successor's. The high bit tells a header from zero. */
#ifndef HAK_HEADER_H
#define HAK_HEADER_H

#include "classes.h"

#define HAK_HEADER_MAGIC 0x80u
#define HAK_HEADER_CLASS 0x7Fu

_Static_assert(HAK_CLASSES <= HAK_HEADER_CLASS, "a class fits beside the magic bit");

static inline void hak_header_write(char *block, unsigned cls) {
    __atomic_store_n((uint8_t *)block - 1, (uint8_t)(HAK_HEADER_MAGIC | cls), __ATOMIC_RELAXED);
}

/* The class, or 0 when there is no header. */
static inline unsigned hak_header_read(const void *ptr) {
    const unsigned byte = __atomic_load_n((const uint8_t *)ptr - 1, __ATOMIC_RELAXED);
    return byte & HAK_HEADER_MAGIC ? byte & HAK_HEADER_CLASS : 0;
}

#endif
