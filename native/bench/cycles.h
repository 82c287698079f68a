/* The time-stamp counter: constant-rate cycles, not the core's own. Elsewhere than on x86-64 nanoseconds stand in. */
#ifndef BENCH_CYCLES_H
#define BENCH_CYCLES_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#define BENCH_CYCLES_UNIT "tsc cycles"
/* Earlier work is done before the counter is read, and later work does not begin before. */
static inline uint64_t bench_cycles(void) {
    unsigned core;
    const uint64_t now = __rdtscp(&core);
    _mm_lfence();
    return now;
}
#else
#define BENCH_CYCLES_UNIT "nanoseconds"
static inline uint64_t bench_cycles(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#endif

static inline int bench_compare_samples(const void *left, const void *right) {
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* Sorts the samples. */
static inline double bench_median(uint32_t *samples, size_t count) {
    qsort(samples, count, sizeof *samples, bench_compare_samples);
    return count % 2 != 0 ? samples[count / 2] : (samples[count / 2 - 1] + (double)samples[count / 2]) / 2;
}

/* What one pair of readings costs by itself. */
static inline double bench_cycles_overhead(void) {
    enum { READINGS = 1001 };
    uint32_t samples[READINGS];
    for (int i = 0; i < READINGS; i++) {
        const uint64_t start = bench_cycles();
        samples[i] = (uint32_t)(bench_cycles() - start);
    }
    return bench_median(samples, READINGS);
}

#endif
