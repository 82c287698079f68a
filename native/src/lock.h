/* A mutex that, in the instrumented flavour, counts acquisitions, contention and waiting time. */
#ifndef HAK_LOCK_H
#define HAK_LOCK_H

#include <pthread.h>

#include "base.h"
#include "os.h"

typedef struct {
    pthread_mutex_t mutex;
#if HAK_INSTRUMENTED
    uint64_t acquired, contended, wait_ns;
#endif
} hak_lock_t;

#define HAK_LOCK_INIT {.mutex = PTHREAD_MUTEX_INITIALIZER}

/* The thread that holds every lock because it forks, or NULL. It passes them: handlers of other libraries may run between
 * ours, and allocate. */
extern void *hak_lock_forker;

static inline bool hak_lock_passes(void) {
    return HAK_UNLIKELY(__atomic_load_n(&hak_lock_forker, __ATOMIC_RELAXED) == __builtin_thread_pointer());
}

static inline void hak_lock_acquire(hak_lock_t *lock) {
    if (hak_lock_passes()) return;
#if HAK_INSTRUMENTED
    if (pthread_mutex_trylock(&lock->mutex) != 0) {
        const uint64_t start = hak_os_ns();
        pthread_mutex_lock(&lock->mutex);
        lock->contended++;
        lock->wait_ns += hak_os_ns() - start;
    }
    lock->acquired++;
#else
    pthread_mutex_lock(&lock->mutex);
#endif
}

static inline void hak_lock_release(hak_lock_t *lock) {
    if (!hak_lock_passes()) pthread_mutex_unlock(&lock->mutex);
}

/* In the child of a fork: the lock was held by the forking thread. */
static inline void hak_lock_reset(hak_lock_t *lock) { *lock = (hak_lock_t)HAK_LOCK_INIT; }

extern hak_lock_t hak_lock_shared_pool, hak_lock_page_arena, hak_lock_registry, hak_lock_heaps, hak_lock_large_cache, hak_lock_fallback;

#endif
