#include "refill.h"

#include "config.h"
#include "drain.h"
#include "header.h"
#include "partial.h"
#include "remote.h"
#include "shared_pool.h"
#include "smallmid.h"

/* A batch is about a page of blocks; a heap looks through its bins each time it has grown by a quarter, and looks at the
 * clock each so many refills. */
#define HAK_BATCH_BYTES 4096u
#define HAK_BATCH_MOST 64u
#define HAK_GROWTH_LEAST ((size_t)1 << 20)
#define HAK_REFILLS_PER_LOOK 64u

static bool hak_is_c23(unsigned cls) { return hak_config.c23_simple && hak_class_is_c23(cls); }

static uint32_t hak_batch_size(unsigned cls) {
    if (hak_is_c23(cls)) return hak_config.c23_refill;
    if (hak_config.refill_count != 0) return hak_config.refill_count;
    const size_t count = HAK_BATCH_BYTES / hak_class_bytes(cls);
    if (hak_smallmid_serves(cls) && count < HAK_SMALLMID_BATCH_LEAST) return HAK_SMALLMID_BATCH_LEAST;
    if (count == 0) return 1;
    return count < HAK_BATCH_MOST ? (uint32_t)count : HAK_BATCH_MOST;
}

/* Up to `want` blocks that drains returned, as a list; `*count` is how many. */
static hak_block_t *hak_slab_take_free(hak_slab_t *slab, uint32_t want, uint32_t *count) {
    hak_block_t *const first = slab->free;
    hak_block_t *last = first;
    uint32_t taken = 1;
    while (taken < want && last->next != NULL) {
        last = last->next;
        taken++;
    }
    slab->free = last->next;
    last->next = NULL;
    slab->free_count -= taken;
    *count = taken;
    return first;
}

/* Up to `want` blocks that were never used. */
static hak_block_t *hak_slab_carve(hak_slab_t *slab, uint32_t want, uint32_t *count) {
    const uint32_t left = slab->capacity - slab->carved;
    const uint32_t taken = want < left ? want : left;
    char *const first = slab->first + (size_t)slab->carved * slab->block_bytes;
    const bool header = hak_config.header_layout && !(hak_config.dual_headers && slab->cls > HAK_TINY_CLASSES);
    char *at = first;
    for (uint32_t i = 0; i < taken; i++, at += slab->block_bytes) {
        if (header) hak_header_write(at, slab->cls);
        ((hak_block_t *)at)->next = i + 1 < taken ? (hak_block_t *)(at + slab->block_bytes) : NULL;
    }
    slab->carved += taken;
    *count = taken;
    return (hak_block_t *)first;
}

static hak_block_t *hak_slab_take(hak_slab_t *slab, uint32_t want, uint32_t *count) {
    hak_block_t *blocks = slab->free_count != 0 ? hak_slab_take_free(slab, want, count)
                                                : hak_slab_carve(slab, want, count);
    slab->out += *count;
    return blocks;
}

/* One chain from another thread becomes the bin. */
static hak_block_t *hak_pending_take(hak_heap_t *heap, unsigned cls, uint32_t *count) {
    hak_heap_class_t *class = &heap->classes[cls];
    if (class->pending == NULL && !hak_inbox_receive(heap)) return NULL;
    hak_block_t *chain = class->pending;
    if (chain == NULL) return NULL;
    class->pending = hak_chain_next(chain);
    *count = hak_chain_count(chain);
    return hak_chain_unpack(chain, cls);
}

static hak_slab_t *hak_slab_acquire(hak_heap_t *heap, unsigned cls) {
    const size_t growth = heap->owned_bytes / 4;
    if (heap->grown_bytes >= (growth > HAK_GROWTH_LEAST ? growth : HAK_GROWTH_LEAST)) hak_heap_drain(heap, true);
    if (heap->classes[cls].partial != NULL) return heap->classes[cls].partial;
    hak_remote_flush_all(heap);
    hak_slab_t *slab = shared_pool_acquire_slab(heap, cls);
    if (slab == NULL) return NULL;
    heap->owned_bytes += slab->slots * HAK_SLOT_BYTES;
    heap->grown_bytes += slab->slots * HAK_SLOT_BYTES;
    hak_partial_add(&heap->classes[cls], slab);
    return slab;
}

static hak_block_t *hak_partial_take(hak_heap_t *heap, unsigned cls, uint32_t *count) {
    hak_heap_class_t *class = &heap->classes[cls];
    hak_slab_t *slab = class->partial != NULL ? class->partial : hak_slab_acquire(heap, cls);
    if (slab == NULL) return NULL;
    hak_block_t *blocks = hak_slab_take(slab, hak_batch_size(cls), count);
    class->out += *count;
    if (!hak_slab_has_blocks(slab)) hak_partial_remove(class, slab);
    return blocks;
}

/* The simple front's refill: straight from the slab at hand, before anything that other threads sent. NULL: none is at hand. */
static hak_block_t *hak_c23_take(hak_heap_t *heap, unsigned cls, uint32_t *count) {
    if (!hak_is_c23(cls) || heap->classes[cls].partial == NULL) return NULL;
    hak_stat_global(c23_refills, 1);
    return hak_partial_take(heap, cls, count);
}

/* Besides when it grows: after as many refills as asked for, else when the decay is over. */
static bool hak_drain_is_due(hak_heap_t *heap) {
    heap->refills++;
    if (hak_config.drain_interval != 0) return heap->refills % hak_config.drain_interval == 0;
    return heap->refills % HAK_REFILLS_PER_LOOK == 0 && hak_decay_is_over(heap);
}

void *ss_refill_fc_fill(hak_heap_t *heap, unsigned cls) {
    if (hak_drain_is_due(heap)) hak_heap_drain(heap, true);
    uint32_t count = 0;
    hak_block_t *block = hak_c23_take(heap, cls, &count);
    if (block == NULL) block = hak_pending_take(heap, cls, &count);
    if (block == NULL) block = hak_partial_take(heap, cls, &count);
    if (block == NULL) return NULL;
    heap->cache[cls].head = block->next;
    hak_stat_global(refills, 1);
    hak_stat_global(refill_blocks, count);
    hak_stat_bin(heap, cls, put_in, count - 1);
    return block;
}
