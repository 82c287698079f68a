/* larson: a server whose threads come and go. Each of THREADS chains holds CHUNKS blocks; a thread replaces random ones
 * CHUNKS × ROUNDS times, hands the blocks to a new thread and ends. Blocks are thus freed by threads that did not allocate
 * them. Bound by SECONDS, or by --ops for each chain. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

typedef struct {
    const bench_options_t *options;
    void **blocks;
    uint64_t random;
    uint64_t ops, mallocs, frees;
    pthread_t latest, before; /* the last two successors of the first thread, which the harness joins */
    bool has_latest, has_before;
    char padding[64];
} chain_t;

static const char usage[] =
    "larson [SECONDS [MIN [MAX [CHUNKS [ROUNDS [SEED [THREADS]]]]]]]\n"
    "  --seconds N | --ops N (for each thread)  --size MIN:MAX  --ws CHUNKS  --rounds N  --seed N  --threads N\n"
    "  --allocator-mode real|empty|null\n";

static volatile int stopped;

BENCH_LOOP void replace_blocks(bench_allocator_t allocator, chain_t *chain, uint64_t ops) {
    const bench_options_t *options = chain->options;
    const size_t least = options->size_min, range = options->size_max - least + 1, chunks = options->working_set;
    void **const blocks = chain->blocks;
    uint64_t random = chain->random;
    for (uint64_t left = ops; left > 0; left--) {
        const uint64_t drawn = bench_random(&random);
        void **block = &blocks[bench_below_upper(drawn, chunks)];
        bench_free(allocator, *block);
        *block = bench_alloc(allocator, least + bench_below_lower(drawn, range));
    }
    chain->random = random;
    chain->ops += ops;
}

BENCH_LOOP void fill_blocks(bench_allocator_t allocator, chain_t *chain) {
    const bench_options_t *options = chain->options;
    const size_t range = options->size_max - options->size_min + 1;
    for (size_t i = 0; i < options->working_set; i++)
        chain->blocks[i] = bench_alloc(allocator, options->size_min + bench_below_upper(bench_random(&chain->random), range));
    chain->mallocs += options->working_set;
}

BENCH_LOOP void drop_blocks(bench_allocator_t allocator, chain_t *chain) {
    for (size_t i = 0; i < chain->options->working_set; i++) bench_free(allocator, chain->blocks[i]);
    chain->frees += chain->options->working_set;
}

static bool chain_is_over(const chain_t *chain) {
    return chain->options->ops != 0 ? chain->ops >= chain->options->ops : stopped;
}

static void *successor(void *argument);

/* One thread's life: ROUNDS passes of CHUNKS operations; then its successor takes over. */
static void *generation(void *argument) {
    chain_t *chain = argument;
    for (uint64_t round = 0; round < chain->options->rounds && !chain_is_over(chain); round++) {
        uint64_t ops = chain->options->working_set;
        if (chain->options->ops != 0 && chain->options->ops - chain->ops < ops) ops = chain->options->ops - chain->ops;
        BENCH_BY_ALLOCATOR(chain->options->allocator, replace_blocks, chain, ops);
    }
    if (chain_is_over(chain)) {
        bench_thread_done();
        return NULL;
    }
    pthread_t id;
    const int error = pthread_create(&id, NULL, successor, chain);
    if (error != 0) bench_fail("cannot start a successor thread: %s", strerror(error));
    return NULL;
}

/* Joins its grandparent, so that threads overlap but do not pile up. */
static void *successor(void *argument) {
    chain_t *chain = argument;
    if (chain->has_before) pthread_join(chain->before, NULL);
    chain->before = chain->latest;
    chain->has_before = chain->has_latest;
    chain->latest = pthread_self();
    chain->has_latest = true;
    return generation(chain);
}

static void *first_generation(void *argument) {
    chain_t *chain = argument;
    BENCH_BY_ALLOCATOR(chain->options->allocator, fill_blocks, chain);
    bench_thread_ready();
    return generation(argument);
}

/* Ends a time-bound run. */
static void *timer(void *argument) {
    const bench_options_t *options = argument;
    struct timespec left = {.tv_sec = (time_t)options->seconds};
    while (nanosleep(&left, &left) != 0) continue;
    stopped = 1;
    return NULL;
}

static void positional(bench_options_t *options, int count, char **argument) {
    if (count > 7) bench_usage_error("at most seven arguments, got %d", count);
    if (count > 0) {
        if (options->ops != 0) bench_usage_error("a run ends after --ops or after SECONDS, not both");
        options->seconds = (double)bench_number("SECONDS", argument[0], 1, 86400);
        options->ops = 0;
    }
    if (count > 1) options->size_min = bench_number("MIN", argument[1], 1, 1u << 30);
    if (count > 2) options->size_max = bench_number("MAX", argument[2], 1, 1u << 30);
    if (count > 3) options->working_set = bench_number("CHUNKS", argument[3], 1, 1u << 28);
    if (count > 4) options->rounds = bench_number("ROUNDS", argument[4], 1, UINT32_MAX);
    if (count > 5) options->seed = bench_number("SEED", argument[5], 0, UINT64_MAX / 2);
    if (count > 6) options->threads = (unsigned)bench_number("THREADS", argument[6], 1, 1024);
}

static chain_t *chains_make(const bench_options_t *options) {
    chain_t *chains = bench_map(options->threads * sizeof *chains);
    for (unsigned i = 0; i < options->threads; i++) {
        chains[i].options = options;
        chains[i].random = bench_seed(options->seed, i);
        chains[i].blocks = bench_map(options->working_set * sizeof *chains[i].blocks);
        memset(chains[i].blocks, 0, options->working_set * sizeof *chains[i].blocks);
    }
    return chains;
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "larson", .seconds = 1, .size_min = 8, .size_max = 128, .working_set = 1024,
                               .rounds = 1000, .seed = 42, .threads = 1};
    positional(&options, bench_parse(&options, argc, argv, usage), argv + 1);
    bench_check(&options);
    chain_t *chains = chains_make(&options);
    pthread_t clock;
    if (options.ops == 0 && pthread_create(&clock, NULL, timer, &options) != 0) bench_fail("cannot start the timer thread");
    bench_warmup_begins();
    bench_run_threads(options.threads, first_generation, chains, sizeof *chains);
    bench_counts_t counts = {.ops_unit = "malloc+free pair"};
    for (unsigned i = 0; i < options.threads; i++) {
        if (chains[i].has_before) pthread_join(chains[i].before, NULL);
        if (chains[i].has_latest) pthread_join(chains[i].latest, NULL);
        counts.ops += chains[i].ops;
        BENCH_BY_ALLOCATOR(options.allocator, drop_blocks, &chains[i]);
        counts.total_mallocs += chains[i].mallocs + chains[i].ops;
        counts.total_frees += chains[i].frees + chains[i].ops;
    }
    counts.mallocs = counts.frees = counts.ops;
    bench_print(&options, &counts);
    return 0;
}
