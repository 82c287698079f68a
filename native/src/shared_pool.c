#include "shared_pool.h"

#include "classes.h"
#include "config.h"
#include "heap.h"
#include "lock.h"
#include "node_pool.h"
#include "os.h"
#include "stats.h"
#include "smallmid.h"
#include "superslab.h"

/* SuperSlabs looked at for a run of several slots before a new one is made. */
#define HAK_POOL_PROBES 32u

hak_lock_t hak_lock_shared_pool = HAK_LOCK_INIT;

static hak_superslab_t *hak_pool_available; /* SuperSlabs with free slots, latest release first */
static hak_slab_t *hak_pool_empty[HAK_CLASSES];
static size_t hak_pool_dirty_slots;
static uint64_t hak_pool_live, hak_pool_peak;
static uint64_t hak_pool_next_decay_ns;
static size_t hak_pool_ready_slots; /* of slabs that wait on the lock-free stacks */

static uint64_t hak_slots_mask(unsigned first, unsigned slots) {
    return (slots == HAK_SLOTS ? ~(uint64_t)0 : ((uint64_t)1 << slots) - 1) << first;
}

static void hak_pool_list(hak_superslab_t *superslab) {
    if (superslab->listed) return;
    superslab->listed = 1;
    superslab->prev = NULL;
    superslab->next = hak_pool_available;
    if (hak_pool_available != NULL) hak_pool_available->prev = superslab;
    hak_pool_available = superslab;
}

static void hak_pool_unlist(hak_superslab_t *superslab) {
    if (!superslab->listed) return;
    superslab->listed = 0;
    if (superslab->prev != NULL) superslab->prev->next = superslab->next;
    else hak_pool_available = superslab->next;
    if (superslab->next != NULL) superslab->next->prev = superslab->prev;
}

static void hak_pool_list_empty(hak_slab_t *slab) {
    slab->state = HAK_SLAB_EMPTY;
    slab->prev = NULL;
    slab->next = hak_pool_empty[slab->cls];
    if (slab->next != NULL) slab->next->prev = slab;
    hak_pool_empty[slab->cls] = slab;
}

/* Each slot of a free slab stands for itself again. */
static void hak_pool_dissolve(hak_slab_t *slab) {
    hak_superslab_t *superslab = hak_superslab_of(slab);
    const unsigned first = (unsigned)(slab - superslab->slabs);
    for (unsigned slot = first; slot < first + slab->slots; slot++) {
        superslab->head[slot] = (uint8_t)slot;
        superslab->slabs[slot].state = HAK_SLAB_UNUSED;
    }
}

static void hak_pool_unlist_empty(hak_slab_t *slab) {
    if (slab->state != HAK_SLAB_EMPTY) return;
    if (slab->prev != NULL) slab->prev->next = slab->next;
    else hak_pool_empty[slab->cls] = slab->next;
    if (slab->next != NULL) slab->next->prev = slab->prev;
    hak_pool_dissolve(slab);
}

/* Forgets that slots in `mask` are EMPTY slabs of some class: they serve something else now, or lost their memory. */
static void hak_pool_forget_empty(hak_superslab_t *superslab, uint64_t mask) {
    for (; mask != 0; mask &= mask - 1) hak_pool_unlist_empty(&superslab->slabs[superslab->head[__builtin_ctzll(mask)]]);
}

/* HAKMEM_THP=1: a SuperSlab of which more than half is in use gets the rest of its pages as huge ones. */
static void hak_pool_consider_huge(hak_superslab_t *superslab) {
    if (superslab->huge || (unsigned)__builtin_popcountll(superslab->free_mask) >= HAK_SLOTS / 2) return;
    superslab->huge = 1;
    hak_os_advise_huge(superslab, HAK_SUPERSLAB_BYTES, true);
}

/* Takes slots out of the free set. */
static hak_slab_t *hak_pool_claim(hak_superslab_t *superslab, unsigned first, unsigned slots) {
    const uint64_t mask = hak_slots_mask(first, slots);
    hak_pool_forget_empty(superslab, mask & superslab->dirty_mask);
    hak_pool_dirty_slots -= (size_t)__builtin_popcountll(mask & superslab->dirty_mask);
    superslab->free_mask &= ~mask;
    superslab->dirty_mask &= ~mask;
    if (superslab->free_mask == 0) hak_pool_unlist(superslab);
    if (hak_config.thp == HAK_THP_WHEN_USED) hak_pool_consider_huge(superslab);
    for (unsigned slot = first; slot < first + slots; slot++) superslab->head[slot] = (uint8_t)first;
    superslab->slabs[first].slots = (uint8_t)slots;
    return &superslab->slabs[first];
}

