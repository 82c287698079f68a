/* What the standards and glibc promise of the malloc family, one function for each promise. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Kept from the optimizer, which knows malloc's contract. */
static void *volatile sink;

static size_t sizes[512];
static size_t size_count;

/* Every size to 1100, then around each multiple of the mid classes' steps and the borders of the larger regimes. */
static void make_sizes(void) {
    static const size_t borders[] = {1024, 4096, 8192, 16384, 32768, 65536, 131072, 1u << 20, 3u << 20, 17u << 20};
    for (size_t size = 0; size <= 260; size++) sizes[size_count++] = size;
    for (size_t i = 0; i < sizeof borders / sizeof borders[0]; i++)
        for (size_t around = 0; around < 7; around++) sizes[size_count++] = borders[i] - 3 + around;
    for (size_t size = 300; size < 70000; size += size / 9) sizes[size_count++] = size;
    CHECK(size_count < sizeof sizes / sizeof sizes[0]);
}

static void fill(void *block, size_t size, unsigned char value) { memset(block, value, size); }

static bool holds(const void *block, size_t size, unsigned char value) {
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value) return false;
    return true;
}

static void test_alignment_and_usable_size(void) {
    for (size_t i = 0; i < size_count; i++) {
        void *block = T(malloc)(sizes[i]);
        CHECK(block != NULL && (uintptr_t)block % 16 == 0);
        CHECK(T(malloc_usable_size)(block) >= sizes[i]);
        fill(block, T(malloc_usable_size)(block), 0x5A);
        T(free)(block);
    }
}

static void test_blocks_do_not_overlap(void) {
    static void *blocks[512];
    for (size_t i = 0; i < size_count; i++) {
        blocks[i] = T(malloc)(sizes[i]);
        fill(blocks[i], sizes[i], (unsigned char)i);
    }
    for (size_t i = 0; i < size_count; i++) {
        CHECK(holds(blocks[i], sizes[i], (unsigned char)i));
        T(free)(blocks[i]);
    }
}

static void test_zero_sizes_are_unique(void) {
    void *first = T(malloc)(0), *second = T(malloc)(0), *third = T(calloc)(0, 8);
    CHECK(first != NULL && second != NULL && third != NULL);
    CHECK(first != second && second != third);
    T(free)(first);
    T(free)(second);
    T(free)(third);
    T(free)(NULL);
}

static void test_huge_sizes_fail(void) {
    const size_t huge[] = {SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX};
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        errno = 0;
        sink = T(malloc)(huge[i]);
        CHECK(sink == NULL && errno == ENOMEM);
        errno = 0;
        sink = T(calloc)(1, huge[i]);
        CHECK(sink == NULL && errno == ENOMEM);
        void *result = &sizes;
        CHECK(T(posix_memalign)(&result, 64, huge[i]) == ENOMEM && result == &sizes);
        errno = 0;
        sink = T(pvalloc)(huge[i]);
        CHECK(sink == NULL && errno == ENOMEM);
    }
}

static void test_products_that_overflow(void) {
    const volatile size_t half = (SIZE_MAX >> 1) + 2;
    errno = 0;
    sink = T(calloc)(half, 2);
    CHECK(sink == NULL && errno == ENOMEM);
    void *volatile kept = T(malloc)(10);
    errno = 0;
    sink = T(reallocarray)(kept, half, 2);
    CHECK(sink == NULL && errno == ENOMEM);
    T(free)(kept);
}

static void test_calloc_is_zero_after_use(void) {
    for (size_t i = 0; i < size_count; i++) {
        if (sizes[i] > (4u << 20)) continue;
        void *used = T(malloc)(sizes[i]);
        fill(used, sizes[i], 0xFF);
        T(free)(used);
        void *zeroed = T(calloc)(1, sizes[i]);
        CHECK(holds(zeroed, sizes[i], 0));
        T(free)(zeroed);
    }
}

