/* The historical 16 bytes in front of what does not come from a slab (HAKMEM_CLASSIFY=dual): mappings of their own and
 * blocks of libc. The last byte is 0, so that nobody takes it for the class byte of a slab's block. */
#ifndef HAK_ALLOC_HEADER_H
#define HAK_ALLOC_HEADER_H

#include "base.h"

typedef enum { HAK_METHOD_NONE, HAK_METHOD_MMAP, HAK_METHOD_LIBC } hak_method_t;

typedef struct {
    uint64_t magic;
    uint64_t method : 8;
    uint64_t size : 48;
    uint64_t zero : 8;
} hak_alloc_header_t;

_Static_assert(sizeof(hak_alloc_header_t) == 16, "blocks behind the header stay aligned to 16 bytes");

#define HAK_ALLOC_HEADER_MAGIC 0x48414B4D454D3136u

static inline hak_alloc_header_t *hak_alloc_header_of(const void *ptr) { return (hak_alloc_header_t *)ptr - 1; }

static inline void hak_alloc_header_write(void *ptr, hak_method_t method, size_t size) {
    *hak_alloc_header_of(ptr) = (hak_alloc_header_t){.magic = HAK_ALLOC_HEADER_MAGIC, .method = method, .size = size};
}

/* Before a block of a slab the same bytes belong to its neighbour, whose thread may be writing to them: any value is right
 * then, because what it says is checked. */
__attribute__((no_sanitize("thread"))) static inline hak_method_t hak_alloc_header_method(const void *ptr) {
    const hak_alloc_header_t *header = hak_alloc_header_of(ptr);
    return *(const volatile uint64_t *)&header->magic == HAK_ALLOC_HEADER_MAGIC ? (hak_method_t)header->method : HAK_METHOD_NONE;
}

#endif
