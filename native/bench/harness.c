#include "harness.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BENCH_NULL_RING ((size_t)512 << 10)
#define BENCH_SIZE_LIMIT ((size_t)1 << 30)

typedef struct {
    uint64_t ns;
    long minor_faults, major_faults;
} bench_mark_t;

static uint64_t bench_main_ns, bench_warmup_ns;
static bench_mark_t bench_begin, bench_end;
static int bench_ctl_fd = -1, bench_ack_fd = -1;

/* ---- errors */

static void bench_message(const char *format, va_list arguments) {
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void bench_usage_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    bench_message(format, arguments);
    va_end(arguments);
    exit(2);
}

void bench_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    bench_message(format, arguments);
    va_end(arguments);
    exit(1);
}

/* ---- the null allocator */

static _Thread_local char *bench_ring;
static _Thread_local size_t bench_ring_at;

static __attribute__((noinline)) void *bench_ring_alloc(size_t size) {
    const size_t bytes = (size + 15) & ~(size_t)15;
    size_t at = bench_ring_at;
    if (__builtin_expect(at + bytes > BENCH_NULL_RING || bench_ring == NULL, 0)) {
        if (bench_ring == NULL) bench_ring = bench_map(BENCH_NULL_RING + BENCH_SIZE_LIMIT);
        at = 0;
    }
    bench_ring_at = at + bytes;
    return bench_ring + at;
}

static __attribute__((noinline)) void bench_ring_free(void *ptr) { __asm__ volatile("" : : "r"(ptr)); }

void *(*volatile bench_null_malloc)(size_t size) = bench_ring_alloc;
void (*volatile bench_null_free)(void *ptr) = bench_ring_free;

void *bench_map(size_t bytes) {
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) bench_fail("cannot map %zu bytes: %s", bytes, strerror(errno));
    return start;
}

/* ---- options */

uint64_t bench_number(const char *name, const char *text, uint64_t least, uint64_t most) {
    char *end;
    const unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0')
        bench_usage_error("%s must be a whole number, got: '%s'", name, text);
    if (value < least || value > most)
        bench_usage_error("%s must be between %llu and %llu, got: %s", name, (unsigned long long)least,
                          (unsigned long long)most, text);
    return value;
}

static void bench_parse_size(bench_options_t *options, char *text) {
    char *colon = strchr(text, ':');
    if (colon != NULL) *colon = '\0';
    options->size_min = bench_number("--size", text, 1, BENCH_SIZE_LIMIT);
    options->size_max = colon == NULL ? options->size_min : bench_number("--size", colon + 1, 1, BENCH_SIZE_LIMIT);
}

static unsigned bench_parse_word(const char *name, const char *text, const char *const *words) {
    for (unsigned i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0) return i;
    bench_usage_error("%s does not know '%s'; see --help", name, text);
}

static const char *const bench_modes[] = {"replace", "toggle", NULL};
static const char *const bench_allocators[] = {"real", "empty", "null", NULL};

/* An option that does nothing here must not be taken in silence: each benchmark knows those that its usage names. */
static void bench_refuse_unknown(const bench_options_t *options, const char *option, const char *usage) {
    char named[32];
    snprintf(named, sizeof named, "--%s ", option);
    if (strstr(usage, named) == NULL) bench_usage_error("%s knows no --%s; see --help", options->benchmark, option);
}

int bench_parse(bench_options_t *options, int argc, char **argv, const char *usage) {
    static const struct option names[] = {
        {"ops", 1, NULL, 'o'},  {"seconds", 1, NULL, 't'}, {"size", 1, NULL, 's'},    {"ws", 1, NULL, 'w'},
        {"seed", 1, NULL, 'r'}, {"threads", 1, NULL, 'n'}, {"rounds", 1, NULL, 'g'},  {"mode", 1, NULL, 'm'},
        {"help", 0, NULL, 'h'}, {"warmup", 1, NULL, 'u'},  {"allocator-mode", 1, NULL, 'a'}, {NULL, 0, NULL, 0}};
    int option, at;
    bool counted = false, timed = false;
    while ((option = getopt_long(argc, argv, "", names, &at)) != -1) {
        if (option != 'h' && option != '?') bench_refuse_unknown(options, names[at].name, usage);
        switch (option) {
        case 'o':
            options->ops = bench_number("--ops", optarg, 1, UINT64_MAX / 4);
            options->seconds = 0;
            counted = true;
            break;
        case 't':
            options->seconds = (double)bench_number("--seconds", optarg, 1, 86400);
            options->ops = 0;
            timed = true;
            break;
        case 's': bench_parse_size(options, optarg); break;
        case 'w': options->working_set = bench_number("--ws", optarg, 1, 1u << 28); break;
        case 'r': options->seed = bench_number("--seed", optarg, 0, UINT64_MAX / 2); break;
        case 'n': options->threads = (unsigned)bench_number("--threads", optarg, 1, 1024); break;
        case 'g': options->rounds = bench_number("--rounds", optarg, 1, UINT32_MAX); break;
        case 'u': options->warmup = bench_number("--warmup", optarg, 0, UINT64_MAX / 4); break;
        case 'm': options->mode = bench_parse_word("--mode", optarg, bench_modes); break;
        case 'a': options->allocator = bench_parse_word("--allocator-mode", optarg, bench_allocators); break;
        case 'h': fputs(usage, stdout); exit(0);
        default: exit(2);
        }
    }
    if (counted && timed) bench_usage_error("a run ends after --ops or after --seconds, not both");
    for (int i = optind; i < argc; i++) argv[1 + i - optind] = argv[i];
    return argc - optind;
}

