/* Target: the compiled walker under AddressSanitizer and UBSan, with events and blocks that the input makes up.
 *
 * The input is a description (struct setup) and then bytes. Half of the descriptions have headers put right along the
 * bytes, so that most of what follows is samples; the others give the bytes as they are. */
#include "../hakprof/parse/perf_data/walker.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS 4
#define IDS 6
#define THREADS 3
#define TIMES 8
#define SAMPLE 9u

#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

typedef struct {
    uint8_t event_count, id, flags, split;
    struct { uint8_t present, has_chain; } events[EVENTS];
    uint8_t ids[IDS], id_events[IDS], id_count;
    uint8_t thread_count, tids[THREADS], ends[THREADS];
    uint16_t times[TIMES];
} setup_t;

enum { REPAIRED = 1, KEEPS_CHAINS = 2, NO_ID = 4 };

typedef struct {
    walker_config_t config;
    walker_event_t events[EVENTS];
    uint64_t ids[IDS], times[TIMES];
    uint16_t id_events[IDS];
    walker_thread_t threads[THREADS];
} configured_t;

/* Fields stand one after another from the header on, as in perf's samples; each may be absent. */
static walker_event_t event_of(uint8_t present, uint8_t has_chain) {
    walker_event_t event = {.has_chain = has_chain & 1, .fixed_period = has_chain};
    int32_t *fields[] = {&event.ip, &event.tid, &event.time, &event.period};
    int32_t at = 1;
    for (int field = 0; field < 4; field++) {
        at += present >> (4 + field) & 1; /* a field that is not read stands between */
        *fields[field] = present >> field & 1 ? at++ : WALKER_ABSENT;
    }
    event.fixed_words = at;
    return event;
}

static void configure(const setup_t *setup, configured_t *made) {
    memset(made, 0, sizeof *made);
    const size_t event_count = 1 + setup->event_count % EVENTS, id_count = setup->id_count % (IDS + 1);
    for (size_t i = 0; i < event_count; i++)
        made->events[i] = event_of(setup->events[i].present, setup->events[i].has_chain);
    uint64_t id = 0;
    for (size_t i = 0; i < id_count; i++) {
        made->ids[i] = id += setup->ids[i];
        made->id_events[i] = (uint16_t)(setup->id_events[i] % event_count);
    }
    uint64_t time = 0;
    for (size_t i = 0; i < TIMES; i++) made->times[i] = time += setup->times[i];
    const size_t thread_count = setup->thread_count % (THREADS + 1);
    uint32_t begin = 0;
    int32_t tid = -1;
    for (size_t i = 0; i < thread_count; i++) {
        const uint32_t end = begin + setup->ends[i] % (TIMES + 1 - begin);
        made->threads[i] = (walker_thread_t){.tid = tid += 1 + setup->tids[i], .begin = begin, .end = end};
        begin = end;
    }
    made->config = (walker_config_t){
        .events = made->events, .event_count = event_count,
        .id = setup->flags & NO_ID ? WALKER_ABSENT : 1 + setup->id % 12,
        .keeps_chains = (setup->flags & KEEPS_CHAINS) != 0,
        .ids = made->ids, .id_events = made->id_events, .id_count = id_count,
        .threads = made->threads, .thread_count = thread_count, .times = made->times,
        .seed = setup->split * 0x9E3779B97F4A7C15u,
    };
}

/* Turns bytes into samples of up to 31 words, keeping all but the headers' type and size. */
static void repair(uint8_t *block, size_t size) {
    for (size_t at = 0; size - at >= 8;) {
        size_t words = 1 + (block[at + 6] & 31);
        if (words > (size - at) / 8) words = (size - at) / 8;
        const uint32_t kind = block[at] == 0xFF ? 3 : SAMPLE; /* now and then something else */
        const uint16_t bytes = (uint16_t)(words * 8);
        memcpy(block + at, &kind, sizeof kind);
        memcpy(block + at + 6, &bytes, sizeof bytes);
        at += bytes;
    }
}

/* What scan.py does: samples are taken, other records stepped over, up to one that cannot be or is cut off. */
static size_t walk(walker_t *walker, const uint8_t *block, size_t size, uint64_t offset) {
    size_t position = 0;
    while (size - position >= 8) {
        const int64_t behind = walker_take(walker, block, size, position, offset);
        CHECK(behind >= (int64_t)position && (size_t)behind <= size);
        position = (size_t)behind;
        if (size - position < 8) break;
        uint16_t bytes;
        memcpy(&bytes, block + position + 6, sizeof bytes);
        if (bytes < 8 || bytes > size - position) break;
        position += bytes;
    }
    return position;
}

/* Rows and chains must add up to the samples, and lie where they are said to. */
static void check(const walker_t *walker) {
    walker_result_t result;
    walker_result(walker, &result);
    uint64_t count = 0;
    for (size_t i = 0; i < result.row_count; i++) {
        const walker_row_t *row = &result.rows[i];
        CHECK(row->count > 0 && row->first <= row->last);
        CHECK(row->period >= result.periods[row->event].least * row->count);
        CHECK(row->period <= result.periods[row->event].most * row->count);
        count += row->count;
        size_t chain = 0;
        while (row->stack != 0 && chain < result.chain_count && result.chains[chain].hash != row->stack) chain++;
        CHECK(row->stack == 0 || chain < result.chain_count);
    }
    CHECK(count + result.malformed == result.samples);
    for (size_t i = 0; i < result.chain_count; i++) {
        const walker_chain_t *chain = &result.chains[i];
        CHECK(chain->length <= result.word_count && chain->offset <= result.word_count - chain->length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    setup_t setup;
    configured_t made;
    if (size < sizeof setup) return -1;
    memcpy(&setup, data, sizeof setup);
    configure(&setup, &made);
    const size_t rest = size - sizeof setup;
    /* Blocks of their own, so that a read beyond one is noticed, which begin at any address. */
    const size_t first = rest * setup.split / 255, shift = setup.split & 7;
    walker_t *walker = walker_new(&made.config);
    CHECK(walker != NULL);
    for (int half = 0; half < 2; half++) {
        const size_t bytes = half ? rest - first : first;
        uint8_t *block = malloc(bytes + shift);
        CHECK(block != NULL || bytes + shift == 0);
        if (bytes) memcpy(block + shift, data + sizeof setup + (half ? first : 0), bytes);
        if (setup.flags & REPAIRED && bytes) repair(block + shift, bytes);
        if (bytes) walk(walker, block + shift, bytes, half ? first : 0);
        free(block);
        CHECK(walker_renamed(walker, setup.tids[half]) == 0);
    }
    check(walker);
    walker_free(walker);
    return 0;
}