/* First slot of a run of `slots` set bits, or 0 (slot 0 is never free). */
static unsigned hak_pool_run(uint64_t mask, unsigned slots) {
    for (unsigned i = 1; i < slots && mask != 0; i++) mask &= mask >> 1;
    return mask == 0 ? 0 : (unsigned)__builtin_ctzll(mask);
}

/* Who shares a SuperSlab with the class: all classes; the small-mid layer by itself; without stage 2 nobody. */
static unsigned hak_pool_domain(unsigned cls) {
    if (!hak_config.pool_stage2) return cls;
    return hak_smallmid_serves(cls) ? HAK_DOMAIN_SMALLMID : HAK_DOMAIN_SHARED;
}

/* Stage 1. */
static hak_slab_t *hak_pool_take_empty(unsigned cls) {
    hak_slab_t *slab = hak_pool_empty[cls];
    if (slab == NULL || !hak_config.pool_stage1) return NULL;
    return hak_pool_claim(hak_superslab_of(slab), (unsigned)(slab - hak_superslab_of(slab)->slabs), slab->slots);
}

/* Stage 1 without the lock. */
static hak_slab_t *hak_pool_take_ready(unsigned cls) {
    if (!hak_config.pool_lockfree || !hak_config.pool_stage1) return NULL;
    hak_slab_t *slab = hak_ready_pop(cls);
    if (slab == NULL) return NULL;
    __atomic_fetch_sub(&hak_pool_ready_slots, slab->slots, __ATOMIC_RELAXED);
    hak_stat_global(stage1, 1);
    hak_stat_global(stage1_lockfree, 1);
    hak_stat_acquire("stage1_lockfree", cls, slab);
    return slab;
}

/* Stage 2: touched slots before untouched ones. A SuperSlab that is free as a whole may change its domain. */
static hak_slab_t *hak_pool_take_unused(unsigned slots, unsigned domain, bool *clean) {
    unsigned probes = HAK_POOL_PROBES;
    for (hak_superslab_t *superslab = hak_pool_available; superslab != NULL && probes > 0; superslab = superslab->next) {
        if (superslab->domain != domain && superslab->free_mask != HAK_SUPERSLAB_ALL_FREE) continue;
        probes--;
        unsigned first = hak_pool_run(superslab->dirty_mask, slots);
        if (first == 0) first = hak_pool_run(superslab->free_mask, slots);
        if (first == 0) continue;
        superslab->domain = (uint8_t)domain;
        *clean = (superslab->dirty_mask & hak_slots_mask(first, slots)) == 0;
        return hak_pool_claim(superslab, first, slots);
    }
    return NULL;
}

/* A new SuperSlab joins the pool. The lock is held. */
static void hak_pool_welcome(hak_superslab_t *superslab) {
    hak_pool_list(superslab);
    __atomic_store_n(&hak_pool_live, hak_pool_live + 1, __ATOMIC_RELAXED);
    if (hak_pool_live > hak_pool_peak) __atomic_store_n(&hak_pool_peak, hak_pool_live, __ATOMIC_RELAXED);
}

/* Stage 3, without the lock held: the system call is the slow part. */
static hak_slab_t *hak_pool_take_new(unsigned slots, unsigned domain, bool *clean) {
    hak_superslab_t *superslab = superslab_create();
    if (superslab == NULL) return NULL;
    superslab->domain = (uint8_t)domain;
    if (domain == HAK_DOMAIN_SMALLMID) hak_stat_global(smallmid_superslabs, 1);
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_pool_welcome(superslab);
    hak_slab_t *slab = hak_pool_claim(superslab, 1, slots);
    hak_lock_release(&hak_lock_shared_pool);
    *clean = true;
    hak_stat_global(stage3, 1);
    return slab;
}

/* Stages 1 and 2 under the lock. */
static hak_slab_t *hak_pool_take_known(unsigned cls) {
    bool clean;
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_slab_t *slab = hak_pool_take_empty(cls);
    if (slab != NULL) {
        hak_stat_global(stage1, 1);
        hak_stat_acquire("stage1", cls, slab);
    } else if ((slab = hak_pool_take_unused(hak_class_slots(cls), hak_pool_domain(cls), &clean)) != NULL) {
        hak_stat_global(stage2, 1);
        hak_stat_acquire("stage2", cls, slab);
    }
    hak_lock_release(&hak_lock_shared_pool);
    return slab;
}

