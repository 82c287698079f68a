/* churn: fill --ws slots with blocks, replace --ws random ones, free all; every byte of a block is written. Page faults, reuse
 * and giving back of memory show here. --ops is the number of rounds; one operation is a free+malloc pair. */
#include <string.h>

#include "harness.h"

typedef struct {
    void **slots;
    uint64_t random, pairs;
} churn_t;

static const char usage[] =
    "churn [ROUNDS [SLOTS [SEED]]]\n"
    "  --ops ROUNDS  --size MIN[:MAX]  --ws SLOTS  --seed N  --warmup ROUNDS  --allocator-mode real|empty|null\n";

BENCH_LOOP void *written_block(bench_allocator_t allocator, size_t size) {
    void *block = bench_alloc(allocator, size);
    if (allocator != BENCH_EMPTY) memset(block, (int)size, size);
    return block;
}

BENCH_LOOP void run_rounds(bench_allocator_t allocator, const bench_options_t *options, churn_t *churn, uint64_t rounds) {
    const size_t least = options->size_min, range = options->size_max - least + 1, count = options->working_set;
    void **const slots = churn->slots;
    uint64_t random = churn->random;
    for (uint64_t left = rounds; left > 0; left--) {
        for (size_t i = 0; i < count; i++)
            slots[i] = written_block(allocator, least + bench_below_lower(bench_random(&random), range));
        for (size_t i = 0; i < count; i++) {
            const uint64_t drawn = bench_random(&random);
            void **slot = &slots[bench_below_upper(drawn, count)];
            bench_free(allocator, *slot);
            *slot = written_block(allocator, least + bench_below_lower(drawn, range));
        }
        for (size_t i = 0; i < count; i++) bench_free(allocator, slots[i]);
    }
    churn->random = random;
    churn->pairs += rounds * count * 2;
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "churn", .ops = 20, .size_min = 64, .size_max = 4096, .working_set = 20000,
                               .seed = 42, .threads = 1, .warmup = 0};
    const int count = bench_parse(&options, argc, argv, usage);
    if (count > 3) bench_usage_error("at most three arguments, got %d", count);
    if (count > 0) options.ops = bench_number("ROUNDS", argv[1], 1, UINT32_MAX);
    if (count > 1) options.working_set = bench_number("SLOTS", argv[2], 1, 1u << 28);
    if (count > 2) options.seed = bench_number("SEED", argv[3], 0, UINT64_MAX / 2);
    bench_check(&options);
    churn_t churn = {.slots = bench_map(options.working_set * sizeof(void *)), .random = bench_seed(options.seed, 0)};
    bench_warmup_begins();
    BENCH_BY_ALLOCATOR(options.allocator, run_rounds, &options, &churn, options.warmup);
    bench_region_begins();
    BENCH_BY_ALLOCATOR(options.allocator, run_rounds, &options, &churn, options.ops);
    bench_region_ends();
    bench_counts_t counts = {.ops = options.ops * options.working_set * 2, .ops_unit = "malloc+free pair"};
    counts.mallocs = counts.frees = counts.ops;
    counts.total_mallocs = counts.total_frees = churn.pairs;
    bench_print(&options, &counts);
    return 0;
}
