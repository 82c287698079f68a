/* Blocks of other threads' heaps. A heap collects them per class in an outbox and sends a whole chain with one
 * compare-and-swap; the owner takes its whole inbox with one exchange.
 *
 * The sender does not touch every block: one of them carries the addresses of as many others as fit into it, so that their
 * cache lines stay with the owner. Carriers are linked by their first word, latest first; all but the latest are full. The
 * latest is the chain's head: its second word is the link to the next chain (48 bits) and the number of blocks (8 bits).
 *
 *     head ─▶ | next carrier | next chain, count | block | block | … |
 *
 * A carrier's last word is not used, nor the last byte of that second word: in the header layout a block's last byte belongs
 * to the next block. */
#ifndef HAK_REMOTE_H
#define HAK_REMOTE_H

#include <string.h>

#include "heap.h"

#define HAK_CHAIN_SHIFT 48

#define HAK_CHAIN_BYTES 7u

_Static_assert(HAK_REMOTE_BATCH_TINY < 256 && HAK_REMOTE_BATCH_MID < 256, "a chain's length fits into 8 bits");

static inline void hak_chain_link(hak_block_t *head, hak_block_t *next, uint32_t count) {
    const uint64_t word = (uint64_t)(uintptr_t)next | (uint64_t)count << HAK_CHAIN_SHIFT;
    memcpy(&head->next_chain, &word, HAK_CHAIN_BYTES);
}
static inline uint64_t hak_chain_word(const hak_block_t *head) {
    uint64_t word = 0;
    memcpy(&word, &head->next_chain, HAK_CHAIN_BYTES);
    return word;
}
static inline hak_block_t *hak_chain_next(const hak_block_t *head) {
    return (hak_block_t *)(uintptr_t)(hak_chain_word(head) & (((uint64_t)1 << HAK_CHAIN_SHIFT) - 1));
}
static inline uint32_t hak_chain_count(const hak_block_t *head) { return (uint32_t)(hak_chain_word(head) >> HAK_CHAIN_SHIFT); }

static inline uint32_t hak_remote_batch(unsigned cls) {
    return cls <= HAK_TINY_CLASSES ? HAK_REMOTE_BATCH_TINY : HAK_REMOTE_BATCH_MID;
}

/* Addresses that one block of the class carries. */
static inline unsigned hak_carrier_room(unsigned cls) {
    const size_t bytes = hak_class_bytes(cls);
    const size_t room = bytes < sizeof(hak_block_t) + 16 ? 0 : (bytes - sizeof(hak_block_t)) / sizeof(void *) - 1;
    return room < UINT8_MAX ? (unsigned)room : UINT8_MAX;
}

/* Adds to a chain that has begun. */
static inline void hak_outbox_add(hak_outbox_t *box, hak_block_t *block) {
    if (box->carried < box->room) {
        box->head->carried[box->carried++] = block;
    } else {
        block->next = box->head;
        box->head = block;
        box->carried = 0;
    }
    box->count++;
}

/* The block that was added last to a chain that has begun. */
static inline const hak_block_t *hak_outbox_newest(const hak_outbox_t *box) {
    return box->carried == 0 ? box->head : box->head->carried[box->carried - 1];
}

/* Adds to a chain that has begun, is not full and goes to the same heap; false otherwise, and for the block that was added
 * last. */
static inline bool hak_remote_push(hak_heap_t *heap, void *ptr, hak_code_t code) {
    const unsigned cls = hak_code_class(code);
    hak_outbox_t *box = &heap->outboxes[cls];
    if (box->owner != hak_code_owner(code) || box->count == 0 || box->count + 1u >= hak_remote_batch(cls)) return false;
    if (HAK_CHECK_HEAD && HAK_UNLIKELY(hak_outbox_newest(box) == ptr)) return false;
    hak_outbox_add(box, ptr);
    return true;
}

/* Whole chains that others freed, sorted by class into `pending`. False if there were none. */
bool hak_inbox_receive(hak_heap_t *heap);
/* The blocks of a chain as a plain list. */
hak_block_t *hak_chain_unpack(hak_block_t *head, unsigned cls);
/* `heap` is the caller's own, or one without id: then the block is sent at once. */
void hak_remote_free(hak_heap_t *heap, void *ptr, hak_code_t code);
void hak_remote_flush_all(hak_heap_t *heap);

#endif