static void test_realloc_keeps_contents(void) {
    for (size_t i = 0; i + 1 < size_count; i++) {
        const size_t from = sizes[i], to = sizes[(i * 7 + 3) % size_count], both = from < to ? from : to;
        void *block = T(malloc)(from);
        fill(block, from, 0x3C);
        if (to == 0) {
            T(free)(block);
            continue;
        }
        block = T(realloc)(block, to);
        CHECK(block != NULL && (uintptr_t)block % 16 == 0 && holds(block, both, 0x3C));
        T(free)(block);
    }
    void *block = T(realloc)(NULL, 100);
    CHECK(block != NULL);
    CHECK(T(realloc)(block, 0) == NULL);
}

/* A buffer that doubles through every regime; the last byte of each step is found again after the next. */
static void test_realloc_ladder(void) {
    char *block = NULL;
    for (size_t size = 1; size <= 64u << 20; size *= 2) {
        block = T(realloc)(block, size);
        CHECK(block != NULL && (size == 1 || block[size / 2 - 1] == (char)(size / 2 + 1)));
        block[size - 1] = (char)(size + 1);
    }
    block = T(realloc)(block, 100);
    CHECK(block != NULL && block[0] == 2);
    T(free)(block);
}

static void test_aligned_family(void) {
    for (size_t alignment = 8; alignment <= 4u << 20; alignment *= 2) {
        for (size_t i = 0; i < size_count; i += 13) {
            void *block = NULL;
            CHECK(T(posix_memalign)(&block, alignment, sizes[i]) == 0);
            CHECK(block != NULL && (uintptr_t)block % alignment == 0);
            CHECK(T(malloc_usable_size)(block) >= sizes[i]);
            fill(block, sizes[i], 0x11);
            void *moved = T(realloc)(block, sizes[i] + 100);
            CHECK(holds(moved, sizes[i], 0x11));
            T(free)(moved);
        }
        void *block = T(aligned_alloc)(alignment, alignment);
        CHECK(block != NULL && (uintptr_t)block % alignment == 0);
        T(free)(block);
        block = T(memalign)(alignment, 33);
        CHECK(block != NULL && (uintptr_t)block % alignment == 0);
        T(free)(block);
    }
    void *page = T(valloc)(100), *pages = T(pvalloc)(100);
    CHECK((uintptr_t)page % 4096 == 0 && (uintptr_t)pages % 4096 == 0);
    CHECK(T(malloc_usable_size)(pages) >= 4096);
    T(free)(page);
    T(free)(pages);
}

static void test_bad_alignments(void) {
    void *result = &sizes;
    CHECK(T(posix_memalign)(&result, 24, 10) == EINVAL);
    CHECK(T(posix_memalign)(&result, 2, 10) == EINVAL);
    CHECK(T(posix_memalign)(&result, 0, 10) == EINVAL && result == &sizes);
    errno = 0;
    sink = T(aligned_alloc)(24, 48);
    CHECK(sink == NULL && errno == EINVAL);
    sink = T(memalign)(24, 48);
    CHECK(sink != NULL && (uintptr_t)sink % 32 == 0);
    T(free)(sink);
}

static void test_errno_survives(void) {
    static const size_t some[] = {16, 2000, 100000, 5u << 20};
    for (size_t i = 0; i < 4; i++) {
        errno = 1234;
        void *block = T(malloc)(some[i]);
        CHECK(errno == 1234);
        T(free)(block);
        CHECK(errno == 1234);
    }
}

static void *free_all(void *argument) {
    void **blocks = argument;
    for (size_t i = 0; blocks[i] != NULL; i++) T(free)(blocks[i]);
    return NULL;
}

static void test_free_in_another_thread(void) {
    static void *blocks[1001];
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < 1000; i++) blocks[i] = T(malloc)(i % 97 == 0 ? 50000 : 8 + i * 5);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, free_all, blocks) == 0);
        pthread_join(thread, NULL);
    }
}

static pthread_key_t key;

static void destructor(void *block) {
    T(free)(block);
    T(free)(T(malloc)(100));
}

