/* random_mixed: one thread (or several, each by itself), blocks of one size or of mixed sizes, random slots.
 *
 * The documents' second argument is a size in some and a working set in others. Here it is a size up to 1024 (blocks of
 * exactly that size, 4096 slots), and a working set above (16–1040 bytes). The named flags leave no doubt. */
#include "workers.h"

#define SIZE_ARGUMENT_MOST 1024u

static const char usage[] =
    "random_mixed [ITERATIONS [SIZE-OR-WORKING-SET [SEED]]]\n"
    "  second argument up to 1024: block size; above: number of slots, with sizes 16:1040\n"
    "  --ops N  --size MIN[:MAX]  --ws N  --seed N  --threads N  --mode replace|toggle  --warmup N\n"
    "  --allocator-mode real|empty|null\n";

static void positional(bench_options_t *options, int count, char **argument) {
    if (count > 3) bench_usage_error("at most three arguments, got %d", count);
    if (count > 0) options->ops = bench_number("ITERATIONS", argument[0], 1, UINT64_MAX / 4);
    if (count > 1) {
        const uint64_t value = bench_number("SIZE-OR-WORKING-SET", argument[1], 1, 1u << 28);
        if (value <= SIZE_ARGUMENT_MOST) options->size_min = options->size_max = value;
        else options->working_set = value;
    }
    if (count > 2) options->seed = bench_number("SEED", argument[2], 0, UINT64_MAX / 2);
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "random_mixed", .ops = 10000000, .size_min = 16, .size_max = 1040,
                               .working_set = 4096, .seed = 42, .threads = 1, .warmup = 100000};
    positional(&options, bench_parse(&options, argc, argv, usage), argv + 1);
    bench_check(&options);
    const bench_counts_t counts = bench_workers(&options);
    bench_print(&options, &counts);
    return 0;
}
