#include "dispatch.h"

#include <errno.h>
#include <string.h>

#include "classify.h"
#include "config.h"
#include "drain.h"
#include "fallback.h"
#include "init.h"
#include "large.h"
#include "large_cache.h"
#include "mid.h"
#include "parked.h"
#include "refill.h"
#include "remote.h"
#include "report.h"
#include "shared_pool.h"
#include "superslab.h"

static void *hak_out_of_memory(void) {
    hak_stat_call(alloc_failed);
    errno = ENOMEM;
    return NULL;
}

/* The caller's own heap, made on first use; NULL when libc must serve: forced, no memory for a heap, or the thread's heap
 * is parked and nobody would park another. */
static hak_heap_t *hak_heap_of_caller(hak_heap_t *heap) {
    if (HAK_LIKELY(hak_heap_is_own(heap))) return heap;
    if (heap == &hak_ended_heap) return NULL;
    hak_init();
    return hak_config.force_libc ? NULL : hak_heap_enter();
}

/* The system gives no more: what is kept for reuse is in the way. Slabs serve any class once they are in the pool; for a
 * mapping the pool must give up address space. */
static void hak_relieve(hak_heap_t *heap, bool for_mapping) {
    hak_heap_drain(heap, false);
    hak_parked_cool(UINT64_MAX);
    hak_large_cache_trim();
    if (for_mapping) shared_pool_trim();
    else shared_pool_gather();
}

static void *hak_alloc_fallback(size_t alignment, size_t size) {
    void *ptr = hak_fallback_alloc(alignment, size);
    return ptr != NULL ? ptr : hak_out_of_memory();
}

static void *hak_class_refill(hak_heap_t *heap, unsigned cls) {
    void *block = ss_refill_fc_fill(heap, cls);
    if (HAK_UNLIKELY(block == NULL)) {
        hak_relieve(heap, false);
        block = ss_refill_fc_fill(heap, cls);
    }
    if (HAK_UNLIKELY(block == NULL)) return NULL;
    if (hak_class_bytes(cls) <= HAK_TINY_MAX) hak_stat_global(alloc_refill, 1);
    else hak_stat_global(alloc_mid_refill, 1);
    return block;
}

/* One block of a class: from the cache when every call takes the slow entry, else the cache is known to be empty. */
static void *hak_class_alloc(hak_heap_t *heap, unsigned cls, size_t alignment) {
    void *block = hak_bin_pop(&heap->cache[cls]);
    if (block == NULL) block = hak_class_refill(heap, cls);
    if (HAK_UNLIKELY(block == NULL)) return hak_alloc_fallback(alignment, hak_class_bytes(cls));
    if (HAK_UNLIKELY(hak_config.check_free)) hak_live_begin(block);
    return block;
}

static void *hak_alloc_large(hak_heap_t *heap, size_t alignment, size_t size, bool *zero) {
    if (HAK_UNLIKELY(size > PTRDIFF_MAX - alignment - HAK_SUPERSLAB_BYTES)) return hak_out_of_memory();
    hak_heap_drain_idle(heap);
    void *ptr = hak_large_alloc(alignment, size, zero);
    if (HAK_UNLIKELY(ptr == NULL)) {
        hak_relieve(heap, size > HAK_SPAN_MAX);
        ptr = hak_large_alloc(alignment, size, zero);
    }
    if (HAK_UNLIKELY(ptr == NULL)) {
        *zero = false;
        return hak_alloc_fallback(alignment, size);
    }
    hak_stat_global(alloc_large, 1);
    return ptr;
}

void *hak_alloc_beyond_tiny(size_t size, hak_heap_t *heap) {
    if (HAK_LIKELY(size < HAK_MID_MAX)) {
        void *block = hkm_ace_alloc(heap, size);
        if (HAK_LIKELY(block != NULL)) return block;
    }
    return hak_alloc_slow(size, heap);
}

/* With two kinds of headers 1 KB does not fit into C7 any more; libc served it historically. */
static HAK_NOINLINE void *hak_alloc_unforced(size_t size, hak_heap_t *heap) {
    heap = hak_heap_of_caller(heap);
    if (HAK_UNLIKELY(heap == NULL)) return hak_alloc_fallback(16, size);
    hak_stat_size(size);
    if (HAK_UNLIKELY(size > PTRDIFF_MAX)) return hak_out_of_memory();
    if (HAK_UNLIKELY(hak_config.dual_headers && size == HAK_TINY_MAX)) return hak_alloc_fallback(16, size);
    size += hak_config.header_layout;
    bool zero;
    if (size <= HAK_MID_MAX) return hak_class_alloc(heap, hak_class_of(size), 16);
    return hak_alloc_large(heap, 16, size, &zero);
}

