#include "parked.h"

#include <sched.h>

#include "config.h"
#include "drain.h"
#include "lock.h"
#include "os.h"
#include "remote.h"

/* Both under the heaps' lock. */
static hak_heap_t *hak_warm, *hak_cold;
static size_t hak_warm_bytes;

static bool hak_heap_change_state(hak_heap_t *heap, uint32_t from, uint32_t to) {
    return __atomic_compare_exchange_n(&heap->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void hak_heap_set_state(hak_heap_t *heap, uint32_t state) { __atomic_store_n(&heap->state, state, __ATOMIC_RELEASE); }

static void hak_parked_push(hak_heap_t **list, hak_heap_t *heap, uint32_t state) {
    heap->next_parked = *list;
    *list = heap;
    hak_heap_set_state(heap, state);
}

static void hak_warm_leaves(hak_heap_t *heap, uint32_t state) {
    hak_warm_bytes -= heap->owned_bytes;
    hak_heap_set_state(heap, state);
}

static bool hak_parked_put_warm(hak_heap_t *heap) {
    const size_t limit = (size_t)hak_config.retain_mb << 20;
    heap->parked_ns = hak_os_coarse_ns();
    hak_lock_acquire(&hak_lock_heaps);
    const bool fits = hak_warm_bytes + heap->owned_bytes <= limit;
    if (fits) {
        hak_warm_bytes += heap->owned_bytes;
        hak_parked_push(&hak_warm, heap, HAK_HEAP_WARM);
    }
    hak_lock_release(&hak_lock_heaps);
    return fits;
}

/* `heap` is in no list and nobody else's. */
static void hak_parked_put_cold(hak_heap_t *heap) {
    hak_heap_drain(heap, false);
    hak_lock_acquire(&hak_lock_heaps);
    hak_parked_push(&hak_cold, heap, HAK_HEAP_PARKED);
    hak_lock_release(&hak_lock_heaps);
    /* From senders that saw it busy. */
    if (__atomic_load_n(&heap->inbox, __ATOMIC_RELAXED) != NULL) hak_parked_collect(heap);
}

void hak_parked_put(hak_heap_t *heap) {
    hak_parked_decay();
    hak_remote_flush_all(heap);
    if (!hak_parked_put_warm(heap)) hak_parked_put_cold(heap);
}

static hak_heap_t *hak_parked_pop(hak_heap_t **list) {
    hak_heap_t *heap = *list;
    if (heap != NULL) *list = heap->next_parked;
    return heap;
}

hak_heap_t *hak_parked_take(void) {
    hak_lock_acquire(&hak_lock_heaps);
    hak_heap_t *const warm = hak_parked_pop(&hak_warm);
    hak_heap_t *const cold = warm == NULL ? hak_parked_pop(&hak_cold) : NULL;
    if (warm != NULL) hak_warm_leaves(warm, HAK_HEAP_ACTIVE);
    hak_lock_release(&hak_lock_heaps);
    /* Somebody may be collecting it for a moment. */
    while (cold != NULL && !hak_heap_change_state(cold, HAK_HEAP_PARKED, HAK_HEAP_ACTIVE)) sched_yield();
    return warm != NULL ? warm : cold;
}

void hak_parked_collect(hak_heap_t *heap) {
    if (!hak_heap_change_state(heap, HAK_HEAP_PARKED, HAK_HEAP_BUSY)) return;
    hak_heap_drain(heap, false);
    hak_heap_set_state(heap, HAK_HEAP_PARKED);
}

/* The list is ordered: the last one is the oldest. */
static hak_heap_t *hak_parked_take_older(uint64_t ns) {
    hak_lock_acquire(&hak_lock_heaps);
    hak_heap_t **link = &hak_warm;
    while (*link != NULL && (*link)->parked_ns >= ns) link = &(*link)->next_parked;
    hak_heap_t *const heap = hak_parked_pop(link);
    if (heap != NULL) hak_warm_leaves(heap, HAK_HEAP_BUSY);
    hak_lock_release(&hak_lock_heaps);
    return heap;
}

void hak_parked_cool(uint64_t ns) {
    hak_heap_t *heap;
    while ((heap = hak_parked_take_older(ns)) != NULL) hak_parked_put_cold(heap);
}

void hak_parked_decay(void) {
    const uint64_t now_ns = hak_os_coarse_ns(), decay_ns = (uint64_t)hak_config.decay_ms * 1000000u;
    if (now_ns > decay_ns) hak_parked_cool(now_ns - decay_ns);
}

void hak_parked_after_fork(void) {
    hak_heap_t **link = &hak_cold;
    while (*link != NULL) {
        if ((*link)->state == HAK_HEAP_PARKED) link = &(*link)->next_parked;
        else *link = (*link)->next_parked;
    }
}