hak_slab_t *shared_pool_acquire_slab(hak_heap_t *heap, unsigned cls) {
    bool clean;
    hak_slab_t *slab = hak_pool_take_ready(cls);
    if (slab == NULL) slab = hak_pool_take_known(cls);
    if (slab == NULL && (slab = hak_pool_take_new(hak_class_slots(cls), hak_pool_domain(cls), &clean)) != NULL)
        hak_stat_acquire("stage3", cls, slab);
    if (slab == NULL) return NULL;
    hak_stat_global(slabs_acquired, 1);
    superslab_format(slab, heap, cls);
    return slab;
}

hak_slab_t *shared_pool_acquire_span(unsigned slots, bool *clean) {
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_slab_t *slab = hak_pool_take_unused(slots, HAK_DOMAIN_SHARED, clean);
    hak_lock_release(&hak_lock_shared_pool);
    if (slab == NULL) slab = hak_pool_take_new(slots, HAK_DOMAIN_SHARED, clean);
    if (slab == NULL) return NULL;
    slab->state = HAK_SLAB_SPAN;
    superslab_set_code(slab, slots, HAK_CODE_SPAN);
    return slab;
}

/* Purges the touched free slots of one SuperSlab, or gives it back whole. The lock is held, and dropped for the system
 * call: the slots are claimed meanwhile. */
static void hak_pool_purge(hak_superslab_t *superslab) {
    const uint64_t dirty = superslab->dirty_mask;
    const bool whole = superslab->free_mask == HAK_SUPERSLAB_ALL_FREE;
    const uint64_t taken = whole ? superslab->free_mask : dirty;
    hak_pool_forget_empty(superslab, dirty);
    hak_pool_dirty_slots -= (size_t)__builtin_popcountll(dirty);
    superslab->free_mask &= ~taken;
    superslab->dirty_mask = 0;
    if (superslab->free_mask == 0) hak_pool_unlist(superslab);
    __atomic_store_n(&hak_pool_live, hak_pool_live - whole, __ATOMIC_RELAXED);
    hak_lock_release(&hak_lock_shared_pool);
    if (whole) {
        superslab_release(superslab);
    } else {
        for (uint64_t left = taken; left != 0;) {
            const unsigned first = (unsigned)__builtin_ctzll(left);
            const uint64_t rest = ~(left >> first);
            const unsigned slots = rest == 0 ? HAK_SLOTS : (unsigned)__builtin_ctzll(rest);
            hak_os_purge((char *)superslab + first * HAK_SLOT_BYTES, slots * HAK_SLOT_BYTES);
            left &= ~hak_slots_mask(first, slots);
        }
    }
    hak_lock_acquire(&hak_lock_shared_pool);
    if (whole) return;
    superslab->free_mask |= taken;
    hak_pool_list(superslab);
}

static hak_superslab_t *hak_pool_oldest_dirty(void) {
    hak_superslab_t *oldest = NULL;
    for (hak_superslab_t *at = hak_pool_available; at != NULL; at = at->next)
        if (at->dirty_mask != 0 && (oldest == NULL || at->freed_ns <= oldest->freed_ns)) oldest = at;
    return oldest;
}

/* Slots that may lie idle: as configured, and at least an eighth of the pool. */
static size_t hak_pool_limit(void) {
    const size_t limit = (size_t)hak_config.retain_mb << (20 - HAK_SLOT_SHIFT);
    const size_t share = (size_t)shared_pool_live_superslabs() * (HAK_SLOTS / 8);
    return limit != 0 && limit < share ? share : limit;
}

/* Puts slots back into the free set. The lock is held. */
static void hak_pool_unclaim(hak_slab_t *slab) {
    hak_superslab_t *superslab = hak_superslab_of(slab);
    const uint64_t mask = hak_slots_mask((unsigned)(slab - superslab->slabs), slab->slots);
    superslab_set_code(slab, slab->slots, HAK_CODE_RELEASED);
    superslab->free_mask |= mask;
    superslab->dirty_mask |= mask;
    superslab->freed_ns = hak_os_coarse_ns();
    hak_pool_dirty_slots += slab->slots;
    hak_pool_list(superslab);
}

/* Slabs on the lock-free stacks come back to the lists, where they can be purged. The lock is held. */
static void hak_pool_take_back_ready(void) {
    if (!hak_config.pool_lockfree) return;
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++) {
        hak_slab_t *slab;
        while ((slab = hak_ready_pop(cls)) != NULL) {
            __atomic_fetch_sub(&hak_pool_ready_slots, slab->slots, __ATOMIC_RELAXED);
            hak_pool_list_empty(slab);
            hak_pool_unclaim(slab);
        }
    }
}