/* Forced to libc, nothing but this test lies between the front and libc's malloc. */
void *hak_alloc_slow(size_t size, hak_heap_t *heap) {
    if (HAK_UNLIKELY(hak_config.force_libc)) return hak_fallback_plain(size);
    return hak_alloc_unforced(size, heap);
}

/* A block of the caller's own heap that the fast path did not take: another way to classify, or no side map. */
static void hak_free_own(hak_heap_t *heap, void *ptr, unsigned cls, hak_route_t route) {
    if (hak_class_bytes(cls) > HAK_TINY_MAX) hak_stat_free(mid, ptr);
    else if (route == HAK_ROUTE_MAP_FAST) hak_stat_free(map_fast, ptr);
    else if (route == HAK_ROUTE_HEADER_FAST) hak_stat_free(header_fast, ptr);
    else hak_stat_free(ss_hit, ptr);
    hak_bin_push(&heap->cache[cls], ptr);
    hak_stat_bin(heap, cls, put_in, 1);
}

/* Was the block the last that the thread freed of its class? */
static bool hak_is_newest(const hak_heap_t *heap, const void *ptr, hak_code_t code) {
    const unsigned cls = hak_code_class(code);
    if (hak_code_owner(code) == heap->id) return heap->cache[cls].head == ptr;
    const hak_outbox_t *box = &heap->outboxes[cls];
    return box->count != 0 && hak_outbox_newest(box) == ptr;
}

/* What is wrong with a free of a tiny or mid block, or NULL: it must not be the one that was freed last. When asked to look
 * closer, it must be the start of a block that the application has. */
static const char *hak_free_fault(const hak_heap_t *heap, const void *ptr, hak_code_t code) {
    if (HAK_CHECK_HEAD && hak_is_newest(heap, ptr, code)) return "double free of";
    if (HAK_LIKELY(!hak_config.check_free)) return NULL;
    const hak_slab_t *slab = hak_slab_of(ptr);
    const size_t offset = (size_t)((const char *)ptr - slab->first);
    if (offset % slab->block_bytes != 0 || offset / slab->block_bytes >= slab->capacity) return "free inside of a block:";
    return hak_live_end(ptr) ? NULL : "double free of";
}

/* A thread that only frees gets a heap too, to collect its blocks in batches. */
static hak_heap_t *hak_heap_of_freer(void) {
    hak_heap_t *heap = hak_heap_enter();
    return heap != NULL ? heap : &hak_empty_heap;
}

/* Not a block of a heap: a large one, libc's, or nobody's. */
static void hak_free_unowned(void *ptr, hak_code_t code, hak_route_t route) {
    const bool headed = route == HAK_ROUTE_ALLOC_HEADER;
    if ((code == HAK_CODE_SPAN || code == HAK_CODE_LARGE) && hak_large_free(ptr, code)) {
        if (headed) hak_stat_free(alloc_header, ptr);
        else hak_stat_free(large, ptr);
        return;
    }
    if (code == HAK_CODE_FOREIGN && (headed || !hak_config.dual_headers) && hak_fallback_free(ptr)) return;
    hak_stat_free(foreign, ptr);
    if (code == HAK_CODE_FOREIGN) hak_report("free of a pointer that was not allocated here:", ptr);
    else hak_report(code == HAK_CODE_RELEASED ? "double free of" : "free inside of a block:", ptr);
}

void hak_free_beyond_front(void *ptr, hak_heap_t *heap) {
    const hak_code_t code = hak_map_load(heap->map, heap->map_last, ptr);
    if (HAK_LIKELY(hak_code_owner(code) != 0 && heap->tag != HAK_TAG_NEVER && hak_remote_push(heap, ptr, code))) return;
    hak_free_slow(ptr, heap);
}

