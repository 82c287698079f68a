/* From the front back to the slabs: what bins hold beyond their share, and what other threads sent. */
#ifndef HAK_DRAIN_H
#define HAK_DRAIN_H

#include "heap.h"

/* Returns all but the newest `keep` blocks of the bin to their slabs; emptied slabs go to the shared pool. */
void tls_sll_drain(hak_heap_t *heap, unsigned cls, size_t keep);
/* Drains every bin and takes in what others sent back. With `keep_share` each bin keeps its usual share. */
void hak_heap_drain(hak_heap_t *heap, bool keep_share);
/* Was the heap not drained for the decay time? Asked again, it is not until that time has passed once more. */
bool hak_decay_is_over(hak_heap_t *heap);
/* Drains a heap that was not drained for the decay time: what the program needs no more lies in its bins. For paths that are
 * slow anyway. */
void hak_heap_drain_idle(hak_heap_t *heap);

#endif
