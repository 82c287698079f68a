/* mid_large_mt: 8–32 KB blocks in 2,048 slots for each of two threads. Only the first and last byte of a block are written,
 * as in the documents: fewer page faults than a program that uses its memory would have. */
#include "workers.h"

static const char usage[] =
    "mid_large_mt [THREADS [CYCLES [WORKING-SET [SEED]]]]\n"
    "  --ops N  --size MIN[:MAX]  --ws N  --seed N  --threads N  --mode replace|toggle  --warmup N\n"
    "  --allocator-mode real|empty|null\n";

static void positional(bench_options_t *options, int count, char **argument) {
    if (count > 4) bench_usage_error("at most four arguments, got %d", count);
    if (count > 0) options->threads = (unsigned)bench_number("THREADS", argument[0], 1, 1024);
    if (count > 1) options->ops = bench_number("CYCLES", argument[1], 1, UINT64_MAX / 4);
    if (count > 2) options->working_set = bench_number("WORKING-SET", argument[2], 1, 1u << 28);
    if (count > 3) options->seed = bench_number("SEED", argument[3], 0, UINT64_MAX / 2);
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "mid_large_mt", .ops = 1000000, .size_min = 8192, .size_max = 32768,
                               .working_set = 2048, .seed = 42, .threads = 2, .warmup = 10000, .mode = BENCH_TOGGLE};
    positional(&options, bench_parse(&options, argc, argv, usage), argv + 1);
    bench_check(&options);
    const bench_counts_t counts = bench_workers(&options);
    bench_print(&options, &counts);
    return 0;
}
