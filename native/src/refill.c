#include "refill.h"

#include "config.h"
#include "os.h"
#include "header.h"
#include "parked.h"
#include "remote.h"
#include "report.h"
#include "shared_pool.h"
#include "superslab.h"

/* A batch is about a page of blocks; a heap looks through its bins each time it has grown by a quarter, and looks at the
 * clock each so many refills. */
#define HAK_BATCH_BYTES 4096u
#define HAK_BATCH_MOST 64u
#define HAK_SMALLMID_LEAST 8u
#define HAK_KEEP_BYTES 16384u
#define HAK_GROWTH_LEAST ((size_t)1 << 20)
#define HAK_REFILLS_PER_LOOK 64u

static bool hak_is_c23(unsigned cls) { return hak_config.c23_simple && hak_class_is_c23(cls); }

static uint32_t hak_batch_size(unsigned cls) {
    if (hak_is_c23(cls)) return hak_config.c23_refill;
    if (hak_config.refill_count != 0) return hak_config.refill_count;
    const size_t count = HAK_BATCH_BYTES / hak_class_bytes(cls);
    if (hak_config.smallmid && hak_class_is_smallmid(cls))
        return count < HAK_SMALLMID_LEAST ? HAK_SMALLMID_LEAST : (uint32_t)count;
    if (count == 0) return 1;
    return count < HAK_BATCH_MOST ? (uint32_t)count : HAK_BATCH_MOST;
}

static size_t hak_keep_count(unsigned cls) {
    if (hak_config.fast_cap != 0) return hak_config.fast_cap;
    return HAK_KEEP_BYTES / hak_class_bytes(cls);
}

static bool hak_slab_has_blocks(const hak_slab_t *slab) {
    return slab->free_count != 0 || slab->carved < slab->capacity;
}

static void hak_partial_add(hak_heap_class_t *class, hak_slab_t *slab) {
    slab->prev = NULL;
    slab->next = class->partial;
    if (slab->next != NULL) slab->next->prev = slab;
    class->partial = slab;
}

