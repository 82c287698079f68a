/* Threads that live for the whole time and swap blocks, while the sizes drift and the makers change: the second half of the
 * time must not need more memory than the first. What is resident is told for each tenth.
 *
 *     test_soak SECONDS */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { WORKERS = 4, SLOTS = 8192, BURST = 2000, REST_US = 4000, SIZES = 8, PHASES = 40, TENTHS = 10, MAKERS_CHANGE = 4 };

typedef struct {
    size_t size;
} block_t;

static block_t *slots[SLOTS];
static size_t live_bytes, most_live_bytes;
static double start, seconds;

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned phase_now(void) { return (unsigned)((seconds_now() - start) * PHASES / seconds); }

static uint32_t draw(uint64_t *random) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

static block_t *make(uint64_t *random, size_t least) {
    const size_t size = draw(random) % 64 == 0 ? 16 + draw(random) % 40000 : least + draw(random) % least;
    block_t *block = T(malloc)(size);
    CHECK(block != NULL);
    memset(block, 0xa5, size);
    block->size = size;
    const size_t live = __atomic_add_fetch(&live_bytes, size, __ATOMIC_RELAXED);
    if (live > __atomic_load_n(&most_live_bytes, __ATOMIC_RELAXED)) __atomic_store_n(&most_live_bytes, live, __ATOMIC_RELAXED);
    return block;
}

static void drop(block_t *block) {
    if (block == NULL) return;
    CHECK(block->size == sizeof *block || ((unsigned char *)block)[block->size - 1] == 0xa5);
    __atomic_sub_fetch(&live_bytes, block->size, __ATOMIC_RELAXED);
    T(free)(block);
}

/* In half of the phases a thread makes a block for each that it drops, in the others for every fourth. */
static void *work(void *argument) {
    const unsigned index = (unsigned)(uintptr_t)argument;
    uint64_t random = index + 1;
    for (unsigned phase; (phase = phase_now()) < PHASES;) {
        const size_t least = (size_t)16 << phase % SIZES;
        const bool maker = (index + phase / MAKERS_CHANGE) % WORKERS < WORKERS / 2;
        for (unsigned i = 0; i < BURST; i++) {
            block_t *block = maker || draw(&random) % 4 == 0 ? make(&random, least) : NULL;
            drop(__atomic_exchange_n(&slots[draw(&random) % SLOTS], block, __ATOMIC_ACQ_REL));
        }
        usleep(REST_US);
    }
    return NULL;
}

static size_t resident_bytes(void) {
    size_t pages = 0, ignored;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%zu %zu", &ignored, &pages) == 2);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The most that was resident in each tenth of the time. */
static void watch(size_t most[TENTHS]) {
    for (unsigned phase; (phase = phase_now()) < PHASES; usleep(20000)) {
        size_t *tenth = &most[phase * TENTHS / PHASES];
        const size_t resident = resident_bytes();
        if (resident > *tenth) *tenth = resident;
    }
}

static size_t most_of(const size_t *tenths, size_t count) {
    size_t most = 0;
    for (size_t i = 0; i < count; i++) most = tenths[i] > most ? tenths[i] : most;
    return most;
}

int main(int argc, char **argv) {
    pthread_t threads[WORKERS];
    seconds = argc == 2 ? atof(argv[1]) : 0;
    if (seconds <= 0) {
        fputs("test_soak SECONDS\n", stderr);
        return 2;
    }
    start = seconds_now();
    for (uintptr_t i = 0; i < WORKERS; i++) CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    size_t tenths[TENTHS] = {0};
    watch(tenths);
    for (unsigned i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < SLOTS; i++) drop(slots[i]);
    printf("soak of %g s: at most %zu MB alive; MB resident in each tenth:", seconds, most_live_bytes >> 20);
    for (unsigned i = 0; i < TENTHS; i++) printf(" %zu", tenths[i] >> 20);
    putchar('\n');
    CHECK(live_bytes == 0);
    const size_t first = most_of(tenths, TENTHS / 2), second = most_of(tenths + TENTHS / 2, TENTHS / 2);
    CHECK(second <= first + first / 4 + (8u << 20));
    return 0;
}
