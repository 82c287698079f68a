/* The shared pool: SuperSlab slots that belong to no heap.
 *
 * A slab is found in three stages: 1 an EMPTY slab that last served this class (touched, laid out alike), 2 UNUSED slots of
 * a SuperSlab that other classes share, 3 a new SuperSlab. One lock guards the pool; it is taken for a slab, never for a
 * block (HAKMEM_POOL_STAGE1_LOCKFREE: stage 1 takes none, see node_pool.h). Freed slots keep their memory until there is too
 * much of it (the least recently freed goes first) or until it has been idle for a while. */
#ifndef HAK_SHARED_POOL_H
#define HAK_SHARED_POOL_H

#include "base.h"

/* A slab of `cls` for the heap, laid out, with its code set; NULL without memory. */
hak_slab_t *shared_pool_acquire_slab(hak_heap_t *heap, unsigned cls);
/* All blocks of the slab are free and in none of the heap's lists. */
void shared_pool_release_slab(hak_slab_t *slab);

/* `slots` neighbouring slots for one large block; `*clean` says that nobody has written to them. */
hak_slab_t *shared_pool_acquire_span(unsigned slots, bool *clean);
void shared_pool_release_span(hak_slab_t *slab);

/* SuperSlabs of this many megabytes with all their pages, made now. */
void shared_pool_prewarm(uint32_t megabytes);
/* Slabs that wait for their own class become free slots for all. */
void shared_pool_gather(void);
/* Gives memory of free slots back to the system: all of it, whatever its age. True if there was some. */
bool shared_pool_trim(void);
uint64_t shared_pool_live_superslabs(void);
uint64_t shared_pool_peak_superslabs(void);

#endif
