/* Mid sizes, 1 KB < size ≤ 32 KB: the same bins and slabs as tiny, one step away from the front. */
#ifndef HAK_MID_H
#define HAK_MID_H

#include "front.h"

/* A block from the thread's own bin, or NULL when the bin is empty. */
static inline void *hkm_ace_alloc(hak_heap_t *heap, size_t size) {
    if (HAK_CLASSIFY == HAK_CLASSIFY_HEADER) size++;
    return hak_bin_pop(&heap->bins[hak_class_of(size)]);
}

#endif
