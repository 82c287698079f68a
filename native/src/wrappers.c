/* The exported family. Nothing here decides anything: arguments are checked as the standards want, then dispatch.h. */
#include <errno.h>
#include <string.h>

#include "config.h"
#include "dispatch.h"
#include "drain.h"
#include "fallback.h"
#include "heap.h"
#include "large_cache.h"
#include "parked.h"
#include "shared_pool.h"

#if HAK_INTERPOSE
#define HAK_NAME(name) name
#else
#define HAK_NAME(name) hakmem_##name
#endif

/* The historical guards: re-entrance depth and four global flags on each call. They change nothing but the time. */
#if HAK_WRAPPER_GUARDS
uint32_t hak_guard_flags[4];
static HAK_TLS uint32_t hak_guard_depth;

static inline bool hak_guard_enter(void) {
    hak_guard_depth++;
    return __atomic_load_n(&hak_guard_flags[0], __ATOMIC_RELAXED) || __atomic_load_n(&hak_guard_flags[1], __ATOMIC_RELAXED) ||
           __atomic_load_n(&hak_guard_flags[2], __ATOMIC_RELAXED) || __atomic_load_n(&hak_guard_flags[3], __ATOMIC_RELAXED);
}
static inline void hak_guard_leave(void) { hak_guard_depth--; }
#else
static inline bool hak_guard_enter(void) { return false; }
static inline void hak_guard_leave(void) {}
#endif

HAK_HOT HAK_EXPORT void *HAK_NAME(malloc)(size_t size) {
    void *ptr = hak_guard_enter() ? hak_alloc_slow(size, hak_tls_heap) : hak_alloc(size);
    hak_guard_leave();
    return ptr;
}

HAK_HOT HAK_EXPORT void HAK_NAME(free)(void *ptr) {
    if (hak_guard_enter()) hak_free_slow(ptr, hak_tls_heap);
    else hak_free(ptr);
    hak_guard_leave();
}

HAK_EXPORT void *HAK_NAME(calloc)(size_t count, size_t size) {
    size_t bytes;
    hak_stat_call(callocs);
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    hak_stat_call(internal_allocs);
    hak_guard_enter();
    void *ptr = hak_alloc_zeroed(bytes);
    hak_guard_leave();
    return ptr;
}

static inline void *hak_reallocated(void *ptr, size_t size) {
    hak_stat_call(reallocs);
    if (ptr == NULL) {
        hak_stat_call(internal_allocs);
        return hak_alloc(size);
    }
    if (size == 0) {
        hak_stat_call(internal_frees);
        hak_free(ptr);
        return NULL;
    }
    return hak_realloc(ptr, size);
}

HAK_EXPORT void *HAK_NAME(realloc)(void *ptr, size_t size) {
    hak_guard_enter();
    void *moved = hak_reallocated(ptr, size);
    hak_guard_leave();
    return moved;
}

HAK_EXPORT void *HAK_NAME(reallocarray)(void *ptr, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return HAK_NAME(realloc)(ptr, bytes);
}

static void *hak_aligned(size_t alignment, size_t size) {
    hak_stat_call(aligneds);
    hak_stat_call(internal_allocs);
    hak_guard_enter();
    void *ptr = hak_alloc_aligned(alignment, size);
    hak_guard_leave();
    return ptr;
}

HAK_EXPORT int HAK_NAME(posix_memalign)(void **result, size_t alignment, size_t size) {
    if (!hak_is_power_of_two(alignment) || alignment % sizeof(void *) != 0) return EINVAL;
    const int saved = errno;
    void *ptr = hak_aligned(alignment, size);
    errno = saved;
    if (ptr == NULL) return ENOMEM;
    *result = ptr;
    return 0;
}

HAK_EXPORT void *HAK_NAME(aligned_alloc)(size_t alignment, size_t size) {
    if (!hak_is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return hak_aligned(alignment, size);
}

/* memalign rounds an odd alignment up, as glibc does. */
HAK_EXPORT void *HAK_NAME(memalign)(size_t alignment, size_t size) {
    if (alignment > PTRDIFF_MAX / 2) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = 16;
    while (power < alignment) power <<= 1;
    return hak_aligned(power, size);
}

HAK_EXPORT void *HAK_NAME(valloc)(size_t size) { return hak_aligned(HAK_PAGE_BYTES, size); }

HAK_EXPORT void *HAK_NAME(pvalloc)(size_t size) {
    if (size > PTRDIFF_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    return hak_aligned(HAK_PAGE_BYTES, hak_round_up(size == 0 ? 1 : size, HAK_PAGE_BYTES));
}

HAK_EXPORT size_t HAK_NAME(malloc_usable_size)(void *ptr) { return hak_usable_size(ptr); }

HAK_EXPORT int HAK_NAME(malloc_trim)(size_t pad) {
    if (hak_config.force_libc) return hak_fallback_trim(pad);
    hak_heap_t *heap = hak_tls_heap;
    if (hak_heap_is_own(heap)) hak_heap_drain(heap, false);
    hak_parked_cool(UINT64_MAX);
    const bool large = hak_large_cache_trim();
    return shared_pool_trim() || large;
}

#if HAK_INTERPOSE
HAK_EXPORT void cfree(void *ptr) { HAK_NAME(free)(ptr); }
#endif
