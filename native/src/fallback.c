#include "fallback.h"

#include <dlfcn.h>

#include "config.h"
#include "stats.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void __libc_free(void *ptr);

static size_t hak_fallback_live;

void *hak_fallback_alloc(size_t alignment, size_t size) {
    void *ptr = alignment <= 16 ? __libc_malloc(size) : __libc_memalign(alignment, size);
    if (ptr == NULL) return NULL;
    if (hak_config.force_libc) return ptr;
    __atomic_fetch_add(&hak_fallback_live, 1, __ATOMIC_RELAXED);
    hak_stat_global(alloc_libc, 1);
    return ptr;
}

bool hak_fallback_free(void *ptr) {
    if (!hak_config.force_libc) {
        if (__atomic_load_n(&hak_fallback_live, __ATOMIC_RELAXED) == 0) return false;
        __atomic_fetch_sub(&hak_fallback_live, 1, __ATOMIC_RELAXED);
        hak_stat_free(libc, ptr);
    }
    __libc_free(ptr);
    return true;
}

/* These two have no private name in libc. */
size_t hak_fallback_usable(void *ptr) {
    static size_t (*usable)(void *);
    if (usable == NULL) usable = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
    return usable != NULL ? usable(ptr) : 0;
}

int hak_fallback_trim(size_t pad) {
    int (*const trim)(size_t) = (int (*)(size_t))dlsym(RTLD_NEXT, "malloc_trim");
    return trim != NULL ? trim(pad) : 0;
}

void *hak_fallback_zeroed(size_t size) { return __libc_calloc(1, size); }
void *hak_fallback_realloc(void *ptr, size_t size) { return __libc_realloc(ptr, size); }