void bench_check(const bench_options_t *options) {
    if (options->size_max < options->size_min)
        bench_usage_error("the largest size (%zu) is below the smallest (%zu)", options->size_max, options->size_min);
    if (options->threads < 1) bench_usage_error("at least one thread is needed");
    const size_t mean = options->size_min / 2 + options->size_max / 2;
    if (options->working_set * options->threads > ((size_t)64 << 30) / (mean + 1))
        bench_usage_error("a working set of %zu blocks of about %zu bytes in %u threads is above 64 GB", options->working_set,
                          mean, options->threads);
}

/* ---- clocks and perf's control fifo */

static uint64_t bench_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void bench_open_fifos(void) {
    const char *ctl = getenv("HAKPROF_CTL_FIFO"), *ack = getenv("HAKPROF_ACK_FIFO");
    if (ctl == NULL || ack == NULL) return;
    bench_ctl_fd = open(ctl, O_WRONLY | O_CLOEXEC);
    if (bench_ctl_fd < 0) bench_fail("cannot open the control fifo %s: %s", ctl, strerror(errno));
    bench_ack_fd = open(ack, O_RDONLY | O_CLOEXEC);
    if (bench_ack_fd < 0) bench_fail("cannot open the acknowledgement fifo %s: %s", ack, strerror(errno));
}

/* Writes one command and waits for the line that contains "ack". */
static void bench_command(const char *command) {
    if (bench_ctl_fd < 0) return;
    if (write(bench_ctl_fd, command, strlen(command)) < 0) bench_fail("the control fifo is closed: %s", strerror(errno));
    char answer[64];
    size_t length = 0;
    while (length < sizeof answer && memmem(answer, length, "ack\n", 4) == NULL) {
        const ssize_t got = read(bench_ack_fd, answer + length, sizeof answer - length);
        if (got == 0) break;
        if (got > 0) length += (size_t)got;
        else if (errno != EINTR) bench_fail("no acknowledgement: %s", strerror(errno));
    }
    if (memmem(answer, length, "ack", 3) == NULL) bench_fail("perf did not acknowledge %s", command);
}

static bench_mark_t bench_mark(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (bench_mark_t){.ns = bench_ns(), .minor_faults = usage.ru_minflt, .major_faults = usage.ru_majflt};
}

void bench_start(void) { bench_main_ns = bench_ns(); }

void bench_warmup_begins(void) { bench_warmup_ns = bench_ns(); }

void bench_region_begins(void) {
    const uint64_t warm_ns = bench_ns();
    bench_warmup_ns = bench_warmup_ns == 0 ? 0 : warm_ns - bench_warmup_ns;
    bench_open_fifos();
    bench_command("enable\n");
    bench_begin = bench_mark();
    bench_main_ns = warm_ns - bench_main_ns;
}

void bench_region_ends(void) {
    bench_end = bench_mark();
    bench_command("disable\n");
}

/* ---- threads */

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned ready, done;
    bool go;
} bench_gate_t;

static bench_gate_t bench_gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void bench_thread_ready(void) {
    pthread_mutex_lock(&bench_gate.mutex);
    bench_gate.ready++;
    pthread_cond_broadcast(&bench_gate.changed);
    while (!bench_gate.go) pthread_cond_wait(&bench_gate.changed, &bench_gate.mutex);
    pthread_mutex_unlock(&bench_gate.mutex);
}

void bench_thread_done(void) {
    pthread_mutex_lock(&bench_gate.mutex);
    bench_gate.done++;
    pthread_cond_broadcast(&bench_gate.changed);
    pthread_mutex_unlock(&bench_gate.mutex);
}

static void bench_gate_wait(const unsigned *count, unsigned wanted) {
    pthread_mutex_lock(&bench_gate.mutex);
    while (*count < wanted) pthread_cond_wait(&bench_gate.changed, &bench_gate.mutex);
    pthread_mutex_unlock(&bench_gate.mutex);
}

