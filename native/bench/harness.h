/* What every benchmark shares: options, the measured region, and the one JSON line.
 *
 * Three allocator modes: `real` calls malloc and free; `empty` makes no call at all (the cost of the loop); `null` calls,
 * through a pointer as a PLT does, an allocator that bumps through a small ring and whose free does nothing (the ceiling
 * for any allocator that is called at all). The loops are compiled once for each. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if BENCH_SYSTEM
extern void *__libc_malloc(size_t size);
extern void __libc_free(void *ptr);
#define BENCH_MALLOC __libc_malloc
#define BENCH_FREE __libc_free
#define BENCH_MALLOC_NAME "__libc_malloc"
#else
#define BENCH_MALLOC malloc
#define BENCH_FREE free
#define BENCH_MALLOC_NAME "malloc"
#endif

typedef enum { BENCH_REAL, BENCH_EMPTY, BENCH_NULL } bench_allocator_t;
typedef enum { BENCH_REPLACE, BENCH_TOGGLE } bench_mode_t;

typedef struct {
    const char *benchmark;
    uint64_t ops;
    double seconds;
    size_t size_min, size_max;
    size_t working_set;
    uint64_t rounds;
    uint64_t seed;
    unsigned threads;
    uint64_t warmup;
    bench_mode_t mode;
    bench_allocator_t allocator;
} bench_options_t;

typedef struct {
    uint64_t ops;
    const char *ops_unit;
    uint64_t mallocs, frees;             /* in the measured region */
    uint64_t total_mallocs, total_frees; /* by the benchmark in the whole process */
    const char *details;                 /* a JSON object of the benchmark's own, or NULL */
} bench_counts_t;

/* Long options over the defaults in `options`; positional arguments are left in `argv` and their number is returned.
 * Options that `usage` does not name are refused. `--help` prints `usage` and ends the process; so does a bad option, with exit status 2. */
int bench_parse(bench_options_t *options, int argc, char **argv, const char *usage);
/* Number from a positional argument, or exit 2 with a sentence that names it. */
uint64_t bench_number(const char *name, const char *text, uint64_t least, uint64_t most);
/* Checks that hold for every benchmark (size range, threads, working set). */
void bench_check(const bench_options_t *options);
_Noreturn void bench_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* First call in main: remembers when the process began to run its own code. */
void bench_start(void);
void bench_warmup_begins(void);
/* The measured region: tells perf (HAKPROF_CTL_FIFO, HAKPROF_ACK_FIFO) and takes the clocks. */
void bench_region_begins(void);
void bench_region_ends(void);
void bench_print(const bench_options_t *options, const bench_counts_t *counts);

/* Memory that is not the allocator's under test. */
void *bench_map(size_t bytes);
/* Starts `threads` threads on `run(argument + i * stride)`; they meet at the region's begin and end. */
void bench_run_threads(unsigned threads, void *(*run)(void *), void *arguments, size_t stride);
/* Called by each thread after its warm-up, and after its work. */
void bench_thread_ready(void);
void bench_thread_done(void);

extern void *(*volatile bench_null_malloc)(size_t size);
extern void (*volatile bench_null_free)(void *ptr);

/* wyrand: one addition, one wide multiplication (Wang Yi, public domain). */
static inline uint64_t bench_random(uint64_t *state) {
    *state += 0xA0761D6478BD642Fu;
    const unsigned __int128 product = (unsigned __int128)*state * (*state ^ 0xE7037ED1A0B428DBu);
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static inline uint64_t bench_seed(uint64_t seed, unsigned thread) {
    return (seed + 1) * 0x9E3779B97F4A7C15u + (uint64_t)thread * 0xD1B54A32D192ED03u + 1;
}

/* Uniform in [0, range) for ranges below 2^32, without a division, from the upper or the lower half of a random number. */
static inline size_t bench_below_upper(uint64_t random, size_t range) { return ((random >> 32) * range) >> 32; }
static inline size_t bench_below_lower(uint64_t random, size_t range) { return ((random & UINT32_MAX) * range) >> 32; }

/* One block with its first and last byte written. `allocator` is a constant in each compiled loop. */
static inline void *bench_alloc(bench_allocator_t allocator, size_t size) {
    if (allocator == BENCH_EMPTY) return (void *)(uintptr_t)(size | 1);
    char *block = allocator == BENCH_NULL ? bench_null_malloc(size) : BENCH_MALLOC(size);
    if (__builtin_expect(block == NULL, 0)) bench_fail("out of memory at a request of %zu bytes", size);
    block[0] = (char)size;
    block[size - 1] = (char)size;
    return block;
}

static inline void bench_free(bench_allocator_t allocator, void *block) {
    if (allocator == BENCH_REAL) BENCH_FREE(block);
    else if (allocator == BENCH_NULL) bench_null_free(block);
}

/* Runs `loop(allocator, …)` with the allocator as a constant. `loop` must be always_inline. */
#define BENCH_BY_ALLOCATOR(allocator, loop, ...)                         \
    do {                                                                 \
        if ((allocator) == BENCH_REAL) loop(BENCH_REAL, __VA_ARGS__);    \
        else if ((allocator) == BENCH_EMPTY) loop(BENCH_EMPTY, __VA_ARGS__); \
        else loop(BENCH_NULL, __VA_ARGS__);                              \
    } while (0)

#define BENCH_LOOP static inline __attribute__((always_inline))

#endif
