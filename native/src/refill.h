/* From the slabs to the front: blocks come in batches. With drain.h the only place where a slab's blocks are counted. */
#ifndef HAK_REFILL_H
#define HAK_REFILL_H

#include "heap.h"

/* The bin of `cls` is empty: fills it and returns one block; NULL without memory. Sources, in order: chains that other
 * threads sent back, slabs with free blocks, the shared pool. */
void *ss_refill_fc_fill(hak_heap_t *heap, unsigned cls);

#endif
