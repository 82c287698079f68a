/* The loop of random_mixed and mid_large_mt: a table of slots, a random slot and a random size at each step.
 *
 * replace: free what the slot holds, allocate anew; one operation is a free+malloc pair; the table is full from the start.
 * toggle:  free if the slot is taken, else allocate; one operation is a malloc or a free; the table starts empty. */
#ifndef BENCH_SLOTS_H
#define BENCH_SLOTS_H

#include "harness.h"

typedef struct {
    void **slots;
    uint64_t random;
    uint64_t mallocs, frees;
} bench_slots_t;

BENCH_LOOP void bench_replace(bench_allocator_t allocator, const bench_options_t *options, bench_slots_t *table,
                              uint64_t ops) {
    const size_t least = options->size_min, range = options->size_max - least + 1, count = options->working_set;
    void **const slots = table->slots;
    uint64_t random = table->random;
    for (uint64_t left = ops; left > 0; left--) {
        const uint64_t drawn = bench_random(&random);
        void **slot = &slots[bench_below_upper(drawn, count)];
        bench_free(allocator, *slot);
        *slot = bench_alloc(allocator, least + bench_below_lower(drawn, range));
    }
    table->random = random;
    table->mallocs += ops;
    table->frees += ops;
}

BENCH_LOOP void bench_toggle(bench_allocator_t allocator, const bench_options_t *options, bench_slots_t *table, uint64_t ops) {
    const size_t least = options->size_min, range = options->size_max - least + 1, count = options->working_set;
    void **const slots = table->slots;
    uint64_t random = table->random, mallocs = 0;
    for (uint64_t left = ops; left > 0; left--) {
        const uint64_t drawn = bench_random(&random);
        void **slot = &slots[bench_below_upper(drawn, count)];
        if (*slot != NULL) {
            bench_free(allocator, *slot);
            *slot = NULL;
        } else {
            *slot = bench_alloc(allocator, least + bench_below_lower(drawn, range));
            mallocs++;
        }
    }
    table->random = random;
    table->mallocs += mallocs;
    table->frees += ops - mallocs;
}

static inline void bench_slots_run(const bench_options_t *options, bench_slots_t *table, uint64_t ops) {
    if (options->mode == BENCH_REPLACE) BENCH_BY_ALLOCATOR(options->allocator, bench_replace, options, table, ops);
    else BENCH_BY_ALLOCATOR(options->allocator, bench_toggle, options, table, ops);
}

BENCH_LOOP void bench_fill(bench_allocator_t allocator, const bench_options_t *options, bench_slots_t *table) {
    const size_t least = options->size_min, range = options->size_max - least + 1;
    for (size_t i = 0; i < options->working_set; i++)
        table->slots[i] = bench_alloc(allocator, least + bench_below_upper(bench_random(&table->random), range));
    table->mallocs += options->working_set;
}

BENCH_LOOP void bench_drop(bench_allocator_t allocator, const bench_options_t *options, bench_slots_t *table) {
    for (size_t i = 0; i < options->working_set; i++) {
        if (table->slots[i] == NULL) continue;
        bench_free(allocator, table->slots[i]);
        table->frees++;
    }
}

/* The table, filled in replace mode, and the warm-up. */
static inline void bench_slots_begin(const bench_options_t *options, bench_slots_t *table, unsigned thread) {
    table->slots = bench_map(options->working_set * sizeof *table->slots);
    table->random = bench_seed(options->seed, thread);
    for (size_t i = 0; i < options->working_set; i++) ((void *volatile *)table->slots)[i] = NULL;
    if (options->mode == BENCH_REPLACE) BENCH_BY_ALLOCATOR(options->allocator, bench_fill, options, table);
    bench_slots_run(options, table, options->warmup);
}

static inline void bench_slots_end(const bench_options_t *options, bench_slots_t *table) {
    BENCH_BY_ALLOCATOR(options->allocator, bench_drop, options, table);
}

static inline const char *bench_slots_unit(const bench_options_t *options) {
    return options->mode == BENCH_REPLACE ? "malloc+free pair" : "malloc or free";
}

#endif