static void *set_specific(void *unused) {
    (void)unused;
    void *block = T(malloc)(64);
    pthread_setspecific(key, block);
    return NULL;
}

static void test_thread_destructors(void) {
    CHECK(pthread_key_create(&key, destructor) == 0);
    for (unsigned i = 0; i < 50; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, set_specific, NULL) == 0);
        pthread_join(thread, NULL);
    }
    pthread_key_delete(key);
}

static volatile int stop_churning;

static void *churn(void *unused) {
    (void)unused;
    while (!__atomic_load_n(&stop_churning, __ATOMIC_RELAXED)) {
        void *blocks[64];
        for (size_t i = 0; i < 64; i++) blocks[i] = T(malloc)(i * 700);
        for (size_t i = 0; i < 64; i++) T(free)(blocks[i]);
    }
    return NULL;
}

/* The child of a threaded program must be able to allocate, free what others allocated, and start threads. */
static void test_fork(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, churn, NULL) == 0);
    for (unsigned i = 0; i < 20; i++) {
        void *before = T(malloc)(300);
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            T(free)(before);
            for (size_t j = 0; j < 2000; j++) T(free)(T(malloc)(j * 37));
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        T(free)(before);
    }
    __atomic_store_n(&stop_churning, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

static size_t resident_bytes(void) {
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu %lu", &total, &resident) == 2);
    fclose(file);
    return resident * 4096;
}

/* 64 MB of small blocks are freed; malloc_trim gives nearly all of it back. */
static void test_memory_goes_back(void) {
    enum { COUNT = 65536 };
    void **blocks = T(malloc)(COUNT * sizeof *blocks);
    const size_t before = resident_bytes();
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = T(malloc)(1000);
        fill(blocks[i], 1000, 1);
    }
    CHECK(resident_bytes() > before + (50u << 20));
    for (size_t i = 0; i < COUNT; i++) T(free)(blocks[i]);
    T(malloc_trim)(0);
    CHECK(resident_bytes() < before + (8u << 20));
    T(free)(blocks);
}

/* Another class takes over what one class no longer needs, without a trim. */
static void test_emptied_slabs_serve_other_classes(void) {
    enum { COUNT = 30000 };
    void **blocks = T(malloc)(COUNT * sizeof *blocks);
    size_t first_peak = 0;
    for (size_t round = 0; round < 12; round++) {
        const size_t size = 520 + round * 40;
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = T(malloc)(size);
            fill(blocks[i], size, 2);
        }
        if (round == 0) first_peak = resident_bytes();
        for (size_t i = 0; i < COUNT; i++) T(free)(blocks[i]);
    }
    CHECK(resident_bytes() < first_peak * 3 + (32u << 20));
    T(free)(blocks);
}

/* Reported on stderr, and otherwise without effect. */
static void test_foreign_and_double_frees(void) {
    static char not_allocated[4096];
    void *large = T(malloc)(4u << 20), *span = T(malloc)(200000);
    void *volatile hidden = not_allocated + 64;
    T(free)(hidden);
    hidden = large;
    T(free)(large);
    T(free)(hidden);
    hidden = span;
    T(free)(span);
    T(free)(hidden);
    CHECK(T(malloc_usable_size)(NULL) == 0);
    T(free)(T(malloc)(100));
}

int main(int argc, char **argv) {
    (void)argv;
    make_sizes();
    test_alignment_and_usable_size();
    test_blocks_do_not_overlap();
    test_zero_sizes_are_unique();
    test_huge_sizes_fail();
    test_products_that_overflow();
    test_calloc_is_zero_after_use();
    test_realloc_keeps_contents();
    test_realloc_ladder();
    test_aligned_family();
    test_bad_alignments();
    test_errno_survives();
    test_free_in_another_thread();
    test_thread_destructors();
    if (argc == 1) {
        test_fork();
        test_memory_goes_back();
        test_emptied_slabs_serve_other_classes();
    }
    test_foreign_and_double_frees();
    puts("test_api: all promises hold");
    return 0;
}
