/* micro_mincore: what it costs to find out whether the byte before a pointer can be read, in the documents' four cases.
 *
 * mapped     mincore on the pointer's page, always
 * alignment  only the test whether the byte lies on the pointer's own page; it always does here
 * hybrid     the test, and mincore where the byte lies on another page; pointers are any multiple of 16, so 1 of 256
 * boundary   the same with pointers that all begin a page: every call is a mincore */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "cycles.h"
#include "harness.h"

enum { CASES = 4, PAGES = 64, POINTERS = 4096, BATCH = 64 };

static const char *const case_names[CASES] = {"mapped", "alignment", "hybrid", "boundary"};
static const uintptr_t page_bytes = 4096;

static const char usage[] =
    "micro_mincore [CALLS [CASE]]      CASE: mapped, alignment, hybrid, boundary or all\n"
    "  --ops N (calls of each case)  --seed N  --allocator-mode real|empty\n";

typedef struct {
    char *pages;
    uintptr_t pointers[CASES][POINTERS];
    uint32_t *samples; /* cycles of each batch of BATCH calls */
    uint64_t readable, system_calls;
} mincore_t;

static inline bool page_is_mapped(mincore_t *run, uintptr_t address) {
    unsigned char resident;
    run->system_calls++;
    return mincore((void *)(address & ~(page_bytes - 1)), page_bytes, &resident) == 0;
}

static inline bool check(mincore_t *run, unsigned which, uintptr_t pointer) {
    if (which == 0) return page_is_mapped(run, pointer - 1);
    return (pointer & (page_bytes - 1)) != 0 || page_is_mapped(run, pointer - 1);
}

/* Pointers lie beyond the first page, so that the byte before is in memory that is ours. */
static void draw_pointers(const bench_options_t *options, mincore_t *run) {
    uint64_t random = bench_seed(options->seed, 0);
    const uintptr_t first = (((uintptr_t)run->pages + page_bytes - 1) & ~(page_bytes - 1)) + page_bytes;
    for (size_t i = 0; i < POINTERS; i++) {
        const uint64_t drawn = bench_random(&random);
        const uintptr_t page = first + bench_below_upper(drawn, PAGES) * page_bytes;
        const uintptr_t step = 16 * (1 + bench_below_lower(drawn, page_bytes / 16 - 1));
        run->pointers[0][i] = run->pointers[1][i] = page + step;
        run->pointers[2][i] = i % 256 == 0 ? page : page + step;
        run->pointers[3][i] = page;
    }
}

/* Median cycles of one call. `empty` reads the pointers and checks nothing. */
static double measure(const bench_options_t *options, mincore_t *run, unsigned which, double overhead) {
    const uint64_t batches = options->ops / BATCH;
    uint64_t total = 0;
    for (uint64_t batch = 0; batch < batches; batch++) {
        const uintptr_t *pointers = &run->pointers[which][batch * BATCH % POINTERS];
        uint64_t readable = 0;
        const uint64_t start = bench_cycles();
        if (options->allocator == BENCH_EMPTY)
            for (size_t i = 0; i < BATCH; i++) readable += *(volatile const uintptr_t *)&pointers[i] != 0;
        else
            for (size_t i = 0; i < BATCH; i++) readable += check(run, which, *(volatile const uintptr_t *)&pointers[i]);
        run->samples[batch] = (uint32_t)(bench_cycles() - start);
        total += run->samples[batch];
        run->readable += readable;
    }
    /* The mean in the hybrid case, whose rare calls a median would hide. */
    const double cycles = which == 2 ? (double)total / (double)batches : bench_median(run->samples, batches);
    return cycles > overhead ? (cycles - overhead) / BATCH : 0.0;
}

static unsigned parse_case(const char *text) {
    for (unsigned which = 0; which < CASES; which++)
        if (strcmp(text, case_names[which]) == 0) return which;
    if (strcmp(text, "all") != 0) bench_usage_error("CASE does not know '%s'; see --help", text);
    return CASES;
}

static void options_check(const bench_options_t *options) {
    bench_check(options);
    if (options->ops < BATCH || options->ops > 1u << 28 || options->ops % BATCH != 0)
        bench_usage_error("--ops must be a multiple of %d up to 2^28, got: %llu", BATCH, (unsigned long long)options->ops);
    if (options->allocator == BENCH_NULL) bench_usage_error("allocator mode real or empty: nothing is allocated here");
}

int main(int argc, char **argv) {
    static mincore_t run;
    static char details[512];
    bench_start();
    bench_options_t options = {.benchmark = "micro_mincore", .ops = 64000, .size_min = (PAGES + 3) * page_bytes,
                               .size_max = (PAGES + 3) * page_bytes, .working_set = 1, .seed = 42, .threads = 1};
    const int arguments = bench_parse(&options, argc, argv, usage);
    if (arguments > 2) bench_usage_error("at most two arguments, got %d", arguments);
    if (arguments > 0) options.ops = bench_number("CALLS", argv[1], 1, 1u << 28);
    const unsigned only = arguments > 1 ? parse_case(argv[2]) : CASES;
    options_check(&options);
    if ((run.pages = BENCH_MALLOC((PAGES + 3) * page_bytes)) == NULL) bench_fail("out of memory");
    memset(run.pages, 1, (PAGES + 3) * page_bytes);
    run.samples = bench_map(options.ops / BATCH * sizeof *run.samples);
    draw_pointers(&options, &run);
    const double overhead = bench_cycles_overhead();
    size_t at = (size_t)snprintf(details, sizeof details, "{\"unit\":\"" BENCH_CYCLES_UNIT "\"");
    uint64_t ops = 0;
    bench_region_begins();
    for (unsigned which = 0; which < CASES; which++) {
        if (only != CASES && only != which) continue;
        const double cycles = measure(&options, &run, which, overhead);
        at += (size_t)snprintf(details + at, sizeof details - at, ",\"%s_cycles\":%.2f", case_names[which], cycles);
        ops += options.ops;
    }
    bench_region_ends();
    if (run.readable != ops) bench_fail("%llu of %llu readable bytes were found unreadable",
                                        (unsigned long long)(ops - run.readable), (unsigned long long)ops);
    snprintf(details + at, sizeof details - at, ",\"system_calls\":%llu}", (unsigned long long)run.system_calls);
    BENCH_FREE(run.pages);
    const bench_counts_t counts = {.ops = ops, .ops_unit = "check", .total_mallocs = 1, .total_frees = 1, .details = details};
    bench_print(&options, &counts);
    return 0;
}