static HAK_NOINLINE void hak_free_unforced(void *ptr, hak_heap_t *heap) {
    if (ptr == NULL) {
        hak_stat_free(null, ptr);
        return;
    }
    const int saved = errno;
    hak_route_t route;
    const hak_code_t code = classify_ptr(ptr, &route);
    const char *const fault = hak_code_owner(code) != 0 ? hak_free_fault(heap, ptr, code) : NULL;
    if (HAK_UNLIKELY(fault != NULL)) {
        hak_stat_free(foreign, ptr);
        hak_report(fault, ptr);
    } else if (hak_code_owner(code) == 0) {
        hak_free_unowned(ptr, code, route);
    } else if (hak_code_owner(code) == heap->id) {
        hak_free_own(heap, ptr, hak_code_class(code), route);
    } else {
        hak_stat_route("remote", ptr);
        if (heap == &hak_empty_heap) heap = hak_heap_of_freer();
        hak_remote_free(heap, ptr, code);
    }
    errno = saved;
}

void hak_free_slow(void *ptr, hak_heap_t *heap) {
    if (HAK_UNLIKELY(hak_config.force_libc)) hak_fallback_plain_free(ptr);
    else hak_free_unforced(ptr, heap);
}

void *hak_alloc_zeroed(size_t size) {
    bool zero = false;
    void *ptr;
    if (HAK_UNLIKELY(hak_config.force_libc)) return hak_fallback_zeroed(size);
    hak_heap_t *heap = size >= HAK_MID_MAX && size <= PTRDIFF_MAX ? hak_heap_of_caller(hak_tls_heap) : NULL;
    if (heap != NULL) {
        hak_stat_size(size);
        ptr = hak_alloc_large(heap, 16, size + hak_config.header_layout, &zero);
    } else {
        ptr = hak_alloc(size);
    }
    if (ptr != NULL && !zero) memset(ptr, 0, size);
    return ptr;
}

/* Blocks whose size is a multiple of 64 are aligned to 64; beyond that the aligned classes serve, or a large block. */
void *hak_alloc_aligned(size_t alignment, size_t size) {
    if (alignment <= 16) return hak_alloc(size);
    hak_heap_t *heap = hak_heap_of_caller(hak_tls_heap);
    if (heap == NULL) return hak_alloc_fallback(alignment, size);
    if (alignment > PTRDIFF_MAX / 2 || size > PTRDIFF_MAX / 2) return hak_out_of_memory();
    hak_stat_size(size);
    size += size == 0;
    bool zero;
    if (alignment <= HAK_CACHE_LINE && size <= HAK_MID_MAX - HAK_CACHE_LINE)
        return hak_class_alloc(heap, hak_class_of(hak_round_up(size + hak_config.header_layout, HAK_CACHE_LINE)), alignment);
    const size_t need = size + hak_config.header_layout;
    if (alignment <= HAK_MID_MAX && need <= HAK_MID_MAX && (!hak_config.header_layout || hak_config.dual_headers))
        return hak_class_alloc(heap, hak_class_of_aligned(alignment, need), alignment);
    return hak_alloc_large(heap, alignment, size, &zero);
}

size_t hak_usable_size(void *ptr) {
    if (ptr == NULL) return 0;
    if (hak_config.force_libc) return hak_fallback_usable(ptr);
    const hak_code_t code = hak_code_of(ptr);
    if (hak_code_owner(code) != 0) return hak_class_bytes(hak_code_class(code)) - hak_config.header_layout;
    if (code == HAK_CODE_SPAN || code == HAK_CODE_LARGE) return hak_large_usable(ptr, code);
    return code == HAK_CODE_FOREIGN ? hak_fallback_usable(ptr) : 0;
}

/* In place while the block is at least half used. */
void *hak_realloc(void *ptr, size_t size) {
    if (HAK_UNLIKELY(hak_config.force_libc)) return hak_fallback_realloc(ptr, size);
    const size_t usable = hak_usable_size(ptr);
    if (size <= usable && size >= usable / 2) return ptr;
    if (usable > HAK_SPAN_MAX && size <= PTRDIFF_MAX / 2) {
        void *resized = hak_large_resize(ptr, hak_code_of(ptr), size);
        if (resized != NULL) {
            hak_stat_size(size);
            return resized;
        }
    }
    void *copy = hak_alloc(size);
    hak_stat_global(internal_allocs, 1);
    if (copy == NULL) return NULL;
    memcpy(copy, ptr, size < usable ? size : usable);
    hak_free(ptr);
    hak_stat_global(internal_frees, 1);
    return copy;
}
