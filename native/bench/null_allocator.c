/* libnull.so: the ceiling for an allocator that is preloaded. malloc walks through a small ring and free does nothing, but
 * both are called as a preloaded allocator is, through the loader's table and into another object; that is where much of a
 * short call's time goes. For the benchmarks alone: a block is handed out again when the ring has come round.
 *
 * What must last (the C library's own tables by calloc, aligned and large blocks) comes from memory that is not reused. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define RING_BYTES ((size_t)512 << 10)
#define RINGS 64u
#define LASTING_BYTES ((size_t)64 << 30)

typedef struct {
    char *start;
    size_t at;
} ring_t;

static char rings[RINGS][RING_BYTES];
static uint32_t rings_given;
static _Thread_local __attribute__((tls_model("initial-exec"))) ring_t ring;
static char *lasting;
static size_t lasting_used;

static void *lasting_alloc(size_t alignment, size_t size) {
    if (__atomic_load_n(&lasting, __ATOMIC_ACQUIRE) == NULL) {
        char *mapped = mmap(NULL, LASTING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        char *none = NULL;
        if (mapped == MAP_FAILED) return NULL;
        if (!__atomic_compare_exchange_n(&lasting, &none, mapped, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            munmap(mapped, LASTING_BYTES);
    }
    const size_t at = __atomic_fetch_add(&lasting_used, size + 2 * alignment, __ATOMIC_RELAXED);
    if (at + size + 2 * alignment > LASTING_BYTES) return NULL;
    return (char *)(((uintptr_t)lasting + at + alignment) & ~(uintptr_t)(alignment - 1));
}

static __attribute__((noinline)) void *ring_wrap(size_t size) {
    if (size > RING_BYTES / 2) return lasting_alloc(64, size);
    if (ring.start == NULL) ring.start = rings[__atomic_fetch_add(&rings_given, 1, __ATOMIC_RELAXED) % RINGS];
    ring.at = size;
    return ring.start;
}

__attribute__((visibility("default"))) void *malloc(size_t size) {
    size = (size + 15) & ~(size_t)15;
    const size_t at = ring.at;
    if (__builtin_expect(ring.start == NULL || at + size > RING_BYTES, 0)) return ring_wrap(size);
    ring.at = at + size;
    return ring.start + at;
}

__attribute__((visibility("default"))) void free(void *ptr) { (void)ptr; }

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size) { return lasting_alloc(16, count * size); }

/* The old block's size is not known: what lies behind it in the ring is copied along. */
__attribute__((visibility("default"))) void *realloc(void *ptr, size_t size) {
    char *copy = lasting_alloc(16, size);
    if (ptr != NULL && copy != NULL) memcpy(copy, ptr, size);
    return copy;
}

__attribute__((visibility("default"))) int posix_memalign(void **result, size_t alignment, size_t size) {
    *result = lasting_alloc(alignment, size);
    return *result == NULL ? ENOMEM : 0;
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size) {
    return lasting_alloc(alignment, size);
}
