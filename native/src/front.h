/* The front caches: each thread's bins of free blocks, and whose bin a pointer belongs into. A miss costs nothing else.
 *
 * There is no guard here: thread start, configuration, tracing and the historical variants all hide behind an empty bin or
 * a tag that matches nothing. */
#ifndef HAK_FRONT_H
#define HAK_FRONT_H

#include "header.h"
#include "heap.h"
#include "registry.h"
#include "superslab.h"

static inline void *hak_bin_pop(hak_bin_t *bin) {
    hak_block_t *block = bin->head;
    if (HAK_UNLIKELY(block == NULL)) return NULL;
    bin->head = block->next;
    if (HAK_PREFETCH) __builtin_prefetch(block->next);
    hak_stat_hit(bin);
    return block;
}

static inline void hak_bin_push(hak_bin_t *bin, void *ptr) {
    hak_block_t *block = ptr;
    block->next = bin->head;
    bin->head = block;
}

/* The class of a tiny or mid block of `heap`; HAK_CLASSES or more for everything else. */
#if HAK_CLASSIFY == HAK_CLASSIFY_MAP
static inline hak_code_t hak_front_class(const hak_heap_t *heap, const void *ptr) {
    /* Compared, not masked: what follows waits for the index, and nothing waits for a comparison. */
    if (HAK_UNLIKELY(hak_map_index(ptr) > heap->map_last)) return HAK_CLASSES;
    return hak_map_load(heap->map, heap->map_last, ptr) - heap->tag;
}
#elif HAK_CLASSIFY == HAK_CLASSIFY_HEADER
static inline hak_code_t hak_front_class(const hak_heap_t *heap, const void *ptr) {
    if (ptr == NULL || hak_header_read(ptr) == 0) return HAK_CLASSES;
    return hak_superslab_code(hak_superslab_of(ptr), ptr) - heap->tag;
}
#else
static inline hak_code_t hak_front_class(const hak_heap_t *heap, const void *ptr) {
    return hak_registry_lookup(ptr) - heap->tag;
}
#endif

#endif
