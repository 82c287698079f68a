#include "large.h"

#include "alloc_header.h"
#include "config.h"
#include "large_cache.h"
#include "os.h"
#include "registry.h"
#include "shared_pool.h"
#include "stats.h"
#include "superslab.h"

/* Lies directly before the pointer of a mapping of its own. */
typedef struct {
    char *base;
    size_t bytes;
    uint64_t unused[4];
    hak_alloc_header_t header; /* its last byte reads as "no class byte" in the header layout */
} hak_large_t;

_Static_assert(sizeof(hak_large_t) == HAK_CACHE_LINE, "pointers of large blocks are aligned to a cache line");

static hak_large_t *hak_large_of(const void *ptr) { return (hak_large_t *)ptr - 1; }

/* Spans start at their slot, or behind a zero byte when headers are looked for. */
static size_t hak_span_offset(void) { return hak_config.header_layout ? HAK_CACHE_LINE : 0; }

static void *hak_span_alloc(size_t size, bool *zero) {
    const size_t bytes = size + hak_span_offset();
    hak_slab_t *slab = shared_pool_acquire_span((unsigned)((bytes + HAK_SLOT_BYTES - 1) >> HAK_SLOT_SHIFT), zero);
    if (slab == NULL) return NULL;
    char *start = hak_slab_start(slab);
    if (hak_config.header_layout) start[HAK_CACHE_LINE - 1] = 0;
    return start + hak_span_offset();
}

static void *hak_mapping_alloc(size_t alignment, size_t size, bool *zero) {
    const size_t offset = alignment > sizeof(hak_large_t) ? alignment : sizeof(hak_large_t);
    size_t bytes = hak_round_up(offset + size, HAK_SLOT_BYTES);
    char *base = alignment <= HAK_SLOT_BYTES ? hak_large_cache_take(bytes, &bytes) : NULL;
    *zero = base == NULL;
    if (base == NULL) base = hak_os_map_aligned(bytes, alignment > HAK_SLOT_BYTES ? alignment : HAK_SLOT_BYTES);
    if (base == NULL) return NULL;
    char *ptr = base + offset;
    char *slot = (char *)((uintptr_t)ptr & ~(HAK_SLOT_BYTES - 1));
    if (!hak_registry_insert(slot, HAK_REGISTRY_LARGE)) {
        hak_os_unmap(base, bytes);
        return NULL;
    }
    *hak_large_of(ptr) = (hak_large_t){.base = base, .bytes = bytes};
    if (hak_config.dual_headers) hak_alloc_header_write(ptr, HAK_METHOD_MMAP, size);
    hak_map_set(slot, 1, HAK_CODE_LARGE);
    return ptr;
}

void *hak_large_alloc(size_t alignment, size_t size, bool *zero) {
    if (size <= HAK_SPAN_MAX && alignment <= (hak_config.header_layout ? HAK_CACHE_LINE : HAK_SLOT_BYTES))
        return hak_span_alloc(size, zero);
    return hak_mapping_alloc(alignment, size, zero);
}

/* What stands before the pointer must make sense: a pointer into a block reads the program's own data there. */
static bool hak_mapping_starts_at(const void *ptr) {
    if ((uintptr_t)ptr % sizeof(hak_large_t) != 0) return false;
    const uintptr_t base = (uintptr_t)hak_large_of(ptr)->base;
    const size_t offset = (uintptr_t)ptr - base;
    return base % HAK_SLOT_BYTES == 0 && offset >= sizeof(hak_large_t) && hak_is_power_of_two(offset);
}

bool hak_large_free(void *ptr, hak_code_t code) {
    if (code == HAK_CODE_SPAN) {
        hak_slab_t *slab = hak_slab_of(ptr);
        if (ptr != hak_slab_start(slab) + hak_span_offset()) return false;
        shared_pool_release_span(slab);
        hak_large_cache_expire();
        return true;
    }
    if (!hak_mapping_starts_at(ptr)) return false;
    char *slot = (char *)((uintptr_t)ptr & ~(HAK_SLOT_BYTES - 1));
    hak_map_set(slot, 1, HAK_CODE_FOREIGN);
    hak_registry_remove(slot, HAK_REGISTRY_LARGE);
    hak_large_cache_put(hak_large_of(ptr)->base, hak_large_of(ptr)->bytes);
    return true;
}

size_t hak_large_usable(const void *ptr, hak_code_t code) {
    if (code == HAK_CODE_SPAN) return hak_slab_of(ptr)->slots * HAK_SLOT_BYTES - hak_span_offset();
    const hak_large_t *large = hak_large_of(ptr);
    return (size_t)(large->base + large->bytes - (const char *)ptr);
}

/* Moves the pages of a mapping whose pointer lies in its first slot; NULL when the system refuses. */
static char *hak_mapping_move(hak_large_t large, size_t bytes) {
    char *target = hak_os_map_aligned(bytes, HAK_SLOT_BYTES);
    if (target == NULL) return NULL;
    if (!hak_registry_insert(target, HAK_REGISTRY_LARGE)) {
        hak_os_unmap(target, bytes);
        return NULL;
    }
    if (!hak_os_move(large.base, large.bytes, target, bytes)) {
        hak_registry_remove(target, HAK_REGISTRY_LARGE);
        hak_os_unmap(target, bytes);
        return NULL;
    }
    hak_map_set(target, 1, HAK_CODE_LARGE);
    return target;
}

/* Mappings only, and only those that stay above the span sizes. The old address is forgotten before its pages move: from
 * then on another thread may be given it. */
void *hak_large_resize(void *ptr, hak_code_t code, size_t size) {
    if (code != HAK_CODE_LARGE || size <= HAK_SPAN_MAX) return NULL;
    const hak_large_t large = *hak_large_of(ptr);
    const size_t offset = (size_t)((char *)ptr - large.base);
    const size_t bytes = hak_round_up(offset + size, HAK_SLOT_BYTES);
    if (offset >= HAK_SLOT_BYTES) return NULL;
    char *base = hak_os_resize(large.base, large.bytes, bytes);
    if (base == NULL) {
        hak_map_set(large.base, 1, HAK_CODE_FOREIGN);
        hak_registry_remove(large.base, HAK_REGISTRY_LARGE);
        base = hak_mapping_move(large, bytes);
    }
    if (base == NULL) {
        hak_map_set(large.base, 1, HAK_CODE_LARGE);
        hak_registry_insert(large.base, HAK_REGISTRY_LARGE);
        return NULL;
    }
    hak_large_of(base + offset)->base = base;
    hak_large_of(base + offset)->bytes = bytes;
    return base + offset;
}
