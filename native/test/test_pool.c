/* The shared pool, the page arena and the cache of large mappings from inside: what is kept, what goes back, in which order.
 * The configuration is set by hand; the addresses and the kernel tell what happened. */
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "config.h"
#include "init.h"
#include "large_cache.h"
#include "page_arena.h"
#include "shared_pool.h"
#include "superslab.h"

enum { SPANS = 6, SPAN_SLOTS = 40 };

/* Longer than the coarse clock's step. */
static void let_time_pass(unsigned milliseconds) {
    const struct timespec time = {.tv_nsec = milliseconds * 1000000L};
    nanosleep(&time, NULL);
}

static bool is_mapped(const void *address) {
    unsigned char resident;
    return mincore((void *)((uintptr_t)address & ~(uintptr_t)4095), 4096, &resident) == 0;
}

static bool is_resident(const void *address) {
    unsigned char resident = 0;
    CHECK(mincore((void *)address, 4096, &resident) == 0);
    return resident & 1;
}

/* More than half of a SuperSlab, so that each lies in one of its own, and a slot beside it that keeps that one alive. */
static void take_spans(char *starts[SPANS], hak_slab_t *spans[SPANS], hak_slab_t *anchors[SPANS]) {
    bool clean;
    for (unsigned i = 0; i < SPANS; i++) {
        spans[i] = shared_pool_acquire_span(SPAN_SLOTS, &clean);
        anchors[i] = shared_pool_acquire_span(HAK_SLOTS - 1 - SPAN_SLOTS, &clean);
        CHECK(spans[i] != NULL && hak_superslab_of(spans[i]) == hak_superslab_of(anchors[i]));
        starts[i] = hak_slab_start(spans[i]);
        memset(starts[i], 1, SPAN_SLOTS * HAK_SLOT_BYTES);
        CHECK(is_resident(starts[i]));
    }
}

static void drop_anchors(hak_slab_t *anchors[SPANS]) {
    for (unsigned i = 0; i < SPANS; i++) shared_pool_release_span(anchors[i]);
    shared_pool_trim();
}

/* Six spans are 15 MB. The limit of 14 MB is passed by the last release; down to half of it the oldest go. */
static void test_least_recently_freed_goes_back_first(void) {
    static const unsigned order[SPANS] = {3, 0, 5, 1, 4, 2};
    char *starts[SPANS];
    hak_slab_t *spans[SPANS], *anchors[SPANS];
    hak_config.retain_mb = 14;
    hak_config.decay_ms = 3600000;
    take_spans(starts, spans, anchors);
    for (unsigned i = 0; i < SPANS; i++) {
        for (unsigned j = 0; j < i; j++) CHECK(is_resident(starts[order[j]]));
        shared_pool_release_span(spans[order[i]]);
        let_time_pass(12);
    }
    for (unsigned i = 0; i < SPANS; i++) CHECK(is_resident(starts[order[i]]) == (i >= SPANS - 2));
    drop_anchors(anchors);
}

/* What lay idle for longer than the decay goes at the next release; what was freed meanwhile stays. */
static void test_idle_memory_goes_back_after_the_decay(void) {
    char *starts[SPANS];
    hak_slab_t *spans[SPANS], *anchors[SPANS];
    hak_config.retain_mb = 1000;
    hak_config.decay_ms = 100;
    take_spans(starts, spans, anchors);
    shared_pool_release_span(spans[0]);
    shared_pool_release_span(spans[1]);
    CHECK(is_resident(starts[0]) && is_resident(starts[1]));
    let_time_pass(160);
    shared_pool_release_span(spans[2]);
    CHECK(!is_resident(starts[0]) && !is_resident(starts[1]) && is_resident(starts[2]));
    for (unsigned i = 3; i < SPANS; i++) shared_pool_release_span(spans[i]);
    drop_anchors(anchors);
}

/* Six pieces come back: four are kept without their memory, two go to the system; the next four are those. */
static void test_the_arena_reuses_and_gives_back(void) {
    enum { PIECES = 6, KEPT = 4 };
    char *pieces[PIECES], *again[KEPT];
    for (unsigned i = 0; i < PIECES; i++) {
        pieces[i] = page_arena_acquire();
        CHECK(pieces[i] != NULL && (uintptr_t)pieces[i] % HAK_SUPERSLAB_BYTES == 0);
        memset(pieces[i], 1, HAK_SUPERSLAB_BYTES);
    }
    for (unsigned i = 0; i < PIECES; i++) page_arena_release(pieces[i]);
    unsigned kept = 0, known = 0;
    for (unsigned i = 0; i < PIECES; i++) {
        if (!is_mapped(pieces[i])) continue;
        kept++;
        CHECK(!is_resident(pieces[i]));
    }
    CHECK(kept <= KEPT && kept > 0);
    for (unsigned i = 0; i < kept; i++) {
        again[i] = page_arena_acquire();
        for (unsigned j = 0; j < PIECES; j++) known += again[i] == pieces[j];
        CHECK(again[i][HAK_SLOT_BYTES] == 0);
    }
    CHECK(known == kept);
    for (unsigned i = 0; i < kept; i++) page_arena_release(again[i]);
}