static void hak_partial_remove(hak_heap_class_t *class, hak_slab_t *slab) {
    if (slab->prev != NULL) slab->prev->next = slab->next;
    else class->partial = slab->next;
    if (slab->next != NULL) slab->next->prev = slab->prev;
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

bool hak_inbox_receive(hak_heap_t *heap) {
    if (__atomic_load_n(&heap->inbox, __ATOMIC_RELAXED) == NULL) return false;
    hak_block_t *chain = __atomic_exchange_n(&heap->inbox, NULL, __ATOMIC_ACQUIRE);
    if (chain == NULL) return false;
    hak_stat_global(inbox_drains, 1);
    while (chain != NULL) {
        hak_block_t *const next = hak_chain_next(chain);
        hak_heap_class_t *class = &heap->classes[hak_code_class(hak_superslab_code(hak_superslab_of(chain), chain))];
        hak_chain_link(chain, class->pending, hak_chain_count(chain));
        class->pending = chain;
        chain = next;
    }
    return true;
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

/* Once in the time of decay. What a class no longer asks for, and what other threads sent of it, would stay for good otherwise. */
static bool hak_decay_is_over(hak_heap_t *heap) {
    const uint64_t now_ns = hak_os_coarse_ns();
    const bool first = heap->drained_ns == 0;
    if (!first && now_ns - heap->drained_ns < (uint64_t)hak_config.decay_ms * 1000000u) return false;
    heap->drained_ns = now_ns;
    hak_parked_decay();
    return !first;
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

/* The slab's last block came back: the slab goes to the pool. One slab of a small class stays, so that a class that is
 * filled and emptied again and again does not go to the pool each time. */
static void hak_slab_emptied(hak_heap_t *heap, hak_slab_t *slab, bool keep_one) {
    hak_heap_class_t *class = &heap->classes[slab->cls];
    if (!HAK_REUSE_SLABS || (keep_one && slab->slots == 1 && class->partial == slab && slab->next == NULL)) return;
    hak_partial_remove(class, slab);
    heap->owned_bytes -= slab->slots * HAK_SLOT_BYTES;
    shared_pool_release_slab(slab);
}

/* The length of the ring that a list runs into; 0 when it ends. Source: R. P. Brent, An improved Monte Carlo factorization
 * algorithm, BIT 20 (1980), 176–184. */
static size_t hak_ring_length(const hak_block_t *head) {
    size_t length = 0, most = 1;
    const hak_block_t *mark = head, *block = head;
    while (block != NULL) {
        block = block->next;
        length++;
        if (block == mark) return block != NULL ? length : 0;
        if (length == most) {
            mark = block;
            most *= 2;
            length = 0;
        }
    }
    return 0;
}

/* A block that was freed once more while it lay in a list has made a ring: the ring is opened before that block, so that each
 * is in the list once. */
static void hak_list_open_ring(hak_block_t *head) {
    const size_t length = hak_ring_length(head);
    if (HAK_LIKELY(length == 0)) return;
    hak_block_t *twice = head, *ahead = head, *last = NULL;
    for (size_t i = 0; i < length; i++) {
        last = ahead;
        ahead = ahead->next;
    }
    while (ahead != twice) {
        last = ahead;
        ahead = ahead->next;
        twice = twice->next;
    }
    last->next = NULL;
    hak_report("double free of", twice);
}

/* Gives a list of blocks back to their slabs. More than what the class or the slab has out: some block came from two threads.
 * The rest of the list is left alone then. */
static size_t hak_blocks_return(hak_heap_t *heap, unsigned cls, hak_block_t *block, bool keep_one) {
    hak_heap_class_t *class = &heap->classes[cls];
    size_t returned = 0;
    while (block != NULL) {
        hak_block_t *const next = block->next;
        hak_slab_t *slab = hak_slab_of(block);
        if (class->out == 0 || slab->out == 0) {
            hak_report("double free found in a free list near", block);
            break;
        }
        if (!hak_slab_has_blocks(slab)) hak_partial_add(class, slab);
        block->next = slab->free;
        slab->free = block;
        slab->free_count++;
        class->out--;
        returned++;
        if (--slab->out == 0) hak_slab_emptied(heap, slab, keep_one);
        block = next;
    }
    hak_stat_global(drain_blocks, returned);
    return returned;
}

void tls_sll_drain(hak_heap_t *heap, unsigned cls, size_t keep) {
    hak_bin_t *bin = &heap->cache[cls];
    hak_list_open_ring(bin->head);
    hak_block_t **cut = &bin->head;
    for (size_t i = 0; i < keep && *cut != NULL; i++) cut = &(*cut)->next;
    hak_block_t *rest = *cut;
    if (rest == NULL) return;
    *cut = NULL;
    hak_stat_global(drains, 1);
    const size_t returned = hak_blocks_return(heap, cls, rest, keep != 0);
    hak_stat_bin(heap, cls, taken_out, returned);
    (void)returned;
}

/* Chains that nobody asked for go back to the slabs. */
static void hak_pending_drain(hak_heap_t *heap, unsigned cls, bool keep_one) {
    hak_heap_class_t *class = &heap->classes[cls];
    hak_block_t *chain = class->pending;
    class->pending = NULL;
    while (chain != NULL) {
        hak_block_t *const next = hak_chain_next(chain);
        hak_block_t *const list = hak_chain_unpack(chain, cls);
        hak_list_open_ring(list);
        hak_blocks_return(heap, cls, list, keep_one);
        chain = next;
    }
}

static void hak_drop_idle_slabs(hak_heap_t *heap, unsigned cls) {
    for (hak_slab_t *slab = heap->classes[cls].partial; slab != NULL;) {
        hak_slab_t *const next = slab->next;
        if (slab->out == 0) hak_slab_emptied(heap, slab, false);
        slab = next;
    }
}

void hak_heap_drain(hak_heap_t *heap, bool keep_share) {
    hak_remote_flush_all(heap);
    hak_inbox_receive(heap);
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++) {
        hak_pending_drain(heap, cls, keep_share);
        tls_sll_drain(heap, cls, keep_share ? hak_keep_count(cls) : 0);
        if (!keep_share) hak_drop_idle_slabs(heap, cls);
    }
    heap->grown_bytes = 0;
}

void hak_heap_drain_idle(hak_heap_t *heap) {
    if (hak_decay_is_over(heap)) hak_heap_drain(heap, true);
}
