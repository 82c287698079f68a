/* Counters → one JSON object, written with nothing but open and write. */
#include "stats.h"

#if HAK_INSTRUMENTED

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "classify.h"
#include "config.h"
#include "heap.h"
#include "init.h"
#include "lock.h"
#include "os.h"
#include "report.h"
#include "shared_pool.h"
#include "superslab.h"

hak_stats_t hak_stats;
uint64_t hak_size_histogram[10];

static uint64_t hak_mapped_bytes, hak_peak_mapped_bytes;

void hak_stat_count_call(uint64_t *counter) {
    hak_init();
    if (!hak_config.force_libc) __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void hak_stat_mapped(size_t bytes) {
    const uint64_t now = __atomic_add_fetch(&hak_mapped_bytes, bytes, __ATOMIC_RELAXED);
    uint64_t peak = __atomic_load_n(&hak_peak_mapped_bytes, __ATOMIC_RELAXED);
    while (now > peak &&
           !__atomic_compare_exchange_n(&hak_peak_mapped_bytes, &peak, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

void hak_stat_unmapped(size_t bytes) { __atomic_fetch_sub(&hak_mapped_bytes, bytes, __ATOMIC_RELAXED); }

/* C0 ≤ 8 bytes … C7 ≤ 1024, mid, large. */
void hak_stat_size(size_t size) {
    if (!hak_config.size_hist) return;
    unsigned group = 0;
    if (size > HAK_MID_MAX) group = 9;
    else if (size > HAK_TINY_MAX) group = 8;
    else if (size > 8) group = 61u - (unsigned)__builtin_clzl(size - 1);
    __atomic_fetch_add(&hak_size_histogram[group], 1, __ATOMIC_RELAXED);
}

/* Sums over all heaps of what their bins saw. */
typedef struct {
    uint64_t tiny_hits, mid_hits, tiny_pushed, mid_pushed, in_outboxes;
} hak_front_totals_t;

/* Blocks in a bin. The list of a running thread may change under us: a step is taken only to a block of the same heap and
 * class, and no more steps than the class has blocks. */
static uint64_t hak_bin_length(const hak_heap_t *heap, unsigned cls) {
    const hak_code_t code = hak_code_make(heap->id, cls);
    const hak_block_t *block = heap->cache[cls].head;
    uint64_t length = 0;
    while (block != NULL && length < heap->classes[cls].out) {
        if (hak_code_of(block) != code) break;
        length++;
        block = block->next;
    }
    return length;
}

static void hak_front_totals_add(hak_front_totals_t *totals, const hak_heap_t *heap) {
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++) {
        totals->in_outboxes += heap->outboxes[cls].count;
        const uint64_t hits = heap->cache[cls].hits;
        const hak_bin_balance_t balance = heap->balance[cls];
        const uint64_t pushed = hits + balance.taken_out + hak_bin_length(heap, cls) - balance.put_in;
        if (hak_class_bytes(cls) <= HAK_TINY_MAX) {
            totals->tiny_hits += hits;
            totals->tiny_pushed += pushed;
        } else {
            totals->mid_hits += hits;
            totals->mid_pushed += pushed;
        }
    }
}

/* What they had seen when this process was forked. */
static hak_front_totals_t hak_front_inherited;

static hak_front_totals_t hak_front_totals(void) {
    hak_front_totals_t totals = {0};
    for (uint32_t id = 1; id <= hak_heap_count(); id++) hak_front_totals_add(&totals, hak_heap_by_id(id));
    return totals;
}

/* Without what was inherited. */
static hak_front_totals_t hak_front_totals_own(void) {
    hak_front_totals_t totals = hak_front_totals();
    totals.tiny_hits -= hak_front_inherited.tiny_hits;
    totals.mid_hits -= hak_front_inherited.mid_hits;
    totals.tiny_pushed -= hak_front_inherited.tiny_pushed;
    totals.mid_pushed -= hak_front_inherited.mid_pushed;
    totals.in_outboxes -= hak_front_inherited.in_outboxes;
    return totals;
}

void hak_stats_after_fork(void) {
    if (hak_config.stats_file == NULL) return;
    hak_front_inherited = hak_front_totals();
    hak_stats = (hak_stats_t){0};
    for (unsigned group = 0; group < 10; group++) hak_size_histogram[group] = 0;
    hak_peak_mapped_bytes = hak_mapped_bytes;
}

static void hak_json_key(hak_text_t *json, const char *key) {
    const char last = json->length == 0 ? '{' : json->text[json->length - 1];
    if (last != '{') hak_text_put(json, ",");
    hak_text_put(json, "\"");
    hak_text_put(json, key);
    hak_text_put(json, "\":");
}

static void hak_json_number(hak_text_t *json, const char *key, uint64_t value) {
    hak_json_key(json, key);
    hak_text_decimal(json, value);
}

static void hak_json_open(hak_text_t *json, const char *key) {
    hak_json_key(json, key);
    hak_text_put(json, "{");
}

static void hak_json_close(hak_text_t *json) { hak_text_put(json, "}"); }

static void hak_json_routes(hak_text_t *json, const hak_stats_t *stats) {
    const hak_front_totals_t front = hak_front_totals_own();
    const uint64_t mid = front.mid_hits + stats->alloc_mid_refill;
    const uint64_t allocs = front.tiny_hits + stats->alloc_refill + mid + stats->alloc_large + stats->alloc_libc +
                            stats->alloc_failed;
    const uint64_t remote = stats->remote_sent + front.in_outboxes;
    const uint64_t frees = front.tiny_pushed + front.mid_pushed + stats->free_map_fast + stats->free_header_fast +
                           stats->free_ss_hit + remote + stats->free_mid + stats->free_large + stats->free_null +
                           stats->free_foreign + stats->free_libc + stats->free_alloc_header +
                           stats->free_alloc_header_libc;
    hak_json_open(json, "calls");
    hak_json_number(json, "malloc", allocs - stats->internal_allocs);
    hak_json_number(json, "free", frees - stats->internal_frees);
    hak_json_number(json, "calloc", stats->callocs);
    hak_json_number(json, "realloc", stats->reallocs);
    hak_json_number(json, "aligned", stats->aligneds);
    hak_json_close(json);
    hak_json_open(json, "alloc_routes");
    hak_json_number(json, "front_hit", front.tiny_hits);
    hak_json_number(json, "refill", stats->alloc_refill);
    hak_json_number(json, "mid", mid);
    hak_json_number(json, "large", stats->alloc_large);
    hak_json_number(json, "libc", stats->alloc_libc);
    hak_json_number(json, "failed", stats->alloc_failed);
    hak_json_close(json);
    hak_json_open(json, "free_routes");
    const uint64_t by_front[] = {[HAK_CLASSIFY] = front.tiny_pushed, [HAK_CLASSIFY_REGISTRY + 1] = 0};
    hak_json_number(json, "map_fast", stats->free_map_fast + by_front[HAK_CLASSIFY_MAP]);
    hak_json_number(json, "header_fast", stats->free_header_fast + by_front[HAK_CLASSIFY_HEADER]);
    hak_json_number(json, "alloc_header", stats->free_alloc_header + stats->free_alloc_header_libc);
    hak_json_number(json, "ss_hit", stats->free_ss_hit + by_front[HAK_CLASSIFY_REGISTRY]);
    hak_json_number(json, "remote", remote);
    hak_json_number(json, "mid", stats->free_mid + front.mid_pushed);
    hak_json_number(json, "large", stats->free_large);
    hak_json_number(json, "null", stats->free_null);
    hak_json_number(json, "foreign", stats->free_foreign);
    hak_json_number(json, "libc", stats->free_libc);
    hak_json_close(json);
}

static void hak_json_pool(hak_text_t *json, const hak_stats_t *stats) {
    hak_json_open(json, "front");
    hak_json_number(json, "refills", stats->refills);
    hak_json_number(json, "refill_blocks", stats->refill_blocks);
    hak_json_number(json, "drains", stats->drains);
    hak_json_number(json, "drain_blocks", stats->drain_blocks);
    hak_json_close(json);
    hak_json_open(json, "stages");
    hak_json_number(json, "stage1", stats->stage1);
    hak_json_number(json, "stage2", stats->stage2);
    hak_json_number(json, "stage3", stats->stage3);
    hak_json_close(json);
    hak_json_open(json, "superslabs");
    hak_json_number(json, "created", stats->superslabs_created);
    hak_json_number(json, "released", stats->superslabs_released);
    hak_json_number(json, "live", shared_pool_live_superslabs());
    hak_json_number(json, "peak", shared_pool_peak_superslabs());
    hak_json_close(json);
    hak_json_open(json, "slabs");
    hak_json_number(json, "acquired", stats->slabs_acquired);
    hak_json_number(json, "released", stats->slabs_released);
    hak_json_close(json);
}

/* Pieces of address space, each as large as a SuperSlab: from the system, used again, kept purged, back to the system. */
static void hak_json_arena(hak_text_t *json, const hak_stats_t *stats) {
    hak_json_open(json, "page_arena");
    hak_json_number(json, "reserved", stats->arena_reserved);
    hak_json_number(json, "reused", stats->arena_reused);
    hak_json_number(json, "kept", stats->arena_kept);
    hak_json_number(json, "returned", stats->arena_returned);
    hak_json_close(json);
}

static void hak_json_system(hak_text_t *json, const hak_stats_t *stats) {
    hak_json_open(json, "locks");
#define HAK_LOCK_JSON(name)                                              \
    hak_json_open(json, #name);                                          \
    hak_json_number(json, "acquired", hak_lock_##name.acquired);         \
    hak_json_number(json, "contended", hak_lock_##name.contended);       \
    hak_json_number(json, "wait_ns", hak_lock_##name.wait_ns);           \
    hak_json_close(json);
    HAK_LOCKS(HAK_LOCK_JSON)
#undef HAK_LOCK_JSON
    hak_json_close(json);
    hak_json_open(json, "remote");
    hak_json_number(json, "sent_blocks", stats->remote_sent);
    hak_json_number(json, "sent_chains", stats->remote_chains);
    hak_json_number(json, "inbox_drains", stats->inbox_drains);
    hak_json_close(json);
    hak_json_open(json, "fallback");
    hak_json_number(json, "libc_alloc", stats->alloc_libc);
    hak_json_number(json, "libc_free", stats->free_libc + stats->free_alloc_header_libc);
    hak_json_close(json);
    hak_json_open(json, "os");
    hak_json_number(json, "mmap", stats->os_mmap);
    hak_json_number(json, "munmap", stats->os_munmap);
    hak_json_number(json, "mremap", stats->os_mremap);
    hak_json_number(json, "madvise", stats->os_madvise);
    hak_json_number(json, "mincore", stats->os_mincore);
    hak_json_number(json, "mapped_bytes", hak_mapped_bytes);
    hak_json_number(json, "peak_mapped_bytes", hak_peak_mapped_bytes);
    hak_json_close(json);
}

/* What the mechanisms did that are off by default. */
static void hak_json_variants(hak_text_t *json, const hak_stats_t *stats) {
    hak_json_open(json, "variants");
    hak_json_number(json, "c23_refills", stats->c23_refills);
    hak_json_number(json, "smallmid_superslabs", stats->smallmid_superslabs);
    hak_json_number(json, "stage1_lockfree", stats->stage1_lockfree);
    hak_json_number(json, "nodes_made", stats->nodes_made);
    hak_json_number(json, "nodes_exhausted", stats->nodes_exhausted);
    hak_json_number(json, "superslabs_prewarmed", stats->superslabs_prewarmed);
    hak_json_number(json, "huge_advised", stats->huge_advised);
    hak_json_close(json);
}

static void hak_json_histogram(hak_text_t *json) {
    static const char *const groups[] = {"C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "mid", "large"};
    hak_json_open(json, "size_histogram");
    for (unsigned group = 0; group < 10; group++) hak_json_number(json, groups[group], hak_size_histogram[group]);
    hak_json_close(json);
}

/* The configured path with %p replaced by the process id. */
static void hak_stats_path(hak_text_t *path) {
    for (const char *at = hak_config.stats_file; *at != '\0'; at++) {
        const char letter[2] = {*at, '\0'};
        if (at[0] == '%' && at[1] == 'p') {
            hak_text_decimal(path, (uint64_t)getpid());
            at++;
        } else {
            hak_text_put(path, letter);
        }
    }
    path->text[path->length] = '\0';
}

static void hak_stats_not_written(const char *path) {
    char line[1200];
    hak_text_t text = {.text = line, .room = sizeof line};
    hak_text_put(&text, "[hakmem] the statistics file cannot be opened (errno ");
    hak_text_decimal(&text, (uint64_t)errno);
    hak_text_put(&text, "): ");
    hak_text_put(&text, path);
    hak_text_put(&text, "\n");
    hak_os_message(line, text.length);
}

void hak_stats_write(void) {
    static uint32_t written;
    if (hak_config.stats_file == NULL || __atomic_exchange_n(&written, 1, __ATOMIC_RELAXED) != 0) return;
    char path_text[1024], json_text[8192];
    hak_text_t path = {.text = path_text, .room = sizeof path_text - 1};
    hak_text_t json = {.text = json_text, .room = sizeof json_text};
    const hak_stats_t stats = hak_stats;
    hak_text_put(&json, "{");
    hak_json_number(&json, "schema", 1);
    hak_json_key(&json, "flavour");
    hak_text_put(&json, "\"instrumented\"");
    hak_json_number(&json, "pid", (uint64_t)getpid());
    hak_json_routes(&json, &stats);
    hak_json_pool(&json, &stats);
    hak_json_arena(&json, &stats);
    hak_json_system(&json, &stats);
    hak_json_variants(&json, &stats);
    if (hak_config.size_hist) hak_json_histogram(&json);
    hak_text_put(&json, "}\n");
    hak_stats_path(&path);
    const int fd = open(path_text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        hak_stats_not_written(path_text);
        return;
    }
    hak_os_write(fd, json_text, json.length);
    close(fd);
}

#else
typedef int hak_stats_are_off_t;
#endif