/* Keeps the memory of free slots below the limit, down to half of it once it is reached, least recently used first; and
 * drops what nobody wanted for the decay time. The lock is held. */
static void hak_pool_reclaim(void) {
    const uint64_t now_ns = hak_os_coarse_ns();
    const uint64_t decay_ns = (uint64_t)hak_config.decay_ms * 1000000u;
    const size_t limit = hak_pool_limit();
    if (hak_pool_dirty_slots > limit) {
        hak_superslab_t *oldest;
        while (hak_pool_dirty_slots > limit / 2 && (oldest = hak_pool_oldest_dirty()) != NULL) hak_pool_purge(oldest);
    }
    if (now_ns < hak_pool_next_decay_ns) return;
    __atomic_store_n(&hak_pool_next_decay_ns, now_ns + decay_ns / 4, __ATOMIC_RELAXED);
    hak_pool_take_back_ready();
    hak_superslab_t *oldest;
    while ((oldest = hak_pool_oldest_dirty()) != NULL && now_ns - oldest->freed_ns > decay_ns) hak_pool_purge(oldest);
}

/* True: the slab waits on its class's lock-free stack. Now and then that needs the lock after all, for the decay. */
static bool hak_pool_release_ready(hak_slab_t *slab) {
    const size_t slots = slab->slots;
    if (!hak_config.pool_lockfree || !hak_config.pool_stage1) return false;
    if (__atomic_load_n(&hak_pool_ready_slots, __ATOMIC_RELAXED) + slots > hak_pool_limit()) return false;
    superslab_set_code(slab, slab->slots, HAK_CODE_RELEASED);
    __atomic_fetch_add(&hak_pool_ready_slots, slots, __ATOMIC_RELAXED);
    if (!hak_ready_push(slab, slab->cls)) {
        __atomic_fetch_sub(&hak_pool_ready_slots, slots, __ATOMIC_RELAXED);
        return false;
    }
    if (hak_os_coarse_ns() < __atomic_load_n(&hak_pool_next_decay_ns, __ATOMIC_RELAXED)) return true;
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_pool_reclaim();
    hak_lock_release(&hak_lock_shared_pool);
    return true;
}

void shared_pool_release_slab(hak_slab_t *slab) {
    hak_stat_global(slabs_released, 1);
    if (hak_pool_release_ready(slab)) return;
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_pool_list_empty(slab);
    hak_pool_unclaim(slab);
    hak_pool_reclaim();
    hak_lock_release(&hak_lock_shared_pool);
}

void shared_pool_release_span(hak_slab_t *slab) {
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_pool_dissolve(slab);
    hak_pool_unclaim(slab);
    hak_pool_reclaim();
    hak_lock_release(&hak_lock_shared_pool);
}

/* The pages count as untouched: they are zero, and no purge takes them before they were used. */
void shared_pool_prewarm(uint32_t megabytes) {
    const size_t pieces = hak_round_up((size_t)megabytes << 20, HAK_SUPERSLAB_BYTES) >> HAK_SUPERSLAB_SHIFT;
    for (size_t i = 0; i < pieces; i++) {
        hak_superslab_t *superslab = superslab_create();
        if (superslab == NULL) return;
        const bool whole = hak_os_populate((char *)superslab + HAK_SLOT_BYTES, HAK_SUPERSLAB_BYTES - HAK_SLOT_BYTES);
        hak_stat_global(superslabs_prewarmed, 1);
        hak_lock_acquire(&hak_lock_shared_pool);
        hak_pool_welcome(superslab);
        hak_lock_release(&hak_lock_shared_pool);
        if (!whole) return;
    }
}

void shared_pool_gather(void) {
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_pool_take_back_ready();
    hak_lock_release(&hak_lock_shared_pool);
}

bool shared_pool_trim(void) {
    bool any = false;
    hak_superslab_t *superslab;
    hak_lock_acquire(&hak_lock_shared_pool);
    hak_pool_take_back_ready();
    while ((superslab = hak_pool_oldest_dirty()) != NULL) {
        hak_pool_purge(superslab);
        any = true;
    }
    hak_lock_release(&hak_lock_shared_pool);
    return any;
}

uint64_t shared_pool_live_superslabs(void) { return __atomic_load_n(&hak_pool_live, __ATOMIC_RELAXED); }
uint64_t shared_pool_peak_superslabs(void) { return __atomic_load_n(&hak_pool_peak, __ATOMIC_RELAXED); }
