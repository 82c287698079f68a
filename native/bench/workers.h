/* Threads that each run the slot loop on a table of their own. */
#ifndef BENCH_WORKERS_H
#define BENCH_WORKERS_H

#include "slots.h"

typedef struct {
    const bench_options_t *options;
    bench_slots_t table;
    unsigned index;
    uint64_t ops, mallocs, frees;
    char padding[64];
} bench_worker_t;

static inline void bench_worker_measure(bench_worker_t *worker) {
    const uint64_t mallocs = worker->table.mallocs, frees = worker->table.frees;
    bench_slots_run(worker->options, &worker->table, worker->options->ops);
    worker->ops = worker->options->ops;
    worker->mallocs = worker->table.mallocs - mallocs;
    worker->frees = worker->table.frees - frees;
}

static inline void *bench_worker_run(void *argument) {
    bench_worker_t *worker = argument;
    bench_slots_begin(worker->options, &worker->table, worker->index);
    bench_thread_ready();
    bench_worker_measure(worker);
    bench_thread_done();
    bench_slots_end(worker->options, &worker->table);
    return NULL;
}

/* `--ops` is the number for each thread. A single thread is the main thread: no thread is made. */
static inline bench_counts_t bench_workers(const bench_options_t *options) {
    bench_worker_t *workers = bench_map(options->threads * sizeof *workers);
    bench_counts_t counts = {.ops_unit = bench_slots_unit(options)};
    for (unsigned i = 0; i < options->threads; i++) {
        workers[i].options = options;
        workers[i].index = i;
    }
    bench_warmup_begins();
    if (options->threads == 1) {
        bench_slots_begin(options, &workers->table, 0);
        bench_region_begins();
        bench_worker_measure(workers);
        bench_region_ends();
        bench_slots_end(options, &workers->table);
    } else {
        bench_run_threads(options->threads, bench_worker_run, workers, sizeof *workers);
    }
    for (unsigned i = 0; i < options->threads; i++) {
        counts.ops += workers[i].ops;
        counts.mallocs += workers[i].mallocs;
        counts.frees += workers[i].frees;
        counts.total_mallocs += workers[i].table.mallocs;
        counts.total_frees += workers[i].table.frees;
    }
    return counts;
}

#endif
