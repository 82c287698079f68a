/* From a size or a pointer to the layer that serves it. The inline halves are the whole of most calls; the `_slow` halves
 * take what the front could not. */
#ifndef HAK_DISPATCH_H
#define HAK_DISPATCH_H

#include "front.h"

/* Sizes that are not tiny: mid from the thread's own bins, the rest by hak_alloc_slow. */
void *hak_alloc_beyond_tiny(hak_heap_t *heap, size_t size);
/* Any size; NULL with errno = ENOMEM. `heap` may be the empty heap. */
void *hak_alloc_slow(hak_heap_t *heap, size_t size);
/* What the front did not take: another thread's block joins its batch, the rest by hak_free_slow. */
void hak_free_beyond_front(hak_heap_t *heap, void *ptr);
/* Any pointer. */
void hak_free_slow(hak_heap_t *heap, void *ptr);
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
        return HAK_LIKELY(block != NULL) ? block : hak_alloc_slow(heap, size);
    }
    return hak_alloc_beyond_tiny(heap, size);
}

static inline void hak_free(void *ptr) {
    hak_heap_t *heap = hak_tls_heap;
    if (HAK_LIKELY(tiny_free_fast(heap, ptr))) return;
    hak_free_beyond_front(heap, ptr);
}

#endif
