#include "init.h"

#include <pthread.h>
#include <sched.h>

#include "base.h"
#include "config.h"
#include "heap.h"
#include "lock.h"
#include "map.h"
#include "fatal_signal.h"
#include "shared_pool.h"
#include "stats.h"

enum { HAK_INIT_NOT_YET, HAK_INIT_RUNNING, HAK_INIT_DONE };

static uint32_t hak_init_state;

void hak_init(void) {
    if (HAK_LIKELY(__atomic_load_n(&hak_init_state, __ATOMIC_ACQUIRE) == HAK_INIT_DONE)) return;
    uint32_t not_yet = HAK_INIT_NOT_YET;
    if (__atomic_compare_exchange_n(&hak_init_state, &not_yet, HAK_INIT_RUNNING, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        hak_config_init();
        hak_trace_init();
        if (!hak_config.force_libc) hak_map_init();
        if (!hak_config.force_libc) hak_heaps_init();
        __atomic_store_n(&hak_init_state, HAK_INIT_DONE, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&hak_init_state, __ATOMIC_ACQUIRE) != HAK_INIT_DONE) sched_yield();
}

static hak_lock_t *const hak_fork_locks[] = {&hak_lock_heaps, &hak_lock_shared_pool, &hak_lock_page_arena, &hak_lock_registry,
                                           &hak_lock_large_cache, &hak_lock_fallback};

#define HAK_FORK_LOCKS (sizeof hak_fork_locks / sizeof hak_fork_locks[0])

void *hak_lock_forker;

static void hak_forks(bool now) { __atomic_store_n(&hak_lock_forker, now ? __builtin_thread_pointer() : NULL, __ATOMIC_RELAXED); }

/* libc takes the lock of its list of streams after all handlers, and whoever holds that (fflush of all streams) may allocate: it
 * comes before ours, as it comes before those of libc's own allocator. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

static void hak_before_fork(void) {
    if (_IO_list_lock != NULL) _IO_list_lock();
    for (size_t i = 0; i < HAK_FORK_LOCKS; i++) hak_lock_acquire(hak_fork_locks[i]);
    hak_forks(true);
}

static void hak_after_fork_in_parent(void) {
    hak_forks(false);
    for (size_t i = HAK_FORK_LOCKS; i-- > 0;) hak_lock_release(hak_fork_locks[i]);
    if (_IO_list_unlock != NULL) _IO_list_unlock();
}

static void hak_after_fork_in_child(void) {
    hak_forks(false);
    for (size_t i = 0; i < HAK_FORK_LOCKS; i++) hak_lock_reset(hak_fork_locks[i]);
    hak_heaps_after_fork();
    hak_stats_after_fork();
    if (_IO_list_resetlock != NULL) _IO_list_resetlock();
}

/* What may itself allocate waits for this. It comes before the constructors of other libraries: handlers that prepare for a
 * fork run in the reverse order of their registration, and ours must be the last. One that ran after it could wait for a
 * mutex whose holder waits for one of our locks. The shared library is linked with -z initfirst; an executable's
 * .preinit_array, which a shared object must not have, comes before all libraries. */
static void hak_constructor(void) {
    hak_init();
    if (!hak_config.force_libc) pthread_atfork(hak_before_fork, hak_after_fork_in_parent, hak_after_fork_in_child);
    if (hak_config.prewarm_mb != 0 && !hak_config.force_libc) shared_pool_prewarm(hak_config.prewarm_mb);
    if (hak_config.signal_handler) hak_signal_install();
}

#if defined(__PIC__) && !defined(__PIE__)
__attribute__((constructor)) static void hak_at_load(void) { hak_constructor(); }
#else
__attribute__((section(".preinit_array"), used)) static void (*const hak_at_start)(void) = hak_constructor;
#endif

#if HAK_INSTRUMENTED
__attribute__((destructor)) static void hak_destructor(void) { hak_stats_write(); }
#endif
