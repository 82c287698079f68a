#include "large_cache.h"

#include "config.h"
#include "lock.h"
#include "os.h"

#define HAK_LARGE_CACHE_ENTRIES 16u

typedef struct {
    char *base;
    size_t bytes;
    uint64_t freed_ns;
} hak_kept_t;

hak_lock_t hak_lock_large_cache = HAK_LOCK_INIT;

static hak_kept_t hak_kept[HAK_LARGE_CACHE_ENTRIES]; /* oldest first */
static uint32_t hak_kept_count;
static size_t hak_kept_bytes;

static hak_kept_t hak_kept_remove(uint32_t index) {
    const hak_kept_t removed = hak_kept[index];
    hak_kept_bytes -= removed.bytes;
    const uint32_t left = hak_kept_count - 1;
    for (uint32_t i = index; i < left; i++) hak_kept[i] = hak_kept[i + 1];
    __atomic_store_n(&hak_kept_count, left, __ATOMIC_RELAXED);
    return removed;
}

/* Moves the oldest to `victims` until `bytes` more fit and nothing is too old; they are unmapped without the lock held. */
static uint32_t hak_kept_evict(hak_kept_t *victims, size_t bytes, uint64_t oldest_ns) {
    const size_t limit = (size_t)hak_config.retain_mb << 20;
    uint32_t count = 0;
    while (hak_kept_count > 0 && (hak_kept[0].freed_ns < oldest_ns || hak_kept_bytes + bytes > limit ||
                                  (bytes != 0 && hak_kept_count == HAK_LARGE_CACHE_ENTRIES)))
        victims[count++] = hak_kept_remove(0);
    return count;
}

static void hak_kept_unmap(const hak_kept_t *victims, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) hak_os_unmap(victims[i].base, victims[i].bytes);
}

char *hak_large_cache_take(size_t bytes, size_t *found) {
    uint32_t best = HAK_LARGE_CACHE_ENTRIES;
    hak_kept_t taken = {0};
    if (__atomic_load_n(&hak_kept_count, __ATOMIC_RELAXED) == 0) return NULL;
    hak_lock_acquire(&hak_lock_large_cache);
    for (uint32_t i = 0; i < hak_kept_count; i++) {
        if (hak_kept[i].bytes < bytes || hak_kept[i].bytes > bytes + bytes / 4) continue;
        if (best == HAK_LARGE_CACHE_ENTRIES || hak_kept[i].bytes <= hak_kept[best].bytes) best = i;
    }
    if (best != HAK_LARGE_CACHE_ENTRIES) taken = hak_kept_remove(best);
    hak_lock_release(&hak_lock_large_cache);
    if (taken.base != NULL) *found = taken.bytes;
    return taken.base;
}

void hak_large_cache_put(char *base, size_t bytes) {
    hak_kept_t victims[HAK_LARGE_CACHE_ENTRIES];
    const uint64_t now_ns = hak_os_coarse_ns(), decay_ns = (uint64_t)hak_config.decay_ms * 1000000u;
    if (bytes > (size_t)hak_config.retain_mb << 20) {
        hak_os_unmap(base, bytes);
        return;
    }
    hak_lock_acquire(&hak_lock_large_cache);
    const uint32_t evicted = hak_kept_evict(victims, bytes, now_ns > decay_ns ? now_ns - decay_ns : 0);
    hak_kept[hak_kept_count] = (hak_kept_t){.base = base, .bytes = bytes, .freed_ns = now_ns};
    hak_kept_bytes += bytes;
    __atomic_store_n(&hak_kept_count, hak_kept_count + 1, __ATOMIC_RELAXED);
    hak_lock_release(&hak_lock_large_cache);
    hak_kept_unmap(victims, evicted);
}

static uint32_t hak_large_cache_drop(uint64_t oldest_ns) {
    hak_kept_t victims[HAK_LARGE_CACHE_ENTRIES];
    if (__atomic_load_n(&hak_kept_count, __ATOMIC_RELAXED) == 0) return 0;
    hak_lock_acquire(&hak_lock_large_cache);
    const uint32_t evicted = hak_kept_evict(victims, 0, oldest_ns);
    hak_lock_release(&hak_lock_large_cache);
    hak_kept_unmap(victims, evicted);
    return evicted;
}

void hak_large_cache_expire(void) {
    if (__atomic_load_n(&hak_kept_count, __ATOMIC_RELAXED) == 0) return;
    const uint64_t now_ns = hak_os_coarse_ns(), decay_ns = (uint64_t)hak_config.decay_ms * 1000000u;
    if (now_ns > decay_ns) hak_large_cache_drop(now_ns - decay_ns);
}

bool hak_large_cache_trim(void) { return hak_large_cache_drop(UINT64_MAX) != 0; }
