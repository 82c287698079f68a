/* Between the front and the slabs: blocks come in batches (refill) and go back in batches (drain). All counting of a
 * slab's blocks happens here. */
#ifndef HAK_REFILL_H
#define HAK_REFILL_H

#include "heap.h"

/* The bin of `cls` is empty: fills it and returns one block; NULL without memory. Sources, in order: chains that other
 * threads sent back, slabs with free blocks, the shared pool. */
void *ss_refill_fc_fill(hak_heap_t *heap, unsigned cls);
/* Returns all but the newest `keep` blocks of the bin to their slabs; emptied slabs go to the shared pool. */
void tls_sll_drain(hak_heap_t *heap, unsigned cls, size_t keep);
/* Drains every bin and takes in what others sent back. With `keep_share` each bin keeps its usual share. */
void hak_heap_drain(hak_heap_t *heap, bool keep_share);
/* Drains a heap that was not drained for the decay time: what the program needs no more lies in its bins. For paths that are
 * slow anyway. */
void hak_heap_drain_idle(hak_heap_t *heap);
/* Whole chains that others freed, sorted by class. False if there were none. */
bool hak_inbox_receive(hak_heap_t *heap);

#endif
