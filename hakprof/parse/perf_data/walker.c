#include "walker.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_SAMPLE 9u
#define CPUMODE_MASK 7u
#define PERIOD_LIMIT ((uint64_t)1 << 48) /* beyond what a counter can have: damage */

/* The hash functions of samples.py and aggregate.py. */
#define CHAIN_BASE 0x9E3779B97F4A7C15u
#define LENGTH_FACTOR 0xD6E8FEB86659FD93u
#define MIX_1 0xFF51AFD7ED558CCDu
#define MIX_2 0xC4CEB9FE1A85EC53u

#define BATCH 32 /* samples that are decoded before the first of them is added */
#ifndef FIRST_ROWS /* the fuzzer sets them low, so that tables grow within a small input */
#define FIRST_ROWS 4096
#define FIRST_SLOTS 16384 /* a power of two */
#endif

typedef struct {
    uint32_t *slots; /* index + 1 of a row or chain; 0: free */
    size_t mask, used;
    uint64_t seed;
} index_t;

/* How often a thread was renamed so far. */
typedef struct {
    uint64_t tid;
    uint32_t times;
} renamed_t;

struct walker {
    walker_config_t config;
    walker_row_t *rows;
    walker_extremes_t *periods;
    walker_chain_t *chains;
    uint64_t *words;
    renamed_t *renamed, latest; /* all, and what the sample before asked for */
    size_t row_count, row_room, chain_count, chain_room, word_count, word_room, renamed_count, renamed_room;
    index_t row_index, chain_index, renamed_index;
    uint64_t samples, malformed;
};

/* What is kept of one sample while it is looked up. */
typedef struct {
    walker_row_t row;
    const uint8_t *chain;
    uint64_t length;
} sample_t;

int walker_abi(void) { return WALKER_ABI; }

/* ---- memory */

/* Records need not be aligned: words are read byte-wise, which compiles to one load. */
static inline uint64_t word_at(const uint8_t *place) {
    uint64_t word;
    memcpy(&word, place, sizeof word);
    return word;
}

/* A copy of an array; also of an empty one, which is not NULL. */
static void *copy_of(const void *source, size_t count, size_t size) {
    void *copy = calloc(count + 1, size);
    if (copy != NULL && count != 0) memcpy(copy, source, count * size);
    return copy;
}

/* Makes room for `more` elements behind `count`; 0: out of memory. */
static int reserve(void **array, size_t *room, size_t count, size_t more, size_t size) {
    if (*room - count >= more) return 1;
    size_t wanted = *room < FIRST_ROWS ? FIRST_ROWS : *room;
    while (wanted - count < more) {
        if (wanted > SIZE_MAX / 2 / size) return 0;
        wanted *= 2;
    }
    void *grown = realloc(*array, wanted * size);
    if (grown == NULL) return 0;
    *array = grown;
    *room = wanted;
    return 1;
}

static int index_init(index_t *index, uint64_t seed) {
    index->seed = seed;
    index->slots = calloc(FIRST_SLOTS, sizeof *index->slots);
    index->mask = FIRST_SLOTS - 1;
    index->used = 0;
    return index->slots != NULL;
}

/* Where to look for a hash first. A file can have hashes that differ in few bits only, and all in one place they would
 * take time that grows with their square: hence the seed, which a file cannot know. */
static inline size_t slot_of(const index_t *index, uint64_t hash) {
    hash = (hash ^ index->seed) * MIX_1;
    hash = (hash ^ hash >> 32) * MIX_2;
    return (size_t)(hash ^ hash >> 32) & index->mask;
}

/* Doubles an index that is half full; `first_hash` is the hash of element 0, and the next are `stride` bytes apart. */
static int index_grow(index_t *index, const uint8_t *first_hash, size_t stride) {
    if (index->used * 2 <= index->mask) return 1;
    const size_t mask = index->mask * 2 + 1;
    uint32_t *slots = calloc(mask + 1, sizeof *slots);
    if (slots == NULL || index->used >= UINT32_MAX) {
        free(slots);
        return 0;
    }
    const index_t grown = {slots, mask, index->used, index->seed};
    for (size_t element = 0; element < index->used; element++) {
        size_t at = slot_of(&grown, word_at(first_hash + element * stride));
        while (slots[at] != 0) at = (at + 1) & mask;
        slots[at] = (uint32_t)element + 1;
    }
    free(index->slots);
    *index = grown;
    return 1;
}

