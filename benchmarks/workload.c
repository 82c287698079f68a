/* What benchmarks/reading.py records: processes of several threads that build and drop trees, tables and texts on the
 * heap, through inlined layers and call chains of many depths, and now and then map and touch fresh memory.
 *
 * usage: workload SECONDS [PROCESSES [THREADS]]
 * Compile with -O2 -g -fno-omit-frame-pointer -pthread. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INLINE static inline __attribute__((always_inline))
#define OUTER static __attribute__((noinline))
#define BUCKETS 256
#define FRESH_BYTES (1 << 18)

typedef struct node {
    struct node *left, *right;
    char *text;
    uint64_t key;
} node_t;

typedef struct {
    uint64_t random;
    node_t *buckets[BUCKETS];
} worker_t;

static double seconds = 1;

INLINE uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

INLINE uint64_t mix(uint64_t x) {
    x ^= rotate(x, 25) ^ rotate(x, 50);
    return x * 0x9e3779b97f4a7c15u;
}

INLINE uint64_t draw(worker_t *worker) { return worker->random = mix(worker->random + 0x632be59bd9b4e019u); }

INLINE void *must_alloc(size_t bytes) {
    void *block = malloc(bytes);
    if (block == NULL) abort();
    return block;
}

/* ---- texts */

OUTER char *make_text(worker_t *worker) {
    size_t room = 16, length = 8 + draw(worker) % 120;
    char *text = must_alloc(room);
    for (size_t at = 0; at < length; at++) {
        if (at + 1 >= room) {
            room *= 2;
            text = realloc(text, room);
            if (text == NULL) abort();
        }
        text[at] = (char)('a' + (mix(at + length) & 15));
    }
    text[length] = '\0';
    return text;
}

OUTER uint64_t hash_text(const char *text) {
    uint64_t hash = 1;
    for (; *text != '\0'; text++) hash = mix(hash + (unsigned char)*text);
    return hash;
}

/* ---- trees */

INLINE node_t *new_node(worker_t *worker) {
    node_t *node = must_alloc(sizeof *node + (draw(worker) & 63));
    *node = (node_t){.key = draw(worker)};
    return node;
}

OUTER node_t *build_tree(worker_t *worker, int depth) {
    node_t *node = new_node(worker);
    if ((node->key & 7) == 0) node->text = make_text(worker);
    if (depth > 0) {
        node->left = build_tree(worker, depth - 1);
        if (node->key & 8) node->right = build_tree(worker, depth - 1 - (int)(node->key & 1) * (depth > 1));
    }
    return node;
}

OUTER uint64_t sum_tree(const node_t *node) {
    if (node == NULL) return 0;
    const uint64_t own = node->text != NULL ? hash_text(node->text) : mix(node->key);
    return own + sum_tree(node->left) + sum_tree(node->right);
}

OUTER void drop_tree(node_t *node) {
    if (node == NULL) return;
    drop_tree(node->left);
    drop_tree(node->right);
    free(node->text);
    free(node);
}

/* ---- requests */

OUTER void insert(worker_t *worker) {
    node_t **bucket = &worker->buckets[draw(worker) % BUCKETS];
    drop_tree(*bucket);
    *bucket = build_tree(worker, (int)(draw(worker) % 7));
}

OUTER uint64_t look_up(worker_t *worker) { return sum_tree(worker->buckets[draw(worker) % BUCKETS]); }

OUTER uint64_t answer_text(worker_t *worker) {
    char *text = make_text(worker);
    const uint64_t hash = hash_text(text);
    free(text);
    return hash;
}

OUTER void map_fresh_memory(void) {
    char *fresh = mmap(NULL, FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED) abort();
    memset(fresh, 1, FRESH_BYTES);
    munmap(fresh, FRESH_BYTES);
}

OUTER uint64_t serve(worker_t *worker) {
    const uint64_t kind = draw(worker) % 1024;
    if (kind == 0) map_fresh_memory();
    if (kind < 500) {
        insert(worker);
        return 0;
    }
    return kind < 800 ? look_up(worker) : answer_text(worker);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void *work(void *number) {
    worker_t worker = {.random = (uint64_t)(uintptr_t)number + 1};
    char name[16];
    snprintf(name, sizeof name, "worker %d", (int)(uintptr_t)number);
    prctl(PR_SET_NAME, name);
    const double end = now() + seconds;
    volatile uint64_t sink = 0;
    while (now() < end)
        for (int i = 0; i < 64; i++) sink += serve(&worker);
    for (int i = 0; i < BUCKETS; i++) drop_tree(worker.buckets[i]);
    return NULL;
}

static void run_threads(int threads) {
    pthread_t ids[64];
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)(uintptr_t)i) != 0) abort();
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
}

int main(int argc, char **argv) {
    if (argc > 1) seconds = atof(argv[1]);
    const int processes = argc > 2 ? atoi(argv[2]) : 3, threads = argc > 3 ? atoi(argv[3]) : 2;
    if (seconds <= 0 || processes < 1 || processes > 64 || threads < 1 || threads > 64) {
        fprintf(stderr, "usage: workload SECONDS [PROCESSES [THREADS]] (at most 64 each)\n");
        return 2;
    }
    for (int i = 0; i < processes; i++)
        if (fork() == 0) {
            run_threads(threads);
            return 0;
        }
    while (wait(NULL) > 0) continue;
    return 0;
}
