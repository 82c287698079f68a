/* thread_churn: threads that live for a moment. Each of --threads lines starts a thread, waits for its end and starts the
 * next, --ops times; such a thread fills --ws slots, replaces each of them --rounds − 1 times and frees them all. It shows
 * what it costs to begin with empty caches and to hand them back. */
#include <stdio.h>
#include <string.h>

#include "harness.h"

static const char usage[] =
    "thread_churn [THREADS-MADE [BLOCKS [ROUNDS]]]\n"
    "  --ops N (threads made by each line)  --ws BLOCKS  --rounds N  --size MIN[:MAX]  --seed N  --threads N (lines)\n"
    "  --warmup N (threads)  --allocator-mode real|empty|null\n";

typedef struct {
    const bench_options_t *options;
    void **blocks;
    uint64_t random, pairs;
    char padding[64];
} line_t;

BENCH_LOOP void live(bench_allocator_t allocator, line_t *line) {
    const bench_options_t *options = line->options;
    const size_t least = options->size_min, range = options->size_max - least + 1, count = options->working_set;
    uint64_t random = line->random;
    for (uint64_t round = 0; round < options->rounds; round++)
        for (size_t i = 0; i < count; i++) {
            if (round != 0) bench_free(allocator, line->blocks[i]);
            line->blocks[i] = bench_alloc(allocator, least + bench_below_lower(bench_random(&random), range));
        }
    for (size_t i = 0; i < count; i++) bench_free(allocator, line->blocks[i]);
    line->random = random;
    line->pairs += options->rounds * count;
}

static void *short_life(void *argument) {
    line_t *line = argument;
    BENCH_BY_ALLOCATOR(line->options->allocator, live, line);
    return NULL;
}

static void make_threads(line_t *line, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        pthread_t id;
        const int error = pthread_create(&id, NULL, short_life, line);
        if (error != 0) bench_fail("cannot start a thread: %s", strerror(error));
        pthread_join(id, NULL);
    }
}

static void *run_line(void *argument) {
    line_t *line = argument;
    line->blocks = bench_map(line->options->working_set * sizeof *line->blocks);
    make_threads(line, line->options->warmup);
    bench_thread_ready();
    make_threads(line, line->options->ops);
    bench_thread_done();
    return NULL;
}

int main(int argc, char **argv) {
    bench_start();
    bench_options_t options = {.benchmark = "thread_churn", .ops = 2000, .size_min = 16, .size_max = 1040, .working_set = 200,
                               .rounds = 5, .seed = 42, .threads = 1, .warmup = 20};
    const int count = bench_parse(&options, argc, argv, usage);
    if (count > 3) bench_usage_error("at most three arguments, got %d", count);
    if (count > 0) options.ops = bench_number("THREADS-MADE", argv[1], 1, UINT32_MAX);
    if (count > 1) options.working_set = bench_number("BLOCKS", argv[2], 1, 1u << 28);
    if (count > 2) options.rounds = bench_number("ROUNDS", argv[3], 1, UINT32_MAX);
    bench_check(&options);
    line_t *lines = bench_map(options.threads * sizeof *lines);
    for (unsigned i = 0; i < options.threads; i++) {
        lines[i].options = &options;
        lines[i].random = bench_seed(options.seed, i);
    }
    bench_warmup_begins();
    bench_run_threads(options.threads, run_line, lines, sizeof *lines);
    static char details[128];
    const uint64_t made = options.ops * options.threads;
    snprintf(details, sizeof details, "{\"threads_made\":%llu}", (unsigned long long)made);
    bench_counts_t counts = {.ops_unit = "malloc+free pair", .details = details};
    counts.ops = made * options.rounds * options.working_set;
    counts.mallocs = counts.frees = counts.ops;
    for (unsigned i = 0; i < options.threads; i++) counts.total_mallocs += lines[i].pairs;
    counts.total_frees = counts.total_mallocs;
    bench_print(&options, &counts);
    return 0;
}
