/* A class's list of slabs with blocks to give: refill takes from them, drain returns to them. */
#ifndef HAK_PARTIAL_H
#define HAK_PARTIAL_H

#include "heap.h"
#include "superslab.h"

static inline bool hak_slab_has_blocks(const hak_slab_t *slab) {
    return slab->free_count != 0 || slab->carved < slab->capacity;
}

static inline void hak_partial_add(hak_heap_class_t *class, hak_slab_t *slab) {
    slab->prev = NULL;
    slab->next = class->partial;
    if (slab->next != NULL) slab->next->prev = slab;
    class->partial = slab;
}

static inline void hak_partial_remove(hak_heap_class_t *class, hak_slab_t *slab) {
    if (slab->prev != NULL) slab->prev->next = slab->next;
    else class->partial = slab->next;
    if (slab->next != NULL) slab->next->prev = slab->prev;
}

#endif
