#include "drain.h"

#include "config.h"
#include "os.h"
#include "parked.h"
#include "partial.h"
#include "remote.h"
#include "report.h"
#include "shared_pool.h"

#define HAK_KEEP_BYTES 16384u

static size_t hak_keep_count(unsigned cls) {
    if (hak_config.fast_cap != 0) return hak_config.fast_cap;
    return HAK_KEEP_BYTES / hak_class_bytes(cls);
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

/* Once in the time of decay. What a class no longer asks for, and what other threads sent of it, would stay for good otherwise. */
bool hak_decay_is_over(hak_heap_t *heap) {
    const uint64_t now_ns = hak_os_coarse_ns();
    const bool first = heap->drained_ns == 0;
    if (!first && now_ns - heap->drained_ns < (uint64_t)hak_config.decay_ms * 1000000u) return false;
    heap->drained_ns = now_ns;
    hak_parked_decay();
    return !first;
}

void hak_heap_drain_idle(hak_heap_t *heap) {
    if (hak_decay_is_over(heap)) hak_heap_drain(heap, true);
}
