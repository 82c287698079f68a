/* Heaps whose threads have ended, for threads to come; the last one parked is the first to be taken.
 *
 * A heap that owns little is parked warm: its bins and slabs stay as they are, so that threads that live for a moment pay
 * neither for handing everything back nor for fetching it again. Warm heaps own at most HAKMEM_RETAIN_MB together, and are
 * emptied when nobody wanted them for HAKMEM_DECAY_MS. The others are empty: what comes into their inbox is handed back by
 * the thread that sent it. */
#ifndef HAK_PARKED_H
#define HAK_PARKED_H

#include "heap.h"

/* Takes over the heap of the calling thread, which ends. */
void hak_parked_put(hak_heap_t *heap);
/* A heap for the calling thread, or NULL. */
hak_heap_t *hak_parked_take(void);
/* Hands back what an empty heap has got since; does nothing for warm ones, or if somebody else is at it. */
void hak_parked_collect(hak_heap_t *heap);
/* Empties the warm heaps that were parked before `ns`, UINT64_MAX for all. */
void hak_parked_cool(uint64_t ns);
/* The same for those that were parked for the decay time. */
void hak_parked_decay(void);
/* In the child of a fork: leaves out those that another thread was emptying. */
void hak_parked_after_fork(void);

#endif
