/* What every call runs and most calls end in: tiny blocks from and to the thread's own bins. A miss returns NULL or false. */
#ifndef HAK_TINY_H
#define HAK_TINY_H

#include "front.h"

/* `size` is at most HAK_TINY_MAX. */
static inline void *tiny_alloc_fast(hak_heap_t *heap, size_t size) {
    if (HAK_CLASSIFY == HAK_CLASSIFY_HEADER) size++;
    return hak_bin_pop(&heap->bins[hak_class_of_tiny(size)]);
}

/* Tiny and mid blocks of the caller's own heap; everything else is false: NULL, remote, large, foreign. */
static inline bool tiny_free_fast(hak_heap_t *heap, void *ptr) {
    const hak_code_t cls = hak_front_class(heap, ptr);
    if (HAK_UNLIKELY(cls >= HAK_CLASSES)) return false;
    if (HAK_CHECK_HEAD && HAK_UNLIKELY(heap->bins[cls].head == ptr)) return false;
    hak_bin_push(&heap->bins[cls], ptr);
    return true;
}

#endif
