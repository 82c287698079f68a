/* Blocks of other threads' heaps. A heap collects them per class in an outbox and sends a whole chain with one
 * compare-and-swap; the owner takes its whole inbox with one exchange. A chain's head carries in its second word the link to
 * the next chain (48 bits) and the number of blocks (8 bits). The word's last byte is not touched: in the header layout it
 * belongs to the next block. */
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

/* Adds to a batch that has begun, has room and goes to the same heap; false otherwise. */
static inline bool hak_remote_push(hak_heap_t *heap, void *ptr, hak_code_t code) {
    const unsigned cls = hak_code_class(code);
    hak_outbox_t *box = &heap->outboxes[cls];
    if (box->owner != hak_code_owner(code) || box->count == 0 || box->count + 1 >= hak_remote_batch(cls)) return false;
    hak_block_t *block = ptr;
    block->next = box->head;
    box->head = block;
    box->count++;
    return true;
}

/* `heap` is the caller's own, or one without id: then the block is sent at once. */
void hak_remote_free(hak_heap_t *heap, void *ptr, hak_code_t code);
void hak_remote_flush_all(hak_heap_t *heap);

#endif