void bench_run_threads(unsigned threads, void *(*run)(void *), void *arguments, size_t stride) {
    pthread_t *ids = bench_map(threads * sizeof *ids);
    for (unsigned i = 0; i < threads; i++) {
        const int error = pthread_create(&ids[i], NULL, run, (char *)arguments + i * stride);
        if (error != 0) bench_fail("cannot start thread %u: %s", i, strerror(error));
    }
    bench_gate_wait(&bench_gate.ready, threads);
    bench_region_begins();
    pthread_mutex_lock(&bench_gate.mutex);
    bench_gate.go = true;
    pthread_cond_broadcast(&bench_gate.changed);
    pthread_mutex_unlock(&bench_gate.mutex);
    bench_gate_wait(&bench_gate.done, threads);
    bench_region_ends();
    for (unsigned i = 0; i < threads; i++) pthread_join(ids[i], NULL);
}

/* ---- the JSON line */

/* A field of /proc/self/status in bytes; read without stdio, which would allocate. */
static uint64_t bench_status_bytes(const char *field) {
    static char text[8192];
    const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = '\0';
    const char *found = strstr(text, field);
    return found == NULL ? 0 : strtoull(found + strlen(field), NULL, 10) * 1024;
}

static const char *bench_malloc_object(void) {
    Dl_info info;
    return dladdr((void *)BENCH_MALLOC, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "";
}

/* JSON string of a path: only quotes, backslashes and control characters need care. */
static void bench_quote(char *out, size_t room, const char *text) {
    size_t at = 0;
    for (; *text != '\0' && at + 7 < room; text++) {
        if (*text == '"' || *text == '\\') out[at++] = '\\';
        if ((unsigned char)*text < 0x20) at += (size_t)snprintf(out + at, room - at, "\\u%04x", (unsigned)*text);
        else out[at++] = *text;
    }
    out[at] = '\0';
}

static int bench_put_parameters(char *out, size_t room, const bench_options_t *options) {
    return snprintf(out, room,
                    "\"params\":{\"ops\":%llu,\"seconds\":%g,\"size_min\":%zu,\"size_max\":%zu,\"working_set\":%zu,"
                    "\"rounds\":%llu,\"warmup\":%llu},\"mode\":\"%s\",\"allocator_mode\":\"%s\",\"threads\":%u,\"seed\":%llu,",
                    (unsigned long long)options->ops, options->seconds, options->size_min, options->size_max,
                    options->working_set, (unsigned long long)options->rounds, (unsigned long long)options->warmup,
                    bench_modes[options->mode], bench_allocators[options->allocator], options->threads,
                    (unsigned long long)options->seed);
}

static int bench_put_results(char *out, size_t room, const bench_counts_t *counts) {
    const uint64_t ns = bench_end.ns - bench_begin.ns;
    char object[1024];
    bench_quote(object, sizeof object, bench_malloc_object());
    return snprintf(
        out, room,
        "\"ops\":%llu,\"ops_unit\":\"%s\",\"malloc_calls\":%llu,\"free_calls\":%llu,\"total_malloc_calls\":%llu,"
        "\"total_free_calls\":%llu,\"measured_ns\":%llu,\"ops_per_second\":%.1f,\"startup_ns\":%llu,\"warmup_ns\":%llu,"
        "\"vm_hwm_bytes\":%llu,\"vm_rss_bytes\":%llu,\"minor_faults\":%ld,\"major_faults\":%ld,"
        "\"startup_minor_faults\":%ld,\"malloc_object\":\"%s\",\"malloc_symbol\":\"%s\",\"build\":\"%s\"",
        (unsigned long long)counts->ops, counts->ops_unit, (unsigned long long)counts->mallocs,
        (unsigned long long)counts->frees, (unsigned long long)counts->total_mallocs,
        (unsigned long long)counts->total_frees, (unsigned long long)ns,
        ns == 0 ? 0.0 : (double)counts->ops * 1e9 / (double)ns,
        (unsigned long long)bench_main_ns, (unsigned long long)bench_warmup_ns,
        (unsigned long long)bench_status_bytes("VmHWM:"), (unsigned long long)bench_status_bytes("VmRSS:"),
        bench_end.minor_faults - bench_begin.minor_faults, bench_end.major_faults - bench_begin.major_faults,
        bench_begin.minor_faults, object, BENCH_MALLOC_NAME, BENCH_BUILD);
}

void bench_print(const bench_options_t *options, const bench_counts_t *counts) {
    static char line[8192];
    size_t at = (size_t)snprintf(line, sizeof line, "{\"schema\":1,\"benchmark\":\"%s\",", options->benchmark);
    at += (size_t)bench_put_parameters(line + at, sizeof line - at, options);
    at += (size_t)bench_put_results(line + at, sizeof line - at, counts);
    if (counts->details != NULL) at += (size_t)snprintf(line + at, sizeof line - at, ",\"details\":%s", counts->details);
    at += (size_t)snprintf(line + at, sizeof line - at, "}\n");
    if (write(STDOUT_FILENO, line, at) != (ssize_t)at) bench_fail("cannot write the result: %s", strerror(errno));
}