/* Three mappings of 2 MB where 4 MB may be kept: the first is unmapped, the others come back. */
static void test_large_mappings_are_kept_youngest_first(void) {
    const size_t bytes = (size_t)2 << 20;
    char *mapped[3];
    size_t found = 0;
    hak_config.retain_mb = 4;
    hak_config.decay_ms = 3600000;
    for (unsigned i = 0; i < 3; i++) {
        mapped[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(mapped[i] != MAP_FAILED);
    }
    for (unsigned i = 0; i < 3; i++) hak_large_cache_put(mapped[i], bytes);
    CHECK(!is_mapped(mapped[0]) && is_mapped(mapped[1]) && is_mapped(mapped[2]));
    char *first = hak_large_cache_take(bytes, &found), *second = hak_large_cache_take(bytes, &found);
    CHECK((first == mapped[1] && second == mapped[2]) || (first == mapped[2] && second == mapped[1]));
    CHECK(hak_large_cache_take(bytes, &found) == NULL && found == bytes);
    hak_large_cache_put(first, bytes);
    hak_large_cache_put(second, bytes);
    CHECK(hak_large_cache_trim() && !is_mapped(first) && !is_mapped(second));
}

static size_t huge_kb(void) {
    char line[256];
    size_t total = 0, kb;
    FILE *maps = fopen("/proc/self/smaps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "AnonHugePages: %zu kB", &kb) == 1) total += kb;
    fclose(maps);
    return total;
}

static bool huge_pages_are_by_request(void) {
    char text[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file == NULL) return false;
    const bool by_request = fgets(text, sizeof text, file) != NULL && strstr(text, "[madvise]") != NULL;
    fclose(file);
    return by_request;
}

/* The arena keeps at most four pieces, with what was once asked for them. */
static void forget_kept_pieces(void) {
    void *pieces[4];
    for (unsigned i = 0; i < 4; i++) pieces[i] = page_arena_acquire();
    for (unsigned i = 0; i < 4; i++) munmap(pieces[i], HAK_SUPERSLAB_BYTES);
}

/* AnonHugePages after 4 and after 48 slots of a fresh SuperSlab were written. */
static void measure_huge(uint32_t setting, size_t *little, size_t *much) {
    bool clean;
    hak_config.thp = setting;
    shared_pool_trim();
    forget_kept_pieces();
    hak_config.retain_mb = 0;
    hak_slab_t *first = shared_pool_acquire_span(4, &clean);
    memset(hak_slab_start(first), 1, 4 * HAK_SLOT_BYTES);
    *little = huge_kb();
    hak_slab_t *second = shared_pool_acquire_span(28, &clean), *third = shared_pool_acquire_span(16, &clean);
    memset(hak_slab_start(third), 1, 16 * HAK_SLOT_BYTES);
    *much = huge_kb();
    shared_pool_release_span(first);
    shared_pool_release_span(second);
    shared_pool_release_span(third);
}

static void test_huge_pages(void) {
    size_t little[3], much[3];
    if (!huge_pages_are_by_request()) {
        puts("-- huge pages are never given here, or unasked: skipped");
        return;
    }
    const size_t before = huge_kb();
    for (uint32_t setting = 0; setting < 3; setting++) measure_huge(setting, &little[setting], &much[setting]);
    CHECK(little[0] == before && much[0] == before && little[1] == before);
    if (little[2] == before) {
        puts("-- the kernel had no huge page to give: skipped");
        return;
    }
    CHECK(much[1] > before && much[2] > little[2]);
}

int main(void) {
    hak_init();
    /* First: the pool plans its next look at the clock by the decay that it knows. */
    test_idle_memory_goes_back_after_the_decay();
    test_huge_pages();
    test_least_recently_freed_goes_back_first();
    test_the_arena_reuses_and_gives_back();
    test_large_mappings_are_kept_youngest_first();
    puts("test_pool: all promises hold");
    return 0;
}