/* ---- life */

walker_t *walker_new(const walker_config_t *config) {
    walker_t *walker = calloc(1, sizeof *walker);
    if (walker == NULL) return NULL;
    const size_t times = config->thread_count == 0 ? 0 : config->threads[config->thread_count - 1].end;
    walker->config = *config;
    walker->config.events = copy_of(config->events, config->event_count, sizeof *config->events);
    walker->config.ids = copy_of(config->ids, config->id_count, sizeof *config->ids);
    walker->config.id_events = copy_of(config->id_events, config->id_count, sizeof *config->id_events);
    walker->config.threads = copy_of(config->threads, config->thread_count, sizeof *config->threads);
    walker->config.times = copy_of(config->times, times, sizeof *config->times);
    walker->periods = calloc(config->event_count, sizeof *walker->periods);
    for (size_t i = 0; walker->periods != NULL && i < config->event_count; i++) walker->periods[i].least = UINT64_MAX;
    const walker_config_t *own = &walker->config;
    const int has_indices = index_init(&walker->row_index, config->seed) &
                            index_init(&walker->chain_index, config->seed) &
                            index_init(&walker->renamed_index, config->seed);
    const int has_copies = own->events && own->ids && own->id_events && own->threads && own->times;
    if (has_copies && walker->periods && has_indices) return walker;
    walker_free(walker);
    return NULL;
}

void walker_free(walker_t *walker) {
    if (walker == NULL) return;
    free((void *)walker->config.events);
    free((void *)walker->config.ids);
    free((void *)walker->config.id_events);
    free((void *)walker->config.threads);
    free((void *)walker->config.times);
    free(walker->row_index.slots);
    free(walker->chain_index.slots);
    free(walker->renamed_index.slots);
    free(walker->renamed);
    free(walker->rows);
    free(walker->periods);
    free(walker->chains);
    free(walker->words);
    free(walker);
}

void walker_result(const walker_t *walker, walker_result_t *result) {
    *result = (walker_result_t){
        .rows = walker->rows,
        .periods = walker->periods,
        .chains = walker->chains,
        .words = walker->words,
        .row_count = walker->row_count,
        .chain_count = walker->chain_count,
        .word_count = walker->word_count,
        .samples = walker->samples,
        .malformed = walker->malformed,
    };
}

/* ---- names */

/* The slot of a thread in the index, perhaps a free one. */
static size_t renamed_slot(const walker_t *walker, uint64_t tid) {
    const index_t *index = &walker->renamed_index;
    size_t at = slot_of(index, tid);
    while (index->slots[at] != 0 && walker->renamed[index->slots[at] - 1].tid != tid) at = (at + 1) & index->mask;
    return at;
}

int walker_renamed(walker_t *walker, int32_t thread) {
    const uint64_t tid = (uint32_t)thread;
    index_t *index = &walker->renamed_index;
    walker->latest = (renamed_t){.tid = UINT64_MAX};
    const size_t at = renamed_slot(walker, tid);
    if (index->slots[at] != 0) {
        walker->renamed[index->slots[at] - 1].times++;
        return 0;
    }
    if (!reserve((void **)&walker->renamed, &walker->renamed_room, walker->renamed_count, 1, sizeof *walker->renamed))
        return -1;
    walker->renamed[walker->renamed_count++] = (renamed_t){tid, 1};
    index->slots[at] = (uint32_t)++index->used;
    return index_grow(index, (const uint8_t *)&walker->renamed[0].tid, sizeof *walker->renamed) ? 0 : -1;
}

/* How often a thread was renamed before; mostly the thread of the sample before it. */
static uint32_t times_renamed(walker_t *walker, int32_t thread) {
    const uint64_t tid = (uint32_t)thread;
    if (walker->latest.tid != tid) {
        const uint32_t slot = walker->renamed_index.slots[renamed_slot(walker, tid)];
        walker->latest = (renamed_t){tid, slot == 0 ? 0 : walker->renamed[slot - 1].times};
    }
    return walker->latest.times;
}

/* ---- decoding */

/* The first of `count` ascending values that is not below `value`. */
static size_t lower_bound(const uint64_t *values, size_t count, uint64_t value) {
    size_t begin = 0, end = count;
    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        if (values[middle] < value) begin = middle + 1;
        else end = middle;
    }
    return begin;
}

