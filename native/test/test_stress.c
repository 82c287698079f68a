/* Random work in several threads, with a trim now and then: every block knows its size and a pattern that is checked when it
 * is freed, reallocated or passed on; blocks travel between threads through a shared table; threads end and are replaced.
 *
 *     test_stress [THREADS [STEPS [SEED]]]            the seed is printed */
#include <pthread.h>
#include <string.h>

#include "check.h"

enum { OWN_SLOTS = 400, SHARED_SLOTS = 1024, GENERATIONS = 4, SMALLEST = 16 };

typedef struct {
    uint32_t size;
    uint32_t seed;
    unsigned char bytes[];
} block_t;

typedef struct {
    uint64_t random;
    uint64_t steps;
} worker_t;

static block_t *shared[SHARED_SLOTS];

static uint32_t draw(worker_t *worker) {
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(worker->random >> 33);
}

/* Mostly small, sometimes mid, rarely large or huge. */
static size_t draw_size(worker_t *worker) {
    const uint32_t kind = draw(worker) % 1000;
    if (kind < 800) return SMALLEST + draw(worker) % 1100;
    if (kind < 980) return SMALLEST + draw(worker) % 40000;
    if (kind < 998) return SMALLEST + draw(worker) % 400000;
    return SMALLEST + draw(worker) % (4u << 20);
}

/* Only the ends of large blocks are written, to keep the test fast. */
static void write_range(block_t *block, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) block->bytes[i] = (unsigned char)(block->seed + i);
}

static void check_range(const block_t *block, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) CHECK(block->bytes[i] == (unsigned char)(block->seed + i));
}

static void stamp(block_t *block, size_t size, uint32_t seed) {
    block->size = (uint32_t)size;
    block->seed = seed;
    const size_t bytes = size - sizeof *block, ends = bytes < 128 ? bytes : 64;
    write_range(block, 0, ends);
    write_range(block, bytes - ends, bytes);
}

static void check(const block_t *block) {
    const size_t bytes = block->size - sizeof *block, ends = bytes < 128 ? bytes : 64;
    CHECK(T(malloc_usable_size)((void *)block) >= block->size);
    check_range(block, 0, ends);
    check_range(block, bytes - ends, bytes);
}

static block_t *make(worker_t *worker) {
    const size_t size = draw_size(worker);
    const uint32_t kind = draw(worker) % 16;
    block_t *block = NULL;
    if (kind == 0) {
        const size_t alignment = (size_t)16 << draw(worker) % (draw(worker) % 8 == 0 ? 15 : 9);
        CHECK(T(posix_memalign)((void **)&block, alignment, size) == 0);
        CHECK((uintptr_t)block % alignment == 0);
    } else if (kind == 1) {
        block = T(calloc)(1, size);
        CHECK(block != NULL && block->size == 0 && ((unsigned char *)block)[size - 1] == 0);
    } else {
        block = T(malloc)(size);
    }
    CHECK(block != NULL && (uintptr_t)block % 16 == 0);
    stamp(block, size, draw(worker));
    return block;
}

static void drop(block_t *block) {
    if (block == NULL) return;
    check(block);
    T(free)(block);
}

static block_t *resize(worker_t *worker, block_t *block) {
    const size_t size = draw_size(worker), old = block->size - sizeof *block;
    const uint32_t seed = block->seed;
    check(block);
    block = T(realloc)(block, size);
    CHECK(block != NULL && block->seed == seed);
    size_t kept = old < 128 ? old : 64;
    if (kept > size - sizeof *block) kept = size - sizeof *block;
    check_range(block, 0, kept);
    stamp(block, size, draw(worker));
    return block;
}

static void step(worker_t *worker, block_t **own) {
    block_t **slot = &own[draw(worker) % OWN_SLOTS];
    const uint32_t kind = draw(worker) % 10;
    if (draw(worker) % 4096 == 0) T(malloc_trim)(0);
    if (kind < 3) {
        *slot = __atomic_exchange_n(&shared[draw(worker) % SHARED_SLOTS], *slot, __ATOMIC_ACQ_REL);
        if (*slot != NULL) check(*slot);
    } else if (kind < 4 && *slot != NULL) {
        *slot = resize(worker, *slot);
    } else {
        drop(*slot);
        *slot = kind < 9 ? make(worker) : NULL;
    }
}

static void *work(void *argument) {
    worker_t *worker = argument;
    static _Thread_local block_t *own[OWN_SLOTS];
    for (uint64_t i = 0; i < worker->steps; i++) step(worker, own);
    for (size_t i = 0; i < OWN_SLOTS; i++) drop(own[i]);
    memset(own, 0, sizeof own);
    return NULL;
}

int main(int argc, char **argv) {
    const unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
    const uint64_t steps = argc > 2 ? strtoull(argv[2], NULL, 10) : 40000;
    const uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 42;
    CHECK(threads >= 1 && threads <= 64);
    printf("test_stress: %u threads, %llu steps, seed %llu\n", threads, (unsigned long long)steps, (unsigned long long)seed);
    fflush(stdout);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        pthread_t ids[64];
        worker_t workers[64];
        for (unsigned i = 0; i < threads; i++) {
            workers[i] = (worker_t){.random = seed + generation * 1000 + i, .steps = steps / GENERATIONS};
            CHECK(pthread_create(&ids[i], NULL, work, &workers[i]) == 0);
        }
        for (unsigned i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    }
    for (size_t i = 0; i < SHARED_SLOTS; i++) drop(shared[i]);
    return 0;
}
