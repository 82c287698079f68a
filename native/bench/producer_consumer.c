/* producer_consumer: half of the threads allocate, the other half free what they get through a ring. Every block is freed by
 * a thread that did not allocate it. One operation is one block's malloc and free; `--ws` is the ring's length. */
#include <sched.h>

#include "harness.h"

typedef struct {
    const bench_options_t *options;
    void **ring;
    uint64_t random;
    uint64_t mallocs, frees;
    _Alignas(64) uint64_t produced;
    _Alignas(64) uint64_t consumed;
} pair_t;

typedef struct {
    pair_t *pair;
    bool consumer;
} side_t;

static const char usage[] =
    "producer_consumer [OPERATIONS]\n"
    "  --ops N (for each pair)  --size MIN[:MAX]  --ws RING-LENGTH  --seed N  --threads N (even)  --warmup N\n"
    "  --allocator-mode real|empty|null\n";

/* The other side's position is asked for only when the known one is used up: both run on without sharing a line each time. */
BENCH_LOOP void produce(bench_allocator_t allocator, pair_t *pair, uint64_t ops) {
    const bench_options_t *options = pair->options;
    const size_t range = options->size_max - options->size_min + 1, length = options->working_set;
    uint64_t room = __atomic_load_n(&pair->consumed, __ATOMIC_ACQUIRE) + length;
    size_t at = (size_t)(pair->produced % length);
    for (uint64_t i = pair->produced, end = i + ops; i < end; i++) {
        void *block = bench_alloc(allocator, options->size_min + bench_below_lower(bench_random(&pair->random), range));
        while (i >= room) {
            sched_yield();
            room = __atomic_load_n(&pair->consumed, __ATOMIC_ACQUIRE) + length;
        }
        pair->ring[at] = block;
        if (++at == length) at = 0;
        __atomic_store_n(&pair->produced, i + 1, __ATOMIC_RELEASE);
    }
    pair->mallocs += ops;
}

BENCH_LOOP void consume(bench_allocator_t allocator, pair_t *pair, uint64_t ops) {
    const size_t length = pair->options->working_set;
    uint64_t there = 0;
    size_t at = (size_t)(pair->consumed % length);
    for (uint64_t i = pair->consumed, end = i + ops; i < end; i++) {
        while (i >= there) {
            there = __atomic_load_n(&pair->produced, __ATOMIC_ACQUIRE);
            if (i >= there) sched_yield();
        }
        bench_free(allocator, pair->ring[at]);
        if (++at == length) at = 0;
        __atomic_store_n(&pair->consumed, i + 1, __ATOMIC_RELEASE);
    }
    pair->frees += ops;
}

static void run_side(const side_t *side, uint64_t ops) {
    pair_t *pair = side->pair;
    if (side->consumer) BENCH_BY_ALLOCATOR(pair->options->allocator, consume, pair, ops);
    else BENCH_BY_ALLOCATOR(pair->options->allocator, produce, pair, ops);
}

static void *run(void *argument) {
    const side_t *side = argument;
    run_side(side, side->pair->options->warmup);
    bench_thread_ready();
    run_side(side, side->pair->options->ops);
    bench_thread_done();
    return NULL;
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "producer_consumer", .ops = 3000000, .size_min = 16, .size_max = 256,
                               .working_set = 4096, .seed = 42, .threads = 2, .warmup = 100000};
    const int count = bench_parse(&options, argc, argv, usage);
    if (count > 1) bench_usage_error("at most one argument, got %d", count);
    if (count > 0) options.ops = bench_number("OPERATIONS", argv[1], 1, UINT64_MAX / 4);
    bench_check(&options);
    if (options.threads % 2 != 0) bench_usage_error("producers and consumers come in pairs: --threads must be even");
    const unsigned pairs = options.threads / 2;
    pair_t *pair = bench_map(pairs * sizeof *pair);
    side_t *sides = bench_map(options.threads * sizeof *sides);
    for (unsigned i = 0; i < pairs; i++) {
        pair[i].options = &options;
        pair[i].random = bench_seed(options.seed, i);
        pair[i].ring = bench_map(options.working_set * sizeof *pair[i].ring);
        sides[2 * i] = (side_t){.pair = &pair[i], .consumer = false};
        sides[2 * i + 1] = (side_t){.pair = &pair[i], .consumer = true};
    }
    bench_warmup_begins();
    bench_run_threads(options.threads, run, sides, sizeof *sides);
    bench_counts_t counts = {.ops = options.ops * pairs, .ops_unit = "malloc+free pair"};
    counts.mallocs = counts.frees = counts.ops;
    for (unsigned i = 0; i < pairs; i++) {
        counts.total_mallocs += pair[i].mallocs;
        counts.total_frees += pair[i].frees;
    }
    bench_print(&options, &counts);
    return 0;
}