/* The event of a sample; -1: its id is of no event. `left` is the bytes from the sample to the block's last word: a
 * sample too short for its id is judged, as by samples.py, by what follows it, and refused for its size afterwards. */
static int32_t event_of(const walker_config_t *config, const uint8_t *sample, size_t left) {
    if (config->event_count == 1 || config->id == WALKER_ABSENT || config->id_count == 0) return 0;
    const size_t at = (size_t)config->id * 8;
    const uint64_t id = word_at(sample + (at < left ? at : left));
    const size_t slot = lower_bound(config->ids, config->id_count, id);
    return slot < config->id_count && config->ids[slot] == id ? config->id_events[slot] : -1;
}

/* The number of a thread's times up to the sample's; without such times, of its renames before. */
static uint32_t epoch_of(walker_t *walker, int32_t tid, uint64_t time) {
    const walker_config_t *config = &walker->config;
    size_t begin = 0, end = config->thread_count;
    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        if (config->threads[middle].tid < tid) begin = middle + 1;
        else end = middle;
    }
    if (begin == config->thread_count || config->threads[begin].tid != tid) return times_renamed(walker, tid);
    const walker_thread_t *thread = &config->threads[begin];
    uint32_t low = thread->begin, high = thread->end;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (config->times[middle] <= time) low = middle + 1;
        else high = middle;
    }
    return low - thread->begin;
}

/* Sum of word × base^i, by Horner's rule in two interleaved halves. */
static uint64_t hash_of(const uint8_t *chain, uint64_t length) {
    if (length == 0) return 0;
    uint64_t even = 0, odd = 0, at = length;
    if (at & 1) even = word_at(chain + --at * 8);
    while (at != 0) {
        at -= 2;
        even = even * (CHAIN_BASE * CHAIN_BASE) + word_at(chain + at * 8);
        odd = odd * (CHAIN_BASE * CHAIN_BASE) + word_at(chain + at * 8 + 8);
    }
    const uint64_t hash = (even + odd * CHAIN_BASE) ^ (length * LENGTH_FACTOR);
    return hash != 0 ? hash : 1;
}

static uint64_t key_of(const walker_row_t *row) {
    uint64_t key = row->stack ^ (row->ip * MIX_1);
    key ^= key >> 32;
    key *= MIX_2;
    key ^= (uint64_t)(uint32_t)row->pid << 32 | (uint32_t)row->tid;
    key *= MIX_1;
    key ^= key >> 29;
    return key + ((uint64_t)row->epoch << 24 | (uint64_t)row->event << 8 | row->cpumode) * MIX_2;
}

static inline uint64_t field_at(const uint8_t *sample, int32_t word, uint64_t otherwise) {
    return word == WALKER_ABSENT ? otherwise : word_at(sample + (size_t)word * 8);
}

/* Decodes a sample of `bytes` bytes that lies whole in the block; 0: it is malformed. */
static int decode(walker_t *walker, const uint8_t *bytes, size_t size, size_t left, uint64_t place, sample_t *sample) {
    const walker_config_t *config = &walker->config;
    const int32_t number = event_of(config, bytes, left);
    if (number < 0) return 0;
    const walker_event_t *event = &config->events[number];
    const uint64_t words = size / 8, fixed = (uint64_t)event->fixed_words;
    if (words < fixed) return 0;
    const uint64_t period = field_at(bytes, event->period, event->fixed_period);
    if (event->period != WALKER_ABSENT && period >= PERIOD_LIMIT) return 0;
    sample->chain = NULL;
    sample->length = 0;
    if (event->has_chain) {
        if (words == fixed) return 0;
        sample->length = word_at(bytes + fixed * 8);
        if (sample->length > words - fixed - 1) return 0;
        sample->chain = bytes + fixed * 8 + 8;
    }
    const uint64_t ids = field_at(bytes, event->tid, 0), time = field_at(bytes, event->time, place);
    sample->row = (walker_row_t){
        .ip = field_at(bytes, event->ip, 0),
        .stack = config->keeps_chains ? hash_of(sample->chain, sample->length) : 0,
        .count = 1,
        .period = period,
        .first = time,
        .last = time,
        .pid = (int32_t)(uint32_t)ids,
        .tid = (int32_t)(uint32_t)(ids >> 32),
        .event = (uint16_t)number,
        .cpumode = (uint8_t)(word_at(bytes) >> 32 & CPUMODE_MASK),
    };
    sample->row.epoch = epoch_of(walker, sample->row.tid, time);
    sample->row.key = key_of(&sample->row);
    return 1;
}

