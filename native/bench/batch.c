/* batch: allocate --ws blocks, free them all in the order of allocation, again and again. With --ws 1 it is the shortest
 * possible reuse (lifo); with blocks of page size it shows whether freed memory is kept or given back at once. */
#include "harness.h"

typedef struct {
    void **blocks;
    uint64_t random, pairs;
} batch_t;

static const char usage[] =
    "batch [BATCHES [SIZE]]\n"
    "  --ops N (batches, for each thread)  --size MIN[:MAX]  --ws BLOCKS-IN-A-BATCH  --seed N  --threads N  --warmup N\n"
    "  --allocator-mode real|empty|null\n";

typedef struct {
    const bench_options_t *options;
    batch_t batch;
    char padding[64];
} worker_t;

BENCH_LOOP void run_batches(bench_allocator_t allocator, const bench_options_t *options, batch_t *batch, uint64_t batches) {
    const size_t least = options->size_min, range = options->size_max - least + 1, count = options->working_set;
    void **const blocks = batch->blocks;
    uint64_t random = batch->random;
    for (uint64_t left = batches; left > 0; left--) {
        for (size_t i = 0; i < count; i++)
            blocks[i] = bench_alloc(allocator, least + bench_below_lower(bench_random(&random), range));
        for (size_t i = 0; i < count; i++) bench_free(allocator, blocks[i]);
    }
    batch->random = random;
    batch->pairs += batches * count;
}

static void *run(void *argument) {
    worker_t *worker = argument;
    const bench_options_t *options = worker->options;
    worker->batch.blocks = bench_map(options->working_set * sizeof(void *));
    BENCH_BY_ALLOCATOR(options->allocator, run_batches, options, &worker->batch, options->warmup);
    bench_thread_ready();
    BENCH_BY_ALLOCATOR(options->allocator, run_batches, options, &worker->batch, options->ops);
    bench_thread_done();
    return NULL;
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "batch", .ops = 10000, .size_min = 128, .size_max = 128, .working_set = 1000,
                               .seed = 42, .threads = 1, .warmup = 100};
    const int count = bench_parse(&options, argc, argv, usage);
    if (count > 2) bench_usage_error("at most two arguments, got %d", count);
    if (count > 0) options.ops = bench_number("BATCHES", argv[1], 1, UINT64_MAX / 4);
    if (count > 1) options.size_min = options.size_max = bench_number("SIZE", argv[2], 1, 1u << 30);
    bench_check(&options);
    worker_t *workers = bench_map(options.threads * sizeof *workers);
    for (unsigned i = 0; i < options.threads; i++) {
        workers[i].options = &options;
        workers[i].batch.random = bench_seed(options.seed, i);
    }
    bench_warmup_begins();
    bench_run_threads(options.threads, run, workers, sizeof *workers);
    bench_counts_t counts = {.ops_unit = "malloc+free pair", .ops = options.ops * options.working_set * options.threads};
    counts.mallocs = counts.frees = counts.ops;
    for (unsigned i = 0; i < options.threads; i++) counts.total_mallocs += workers[i].batch.pairs;
    counts.total_frees = counts.total_mallocs;
    bench_print(&options, &counts);
    return 0;
}
