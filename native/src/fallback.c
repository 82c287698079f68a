#include "fallback.h"

#include <dlfcn.h>

#include "alloc_header.h"
#include "config.h"
#include "fallback_blocks.h"
#include "stats.h"

/* Libc's allocator by the names that nobody takes from it; without interposition its common names are still its own, or a
 * sanitizer's that is to see these calls. */
#if HAK_INTERPOSE
#define HAK_LIBC(name) __libc_##name
extern void *__libc_malloc(size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void __libc_free(void *ptr);
#else
#include <malloc.h>
#define HAK_LIBC(name) name
#endif

static size_t hak_fallback_live;

bool hak_fallback_in_use(void) { return __atomic_load_n(&hak_fallback_live, __ATOMIC_RELAXED) != 0; }

/* With two kinds of headers: what stands before a block of libc's. */
typedef struct {
    void *raw; /* libc's pointer */
    uint64_t unused;
    hak_alloc_header_t header;
} hak_fallback_headed_t;

static hak_fallback_headed_t *hak_fallback_headed_of(const void *ptr) { return (hak_fallback_headed_t *)ptr - 1; }

static void *hak_fallback_headed(size_t alignment, size_t size) {
    const size_t room = sizeof(hak_fallback_headed_t) + (alignment > 16 ? alignment : 0);
    void *raw = size > PTRDIFF_MAX - room ? NULL : HAK_LIBC(malloc)(size + room);
    if (raw == NULL) return NULL;
    void *ptr = (void *)hak_round_up((uintptr_t)raw + sizeof(hak_fallback_headed_t), alignment);
    hak_fallback_headed_of(ptr)->raw = raw;
    hak_alloc_header_write(ptr, HAK_METHOD_LIBC, size);
    return ptr;
}

void *hak_fallback_alloc(size_t alignment, size_t size) {
    const bool headed = hak_config.dual_headers && !hak_config.force_libc;
    void *ptr;
    if (headed) ptr = hak_fallback_headed(alignment, size);
    else ptr = alignment <= 16 ? HAK_LIBC(malloc)(size) : HAK_LIBC(memalign)(alignment, size);
    if (ptr == NULL || hak_config.force_libc) return ptr;
    if (!headed && !hak_fallback_blocks_add(ptr)) {
        HAK_LIBC(free)(ptr);
        return NULL;
    }
    __atomic_fetch_add(&hak_fallback_live, 1, __ATOMIC_RELAXED);
    hak_stat_global(alloc_libc, 1);
    return ptr;
}

/* libc's own pointer. The header is forgotten, so that a second free of the block does not find it. */
static void *hak_fallback_behead(void *ptr) {
    hak_fallback_headed_t *headed = hak_fallback_headed_of(ptr);
    headed->header.magic = 0;
    return headed->raw;
}

bool hak_fallback_free(void *ptr) {
    if (!hak_fallback_in_use()) return false;
    if (!hak_config.dual_headers && !hak_fallback_blocks_remove(ptr)) return false;
    __atomic_fetch_sub(&hak_fallback_live, 1, __ATOMIC_RELAXED);
    if (hak_config.dual_headers) {
        hak_stat_free(alloc_header_libc, ptr);
        ptr = hak_fallback_behead(ptr);
    } else {
        hak_stat_free(libc, ptr);
    }
    HAK_LIBC(free)(ptr);
    return true;
}

/* libc has no private name for it. */
static size_t hak_fallback_ask(void *ptr) {
    static size_t (*known)(void *);
    size_t (*usable)(void *) = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (usable == NULL) {
        usable = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
        __atomic_store_n(&known, usable, __ATOMIC_RELAXED);
    }
    return usable != NULL ? usable(ptr) : 0;
}

size_t hak_fallback_usable(void *ptr) {
    if (hak_config.force_libc) return hak_fallback_ask(ptr);
    if (!hak_fallback_in_use()) return 0;
    if (!hak_config.dual_headers) return hak_fallback_blocks_has(ptr) ? hak_fallback_ask(ptr) : 0;
    return hak_alloc_header_method(ptr) == HAK_METHOD_LIBC ? hak_alloc_header_of(ptr)->size : 0;
}

int hak_fallback_trim(size_t pad) {
    int (*const trim)(size_t) = (int (*)(size_t))dlsym(RTLD_NEXT, "malloc_trim");
    return trim != NULL ? trim(pad) : 0;
}

void *hak_fallback_plain(size_t size) { return HAK_LIBC(malloc)(size); }
void hak_fallback_plain_free(void *ptr) { HAK_LIBC(free)(ptr); }
void *hak_fallback_zeroed(size_t size) { return HAK_LIBC(calloc)(1, size); }
void *hak_fallback_realloc(void *ptr, size_t size) { return HAK_LIBC(realloc)(ptr, size); }
