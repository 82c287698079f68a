/* Stage 1 without the lock: emptied slabs wait on one lock-free stack for each class (HAKMEM_POOL_STAGE1_LOCKFREE).
 *
 * A stack is a list of nodes; nodes come from a pool that grows, or is fixed by HAKMEM_POOL_NODES as the historical one was.
 * A fixed pool that is used up sends the slab to the locked lists: nothing fails and nothing waits. Nodes are never given
 * back, so a reader may look at one that has been taken meanwhile; the tag beside each index tells it so. */
#ifndef HAK_NODE_POOL_H
#define HAK_NODE_POOL_H

#include "base.h"

/* The slab belongs to nobody else. False: no node is left. */
bool hak_ready_push(hak_slab_t *slab, unsigned cls);
/* A slab that last served the class, or NULL. */
hak_slab_t *hak_ready_pop(unsigned cls);

#endif
