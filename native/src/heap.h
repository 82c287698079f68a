/* A heap: the front caches of one thread and the slabs behind them.
 *
 * The thread's pointer is never NULL: it starts at hak_empty_heap, whose bins are empty and whose tag matches nothing,
 * so that the fast paths need no guard; the first miss brings the thread its own heap. Threads that exit park their
 * heap, and new threads adopt it with its id, slabs and inbox. */
#ifndef HAK_HEAP_H
#define HAK_HEAP_H

#include "base.h"
#include "classes.h"
#include "map.h"
#include "stats.h"

#define HAK_MAX_HEAPS (1u << 16)

/* Free blocks of one class, newest first. */
typedef struct {
    hak_block_t *head;
#if HAK_INSTRUMENTED
    uint64_t hits;
#endif
} hak_bin_t;

typedef struct {
    hak_slab_t *partial;  /* slabs with blocks to give */
    hak_block_t *pending; /* chains that came back from other threads */
    size_t out;           /* blocks in the application, the bin and the chains */
} hak_heap_class_t;

/* Blocks on their way to another heap: a chain that is being built (remote.h). */
typedef struct {
    hak_block_t *head;
    uint32_t owner;
    uint16_t count;
    uint8_t carried, room; /* by the head; by any head of the class */
} hak_outbox_t;

/* ACTIVE: a thread's. WARM, PARKED: nobody's, with its bins full and empty (parked.h). BUSY: somebody is emptying it. ORPHAN: of a
 * thread that a fork left behind. */
typedef enum { HAK_HEAP_ACTIVE, HAK_HEAP_WARM, HAK_HEAP_PARKED, HAK_HEAP_BUSY, HAK_HEAP_ORPHAN } hak_heap_state_t;

struct hak_heap_s {
    /* Used by the fast paths. */
    hak_bin_t bins[HAK_CLASSES];
    const hak_code_t *map;
    uintptr_t map_last;
    hak_code_t tag;
    uint32_t id;
    /* Slow paths. `cache` is `bins`, or `shadow` when every call must take the slow entry. */
    hak_bin_t *cache;
    hak_heap_class_t classes[HAK_CLASSES];
    hak_outbox_t outboxes[HAK_CLASSES];
    uint64_t outbox_mask[(HAK_CLASSES + 63) / 64];
    size_t owned_bytes;
    size_t grown_bytes;
    size_t refills;
    uint64_t drained_ns; /* when the clock last asked for a drain, or was first looked at */
    hak_heap_t *next_parked;
    uint64_t parked_ns;
    uint32_t state;
    hak_bin_t shadow[HAK_CLASSES];
#if HAK_INSTRUMENTED
    hak_bin_balance_t balance[HAK_CLASSES];
#endif
    /* Written by other threads. */
    _Alignas(HAK_CACHE_LINE) hak_block_t *inbox;
};

/* Heaps without blocks and without id: of threads that have not begun, and of threads that are ending. Only the first is
 * replaced by a heap of the thread's own. */
extern hak_heap_t hak_empty_heap, hak_ended_heap;
extern HAK_TLS hak_heap_t *hak_tls_heap;

/* The thread's own heap: adopts or makes one. NULL when there is no memory. */
hak_heap_t *hak_heap_enter(void);
/* The heap with this id, or NULL. */
hak_heap_t *hak_heap_by_id(uint32_t id);
uint32_t hak_heap_count(void);
/* Once, before the first heap. */
void hak_heaps_init(void);
/* In the child of a fork: heaps of threads that are no more. */
void hak_heaps_after_fork(void);

static inline bool hak_heap_is_own(const hak_heap_t *heap) { return heap->id != 0; }

#endif
