/* micro_fastpath: cycles of a malloc and of a free, apart. A batch of --ws blocks is allocated between two readings of the
 * counter and freed between two more; the median batch counts, less what the readings cost. One thread.
 *
 * Each block's first and last byte are written between malloc and the next one, as in the other benchmarks: the `empty`
 * mode has neither, the `null` mode has both. */
#include <stdio.h>

#include "cycles.h"
#include "harness.h"

static const char usage[] =
    "micro_fastpath [BATCHES [SIZE]]\n"
    "  --ops N (batches)  --size MIN[:MAX]  --ws BLOCKS-IN-A-BATCH  --seed N  --warmup N  --allocator-mode real|empty|null\n";

typedef struct {
    void **blocks;
    size_t *sizes;
    uint32_t *malloc_cycles, *free_cycles; /* of each batch */
} fastpath_t;

/* The sizes are drawn beforehand, so that the drawing is not measured. */
static void draw_sizes(const bench_options_t *options, fastpath_t *run) {
    uint64_t random = bench_seed(options->seed, 0);
    const size_t range = options->size_max - options->size_min + 1;
    for (size_t i = 0; i < options->working_set; i++)
        run->sizes[i] = options->size_min + bench_below_lower(bench_random(&random), range);
}

BENCH_LOOP void run_batches(bench_allocator_t allocator, const bench_options_t *options, fastpath_t *run, uint64_t batches) {
    const size_t count = options->working_set;
    for (uint64_t batch = 0; batch < batches; batch++) {
        const uint64_t start = bench_cycles();
        for (size_t i = 0; i < count; i++) run->blocks[i] = bench_alloc(allocator, run->sizes[i]);
        const uint64_t allocated = bench_cycles();
        for (size_t i = 0; i < count; i++) bench_free(allocator, run->blocks[i]);
        const uint64_t freed = bench_cycles();
        run->malloc_cycles[batch] = (uint32_t)(allocated - start);
        run->free_cycles[batch] = (uint32_t)(freed - allocated);
    }
}

static void put_details(char *out, size_t room, const bench_options_t *options, fastpath_t *run) {
    const double overhead = bench_cycles_overhead(), count = (double)options->working_set;
    const double allocated = (bench_median(run->malloc_cycles, options->ops) - overhead) / count;
    const double freed = (bench_median(run->free_cycles, options->ops) - overhead) / count;
    snprintf(out, room,
             "{\"unit\":\"" BENCH_CYCLES_UNIT "\",\"malloc_cycles\":%.2f,\"free_cycles\":%.2f,\"reading_cycles\":%.1f}",
             allocated > 0 ? allocated : 0.0, freed > 0 ? freed : 0.0, overhead);
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "micro_fastpath", .ops = 100000, .size_min = 128, .size_max = 128,
                               .working_set = 64, .seed = 42, .threads = 1, .warmup = 1000};
    const int arguments = bench_parse(&options, argc, argv, usage);
    if (arguments > 2) bench_usage_error("at most two arguments, got %d", arguments);
    if (arguments > 0) options.ops = bench_number("BATCHES", argv[1], 1, 1u << 28);
    if (arguments > 1) options.size_min = options.size_max = bench_number("SIZE", argv[2], 1, 1u << 30);
    bench_check(&options);
    const uint64_t batches = options.ops > options.warmup ? options.ops : options.warmup;
    if (batches > 1u << 28) bench_usage_error("at most 2^28 batches are known here");
    fastpath_t run = {.blocks = bench_map(options.working_set * sizeof(void *)),
                      .sizes = bench_map(options.working_set * sizeof(size_t)),
                      .malloc_cycles = bench_map(batches * sizeof(uint32_t)),
                      .free_cycles = bench_map(batches * sizeof(uint32_t))};
    draw_sizes(&options, &run);
    bench_warmup_begins();
    BENCH_BY_ALLOCATOR(options.allocator, run_batches, &options, &run, options.warmup);
    bench_region_begins();
    BENCH_BY_ALLOCATOR(options.allocator, run_batches, &options, &run, options.ops);
    bench_region_ends();
    static char details[512];
    put_details(details, sizeof details, &options, &run);
    bench_counts_t counts = {.ops_unit = "malloc+free pair", .ops = options.ops * options.working_set, .details = details};
    counts.mallocs = counts.frees = counts.ops;
    counts.total_mallocs = counts.total_frees = counts.ops + options.warmup * options.working_set;
    bench_print(&options, &counts);
    return 0;
}
