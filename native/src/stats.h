/* Counters of the instrumented flavour. In release every macro here is empty and evaluates nothing.
 *
 * Slow paths count by atomic adds. The front counts one thing only, the blocks that malloc took from a bin (`hits`);
 * what free pushed follows from the balance of the bin:  pushed = hits + taken out + still there − put in. With less it
 * cannot be done: a pop after a push leaves the bin as it was, and nothing that refill or drain could count. */
#ifndef HAK_STATS_H
#define HAK_STATS_H

#include "base.h"
#include "classes.h"

#if HAK_INSTRUMENTED

#define HAK_STATS(X)                                                                              \
    X(slow_mallocs) X(internal_allocs) X(internal_frees) X(callocs) X(reallocs) X(aligneds)       \
    X(alloc_refill) X(alloc_mid_refill) X(alloc_large) X(alloc_libc) X(alloc_failed)              \
    X(free_map_fast) X(free_header_fast) X(free_ss_hit) X(free_mid) X(free_large)  \
    X(free_null) X(free_foreign) X(free_libc) X(free_alloc_header) X(free_alloc_header_libc)      \
    X(refills) X(refill_blocks) X(drains) X(drain_blocks)                                         \
    X(stage1) X(stage2) X(stage3)                                                                 \
    X(superslabs_created) X(superslabs_released) X(slabs_acquired) X(slabs_released)              \
    X(remote_sent) X(remote_chains) X(inbox_drains)                                                                \
    X(os_mmap) X(os_munmap) X(os_mremap) X(os_madvise) X(os_mincore)                            \
    X(c23_refills) X(smallmid_superslabs) X(stage1_lockfree) X(nodes_made) X(nodes_exhausted)    \
    X(superslabs_prewarmed) X(arena_reserved) X(arena_reused) X(arena_kept) X(arena_returned)    \
    X(huge_advised)

#define HAK_LOCKS(X) X(shared_pool) X(page_arena) X(registry) X(heaps) X(large_cache) X(fallback)

typedef struct {
#define HAK_FIELD(name) uint64_t name;
    HAK_STATS(HAK_FIELD)
#undef HAK_FIELD
} hak_stats_t;

extern hak_stats_t hak_stats;
extern uint64_t hak_size_histogram[10];

/* Balance of one bin; only its heap's thread writes it. */
typedef struct {
    uint64_t put_in;
    uint64_t taken_out;
} hak_bin_balance_t;

#define hak_stat_global(field, n) ((void)__atomic_fetch_add(&hak_stats.field, (uint64_t)(n), __ATOMIC_RELAXED))
/* A call of the exported family. It may come before everything else, and does not count when libc serves it. */
#define hak_stat_call(field) hak_stat_count_call(&hak_stats.field)
#define hak_stat_bin(heap, cls, field, n) \
    __atomic_store_n(&(heap)->balance[cls].field, (heap)->balance[cls].field + (uint64_t)(n), __ATOMIC_RELAXED)
#define hak_stat_hit(bin) __atomic_store_n(&(bin)->hits, (bin)->hits + 1, __ATOMIC_RELAXED)

void hak_stat_count_call(uint64_t *counter);
void hak_stat_mapped(size_t bytes);
void hak_stat_unmapped(size_t bytes);
void hak_stat_size(size_t size);
/* Which files the traces go to: those that are open as such now. Once, after the configuration is read. */
void hak_trace_init(void);
/* Prints "[FREE_ROUTE] route ptr=0x…" while lines are left. */
void hak_stat_route(const char *route, const void *ptr);
/* "[SS_ACQUIRE] stage bytes=… at=0x…" (the class's block size, the slab) and "[MEM_TRACE] call bytes=… at=0x…" on stderr,
 * when asked for. */
void hak_stat_acquire(const char *stage, unsigned cls, const void *slab);
void hak_stat_memory(const char *call, size_t bytes, const void *start);
/* Writes the statistics file once, if one was asked for. Async-signal-safe. */
void hak_stats_write(void);
/* In the child of a fork: it counts what it does itself. What is mapped and live it has inherited. */
void hak_stats_after_fork(void);

#else

#define hak_stat_global(field, n) ((void)0)
#define hak_stat_call(field) ((void)0)
#define hak_stat_bin(heap, cls, field, n) ((void)0)
#define hak_stat_hit(bin) ((void)0)
#define hak_stat_mapped(bytes) ((void)0)
#define hak_stat_unmapped(bytes) ((void)0)
#define hak_stat_size(size) ((void)0)
#define hak_stat_route(route, ptr) ((void)0)
#define hak_stat_acquire(stage, cls, slab) ((void)0)
#define hak_stat_memory(call, bytes, start) ((void)0)
#define hak_stats_write() ((void)0)
#define hak_stats_after_fork() ((void)0)
#define hak_trace_init() ((void)0)

#endif

/* One free: its counter and, when traced, its line. */
#define hak_stat_free(route, ptr)           \
    do {                                    \
        hak_stat_global(free_##route, 1);   \
        hak_stat_route(#route, ptr);        \
    } while (0)

#endif
