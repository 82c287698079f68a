#include "remote.h"

#include "parked.h"
#include "superslab.h"

static void hak_inbox_send(uint32_t owner, hak_block_t *head, uint32_t count) {
    hak_heap_t *to = hak_heap_by_id(owner);
    hak_block_t *seen = __atomic_load_n(&to->inbox, __ATOMIC_RELAXED);
    do {
        hak_chain_link(head, seen, count);
    } while (!__atomic_compare_exchange_n(&to->inbox, &seen, head, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    hak_stat_global(remote_sent, count);
    hak_stat_global(remote_chains, 1);
    if (__atomic_load_n(&to->state, __ATOMIC_RELAXED) == HAK_HEAP_PARKED) hak_parked_collect(to);
}

static void hak_outbox_flush(hak_heap_t *heap, unsigned cls) {
    hak_outbox_t *box = &heap->outboxes[cls];
    hak_block_t *const head = box->head;
    const uint32_t count = box->count;
    box->head = NULL;
    box->count = 0;
    heap->outbox_mask[cls >> 6] &= ~((uint64_t)1 << (cls & 63));
    hak_inbox_send(box->owner, head, count);
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

hak_block_t *hak_chain_unpack(hak_block_t *head, unsigned cls) {
    const uint32_t room = hak_carrier_room(cls);
    uint32_t carried = (hak_chain_count(head) - 1) % (room + 1);
    hak_block_t *list = NULL;
    for (hak_block_t *carrier = head; carrier != NULL; carried = room) {
        hak_block_t *const next = carrier->next;
        for (uint32_t i = 0; i < carried; i++) {
            carrier->carried[i]->next = list;
            list = carrier->carried[i];
        }
        carrier->next = list;
        list = carrier;
        carrier = next;
    }
    return list;
}

void hak_remote_free(hak_heap_t *heap, void *ptr, hak_code_t code) {
    hak_block_t *block = ptr;
    const unsigned cls = hak_code_class(code);
    const uint32_t owner = hak_code_owner(code);
    if (!hak_heap_is_own(heap)) {
        block->next = NULL;
        hak_inbox_send(owner, block, 1);
        return;
    }
    hak_outbox_t *box = &heap->outboxes[cls];
    if (box->count != 0 && box->owner != owner) hak_outbox_flush(heap, cls);
    if (box->count == 0) {
        box->owner = owner;
        box->carried = box->room = (uint8_t)hak_carrier_room(cls);
    }
    hak_outbox_add(box, block);
    heap->outbox_mask[cls >> 6] |= (uint64_t)1 << (cls & 63);
    if (box->count >= hak_remote_batch(cls)) hak_outbox_flush(heap, cls);
}

void hak_remote_flush_all(hak_heap_t *heap) {
    for (unsigned word = 0; word < sizeof heap->outbox_mask / sizeof heap->outbox_mask[0]; word++)
        while (heap->outbox_mask[word] != 0)
            hak_outbox_flush(heap, word * 64 + (unsigned)__builtin_ctzll(heap->outbox_mask[word]));
}
