/* Adding up the samples of perf.data at the speed of reading them: the compiled twin of walk.py, samples.py and
 * aggregate.py, with the same results to the bit. No dependency but the C library; nothing here knows of Python.
 *
 * A walker is fed blocks of records. It takes the samples that stand one after another and stops at anything else,
 * which is the caller's business. It trusts no word of a block: every read is checked against the block's size. */
#ifndef HAKPROF_WALKER_H
#define HAKPROF_WALKER_H

#include <stddef.h>
#include <stdint.h>

#define WALKER_ABI 4        /* raised whenever anything below changes; the loader refuses another */
#define WALKER_ABSENT (-1)  /* the word offset of a field that an event's samples do not have */

/* Where an event's samples keep what is read of them, in words from the header. */
typedef struct {
    int32_t ip, tid, time, period;
    int32_t fixed_words;    /* header and fixed fields; the call chain follows */
    int32_t has_chain;
    uint64_t fixed_period;  /* of each sample, where the samples do not tell */
} walker_event_t;

/* From when on samples of a thread belong to the next epoch: times[begin] … times[end - 1], ascending. */
typedef struct {
    int32_t tid;
    uint32_t begin, end;
} walker_thread_t;

typedef struct {
    const walker_event_t *events;
    size_t event_count;
    int32_t id;              /* word offset of the counter's id; WALKER_ABSENT: all samples are of event 0 */
    int32_t keeps_chains;    /* 0: call chains are checked, but not told apart */
    const uint64_t *ids;     /* ascending; of each, the event is id_events[same index] */
    const uint16_t *id_events;
    size_t id_count;
    const walker_thread_t *threads; /* ascending by tid */
    size_t thread_count;
    const uint64_t *times;
    uint64_t seed;           /* any number that the file's author cannot know */
} walker_config_t;

/* Samples that agree in all but time. `first` and `last` are times; `stack` 0: without a call chain. */
typedef struct {
    uint64_t key, ip, stack, count, period, first, last;
    int32_t pid, tid;
    uint32_t epoch;
    uint16_t event;
    uint8_t cpumode, padding;
} walker_row_t;

/* One distinct call chain: words[offset] … words[offset + length - 1]. */
typedef struct {
    uint64_t hash, offset, length;
} walker_chain_t;

/* The extremes of the periods of an event's samples; least > most: it has none. */
typedef struct {
    uint64_t least, most;
} walker_extremes_t;

typedef struct {
    const walker_row_t *rows;
    const walker_extremes_t *periods; /* one for each event */
    const walker_chain_t *chains;
    const uint64_t *words;
    size_t row_count, chain_count, word_count;
    uint64_t samples, malformed;
} walker_result_t;

typedef struct walker walker_t;

int walker_abi(void);

/* Copies what the configuration points to. NULL: out of memory. At least one event; ids refer to events that exist. */
walker_t *walker_new(const walker_config_t *config);
void walker_free(walker_t *walker);

/* A record says that a thread begins or takes a name: its samples from here on get rows of their own, unless the
 * configuration has times for the thread. -1: out of memory. */
int walker_renamed(walker_t *walker, int32_t tid);

/* Takes the samples from `position` on, up to the first record that is no sample or not whole, and returns where it
 * stopped; -1: out of memory. `file_offset` is where the block stands in the file: the time of samples without time. */
int64_t walker_take(walker_t *walker, const uint8_t *block, size_t size, size_t position, uint64_t file_offset);

/* What was added up so far, rows and chains in the order in which they were met; valid until the next call. */
void walker_result(const walker_t *walker, walker_result_t *result);

#endif