/* ---- adding up */

/* Keeps the chain if it is a new one; 0: out of memory. */
static int keep_chain(walker_t *walker, const sample_t *sample) {
    index_t *index = &walker->chain_index;
    const uint64_t hash = sample->row.stack;
    size_t at = slot_of(index, hash);
    for (; index->slots[at] != 0; at = (at + 1) & index->mask)
        if (walker->chains[index->slots[at] - 1].hash == hash) return 1;
    if (!reserve((void **)&walker->chains, &walker->chain_room, walker->chain_count, 1, sizeof *walker->chains) ||
        !reserve((void **)&walker->words, &walker->word_room, walker->word_count, sample->length, sizeof(uint64_t)))
        return 0;
    memcpy(walker->words + walker->word_count, sample->chain, sample->length * sizeof(uint64_t));
    walker->chains[walker->chain_count] = (walker_chain_t){hash, walker->word_count, sample->length};
    walker->word_count += sample->length;
    walker->chain_count++;
    index->slots[at] = (uint32_t)walker->chain_count;
    index->used++;
    return index_grow(index, (const uint8_t *)&walker->chains[0].hash, sizeof *walker->chains);
}

/* Adds a sample to its row, a new one if there is none; 0: out of memory. */
static int add(walker_t *walker, const sample_t *sample) {
    index_t *index = &walker->row_index;
    walker_extremes_t *periods = &walker->periods[sample->row.event];
    if (sample->row.period < periods->least) periods->least = sample->row.period;
    if (sample->row.period > periods->most) periods->most = sample->row.period;
    size_t at = slot_of(index, sample->row.key);
    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        walker_row_t *row = &walker->rows[index->slots[at] - 1];
        if (row->key != sample->row.key) continue;
        row->count++;
        row->period += sample->row.period;
        if (sample->row.first < row->first) row->first = sample->row.first;
        if (sample->row.last > row->last) row->last = sample->row.last;
        return 1;
    }
    if (!reserve((void **)&walker->rows, &walker->row_room, walker->row_count, 1, sizeof *walker->rows)) return 0;
    walker->rows[walker->row_count++] = sample->row;
    index->slots[at] = (uint32_t)walker->row_count;
    index->used++;
    if (!index_grow(index, (const uint8_t *)&walker->rows[0].key, sizeof *walker->rows)) return 0;
    return sample->row.stack == 0 || keep_chain(walker, sample);
}

/* Adds a batch of samples. Rows are spread over memory: asking for all of them first hides most of the waiting. */
static int add_all(walker_t *walker, const sample_t *samples, size_t count) {
    const index_t *index = &walker->row_index;
    for (size_t i = 0; i < count; i++) {
        const uint32_t slot = index->slots[slot_of(index, samples[i].row.key)];
        if (slot != 0) __builtin_prefetch(&walker->rows[slot - 1], 1);
    }
    for (size_t i = 0; i < count; i++)
        if (!add(walker, &samples[i])) return 0;
    return 1;
}

int64_t walker_take(walker_t *walker, const uint8_t *block, size_t size, size_t position, uint64_t file_offset) {
    sample_t batch[BATCH];
    size_t waiting = 0;
    while (position <= size && size - position >= 8) {
        const uint64_t header = word_at(block + position);
        const size_t bytes = header >> 48;
        if ((uint32_t)header != RECORD_SAMPLE || bytes < 8 || bytes % 8 != 0 || bytes > size - position) break;
        const size_t left = (size - position) / 8 * 8 - 8;
        walker->samples++;
        if (decode(walker, block + position, bytes, left, file_offset + position, &batch[waiting])) {
            __builtin_prefetch(&walker->row_index.slots[slot_of(&walker->row_index, batch[waiting].row.key)]);
            if (++waiting == BATCH) {
                if (!add_all(walker, batch, waiting)) return -1;
                waiting = 0;
            }
        } else {
            walker->malformed++;
        }
        position += bytes;
    }
    return add_all(walker, batch, waiting) ? (int64_t)position : -1;
}
