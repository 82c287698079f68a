/* From a size or a pointer to the layer that serves it. The inline halves are the whole of most calls; the `_slow` halves
 * take what the front could not; what they are called with stays in the register in which the program passed it. */
#ifndef HAK_DISPATCH_H
#define HAK_DISPATCH_H

#include "tiny.h"

/* Sizes that are not tiny: mid from the thread's own bins, the rest by hak_alloc_slow. */
void *hak_alloc_beyond_tiny(size_t size, hak_heap_t *heap);
/* Any size; NULL with errno = ENOMEM. `heap` may be the empty heap. */
void *hak_alloc_slow(size_t size, hak_heap_t *heap);
/* What the front did not take: another thread's block joins its batch, the rest by hak_free_slow. */
void hak_free_beyond_front(void *ptr, hak_heap_t *heap);
/* Any pointer. */
void hak_free_slow(void *ptr, hak_heap_t *heap);
/* Zeroed memory. */
void *hak_alloc_zeroed(size_t size);
/* `alignment` is a power of two. */
void *hak_alloc_aligned(size_t alignment, size_t size);
void *hak_realloc(void *ptr, size_t size);
size_t hak_usable_size(void *ptr);

static inline void *hak_alloc(size_t size) {
    hak_heap_t *heap = hak_tls_heap;
    if (HAK_LIKELY(size <= HAK_TINY_MAX - (HAK_CLASSIFY == HAK_CLASSIFY_HEADER))) {
        void *block = tiny_alloc_fast(heap, size);
        return HAK_LIKELY(block != NULL) ? block : hak_alloc_slow(size, heap);
    }
    return hak_alloc_beyond_tiny(size, heap);
}

static inline void hak_free(void *ptr) {
    hak_heap_t *heap = hak_tls_heap;
    if (HAK_LIKELY(tiny_free_fast(heap, ptr))) return;
    hak_free_beyond_front(ptr, heap);
}

#endif
