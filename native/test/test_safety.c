/* What a general-purpose allocator meets in real programs: forks while threads allocate, libraries loaded and unloaded,
 * destructors of threads that end, address space that is short, threads without number.
 *
 *     test_safety            everything
 *     test_safety soak N     N seconds of threads that swap blocks; memory must not grow */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* A sanitizer's own memory counts as the program's. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SHADOWED 1
#else
#define SHADOWED 0
#endif

/* ---- fork */

enum { WORKERS = 3, FORKS = 60, SHARED = 512 };

static volatile int stop;
static void *shared[SHARED];

static uint32_t draw(uint64_t *random) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

static size_t draw_size(uint64_t *random) {
    return draw(random) % 64 == 0 ? draw(random) % 300000 : 8 + draw(random) % 1500;
}

/* Each block begins with its size, so that whoever takes it can check its end. */
static void *make(uint64_t *random) {
    const size_t size = draw_size(random) + sizeof(size_t) + 1;
    unsigned char *block = T(malloc)(size);
    CHECK(block != NULL);
    memcpy(block, &size, sizeof size);
    block[size - 1] = (unsigned char)size;
    return block;
}

static void drop(void *ptr) {
    unsigned char *block = ptr;
    size_t size;
    if (block == NULL) return;
    memcpy(&size, block, sizeof size);
    CHECK(block[size - 1] == (unsigned char)size);
    T(free)(block);
}

static void swap_blocks(uint64_t *random, unsigned steps) {
    for (unsigned i = 0; i < steps; i++) {
        void *block = draw(random) % 4 == 0 ? NULL : make(random);
        drop(__atomic_exchange_n(&shared[draw(random) % SHARED], block, __ATOMIC_ACQ_REL));
    }
}

/* Between two bursts the soak's threads rest, so that it leaves room for the tests beside it. */
static useconds_t rest_us;

static void *worker(void *argument) {
    uint64_t random = (uintptr_t)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        swap_blocks(&random, 1000);
        if (rest_us != 0) usleep(rest_us);
    }
    return NULL;
}

static void drop_shared(void) {
    for (size_t i = 0; i < SHARED; i++) drop(__atomic_exchange_n(&shared[i], NULL, __ATOMIC_ACQ_REL));
}

static void *one_more_thread(void *argument) {
    uint64_t random = (uintptr_t)argument;
    swap_blocks(&random, 500);
    return NULL;
}

/* The child has blocks of threads that are no more, and makes threads and a child of its own. */
static void live_as_child(unsigned depth) {
    pthread_t thread;
    drop_shared();
    CHECK(pthread_create(&thread, NULL, one_more_thread, (void *)(uintptr_t)(depth + 7)) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    drop_shared();
    if (depth == 0) return;
    const pid_t grandchild = fork();
    if (grandchild == 0) {
        live_as_child(depth - 1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
}

static void test_fork_while_threads_allocate(void) {
    pthread_t threads[WORKERS];
    stop = 0;
    for (uintptr_t i = 0; i < WORKERS; i++) CHECK(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < FORKS; i++) {
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            live_as_child(1);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    drop_shared();
}

/* ---- threads */

static pthread_key_t keys[4];

/* Destructors run several rounds and in no order: they free, allocate, and set values again. */
static void destructor(void *value) {
    uint64_t random = (uintptr_t)value;
    T(free)(value);
    void *next = T(malloc)(draw_size(&random));
    if (draw(&random) % 2 == 0) pthread_setspecific(keys[draw(&random) % 4], next);
    else T(free)(next);
}

static void *set_keys(void *unused) {
    (void)unused;
    for (size_t i = 0; i < 4; i++) CHECK(pthread_setspecific(keys[i], T(malloc)(100 * i + 1)) == 0);
    return NULL;
}

static void test_destructors_that_allocate(void) {
    for (size_t i = 0; i < 4; i++) CHECK(pthread_key_create(&keys[i], destructor) == 0);
    for (unsigned i = 0; i < 200; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, set_keys, NULL) == 0);
        pthread_join(thread, NULL);
    }
    for (size_t i = 0; i < 4; i++) pthread_key_delete(keys[i]);
}

static void *allocate_and_leave(void *result) {
    for (size_t i = 0; i < 64; i++) ((void **)result)[i] = T(malloc)(40 * i + 1);
    return NULL;
}

static void memory_kb(size_t *mapped, size_t *resident) {
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%zu %zu", mapped, resident) == 2);
    fclose(statm);
    *mapped *= 4;
    *resident *= 4;
}

static size_t resident_kb(void) {
    size_t mapped, resident;
    memory_kb(&mapped, &resident);
    return resident;
}

/* Heaps of threads that ended are taken over: memory does not grow with the number of threads that ever were. */
static void test_many_threads_in_turn(void) {
    static void *blocks[64];
    size_t before = 0;
    for (unsigned i = 0; i < 2000; i++) {
        pthread_t thread;
        if (i == 200) before = resident_kb();
        CHECK(pthread_create(&thread, NULL, allocate_and_leave, blocks) == 0);
        pthread_join(thread, NULL);
        for (size_t j = 0; j < 64; j++) T(free)(blocks[j]);
    }
    CHECK(resident_kb() < before + 4096);
}

static pthread_key_t restless;

/* Asks to be run again in each round, and allocates in the last one too. */
static void allocate_and_come_again(void *value) {
    T(free)(memset(T(malloc)(1000), 1, 1000));
    pthread_setspecific(restless, value);
}

static void *set_restless(void *unused) {
    (void)unused;
    T(free)(T(malloc)(10));
    CHECK(pthread_setspecific(restless, &restless) == 0);
    return NULL;
}

static void test_destructors_without_end_leave_no_heaps(void) {
    size_t before = 0;
    CHECK(pthread_key_create(&restless, allocate_and_come_again) == 0);
    for (unsigned i = 0; i < 1200; i++) {
        pthread_t thread;
        if (i == 200) before = resident_kb();
        CHECK(pthread_create(&thread, NULL, set_restless, NULL) == 0);
        pthread_join(thread, NULL);
    }
    pthread_key_delete(restless);
    CHECK(SHADOWED || resident_kb() < before + 4096);
}

/* ---- blocks of libc's */

enum { LIBCS = 3000 };

static pthread_key_t latecomer;
static void *libcs[LIBCS];

/* The second time the thread's heap is parked, and libc serves. */
static void allocate_late(void *value) {
    static int rounds;
    if (rounds++ == 0) {
        CHECK(pthread_setspecific(latecomer, value) == 0);
        return;
    }
    for (size_t i = 0; i < LIBCS; i++) {
        if (i % 3 == 0) CHECK(T(posix_memalign)(&libcs[i], 256, 300) == 0);
        else libcs[i] = T(malloc)(100 + i);
        CHECK(libcs[i] != NULL && T(malloc_usable_size)(libcs[i]) >= 100);
        memset(libcs[i], (int)i, 100);
    }
}

static void *come_late(void *unused) {
    T(free)(T(malloc)(10));
    CHECK(pthread_setspecific(latecomer, &latecomer) == 0);
    return unused;
}

/* Foreign and second frees: said, and not followed into libc, which would end the process. */
static unsigned misuse_among_libcs(void) {
    static char foreign[512];
    char *const misused = foreign + 256 - (uintptr_t)foreign % 16;
    CHECK(T(malloc_usable_size)(misused) == 0);
    T(free)(misused);
    void *large = T(malloc)(8u << 20);
    T(free)(large);
    T(free)(large);
    T(free)(libcs[1]);
    T(free)(libcs[1]);
    void *grown = T(realloc)(libcs[2], 5000);
    CHECK(grown != NULL && ((unsigned char *)grown)[99] == 2);
    T(free)(grown);
    T(free)(libcs[2]);
    return 4;
}

static unsigned lines_of_hakmem(int pipe_end) {
    char text[8192];
    unsigned lines = 0;
    size_t length = 0;
    ssize_t got;
    while ((got = read(pipe_end, text + length, sizeof text - 1 - length)) > 0) length += (size_t)got;
    text[length] = '\0';
    for (const char *at = text; (at = strstr(at, "[hakmem] ")) != NULL; at++) lines++;
    return lines;
}

static void test_only_libcs_own_blocks_go_to_libc(void) {
    pthread_t thread;
    int ends[2];
    CHECK(pthread_key_create(&latecomer, allocate_late) == 0);
    CHECK(pthread_create(&thread, NULL, come_late, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(libcs[LIBCS - 1] != NULL && pipe(ends) == 0);
    fflush(stderr);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        const unsigned misused = misuse_among_libcs();
        for (size_t first = 3; first < 5; first++)
            for (size_t i = first; i < LIBCS; i += 2) T(free)(libcs[i]);
        _exit((int)misused);
    }
    close(ends[1]);
    int status;
    const unsigned lines = lines_of_hakmem(ends[0]);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == (int)lines);
    close(ends[0]);
    for (size_t i = 0; i < LIBCS; i++) T(free)(libcs[i]);
    pthread_key_delete(latecomer);
}

/* ---- memory that cannot be purged */

/* The system keeps the pages of locked memory: what is freed there is not zero by itself when it is handed out again. */
static void test_locked_memory_is_zeroed(void) {
    enum { BLOCKS = 40 };
    static const size_t sizes[] = {40000, 200000, 900000};
    for (size_t each = 0; each < sizeof sizes / sizeof sizes[0]; each++) {
        const size_t size = sizes[each];
        unsigned char *blocks[BLOCKS];
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = T(malloc)(size);
            CHECK(blocks[i] != NULL);
            if (i % 8 == 0 && mlock(blocks[i], 64) != 0) puts("-- memory cannot be locked here");
            memset(blocks[i], 0xAA, size);
        }
        for (size_t i = 0; i < BLOCKS; i++) T(free)(blocks[i]);
        T(malloc_trim)(0);
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = T(calloc)(1, size);
            for (size_t at = 0; at < size; at++) CHECK(blocks[i][at] == 0);
        }
        for (size_t i = 0; i < BLOCKS; i++) T(free)(blocks[i]);
        munlockall();
    }
}

/* ---- before constructors */

#if TEST_INTERPOSE
static void *early[5];

static unsigned handled;

/* Registered before hakmem's handlers: it runs while hakmem's locks are held. */
static void allocate_in_handler(void) {
    void *blocks[200];
    for (size_t i = 0; i < 200; i++) CHECK((blocks[i] = malloc(16 + i * 200)) != NULL);
    for (size_t i = 0; i < 200; i++) free(blocks[i]);
    free(malloc(3u << 20));
    handled++;
}

static void register_early(void) { pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler); }

static void test_fork_handlers_that_allocate(void) {
    handled = 0;
    const pid_t child = fork();
    if (child == 0) _exit(handled == 2 ? 0 : 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0 && handled == 2);
}

/* Runs before every constructor, hakmem's too. */
static void allocate_early(void) {
    register_early();
    early[0] = malloc(100);
    early[1] = calloc(1000, 3);
    early[2] = realloc(malloc(40), 70000);
    early[3] = aligned_alloc(4096, 4096);
    early[4] = malloc(3u << 20);
    free(malloc(2000));
    free(NULL);
}

__attribute__((section(".preinit_array"), used)) static void (*const before_constructors)(void) = allocate_early;

static void test_blocks_from_before_constructors(void) {
    static const size_t sizes[] = {100, 3000, 70000, 4096, 3u << 20};
    for (size_t i = 0; i < 5; i++) {
        CHECK(early[i] != NULL && (uintptr_t)early[i] % 16 == 0 && malloc_usable_size(early[i]) >= sizes[i]);
        memset(early[i], 1, sizes[i]);
        free(early[i]);
    }
}
#endif

/* ---- libraries */

static void test_libraries_come_and_go(void) {
    for (unsigned i = 0; i < 50; i++) {
        void *library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
        CHECK(library != NULL && dlsym(library, "cos") != NULL && dlclose(library) == 0);
        CHECK(dlopen("no-such-library.so", RTLD_NOW) == NULL && dlerror() != NULL);
    }
}

/* ---- short address space */

/* Alignment holds to the last block, whoever serves it. Nothing is given back. */
static void exhaust_aligned(void) {
    for (size_t alignment = 32; alignment <= 8192; alignment *= 2) {
        void *block = NULL;
        while (T(posix_memalign)(&block, alignment, alignment) == 0) CHECK((uintptr_t)block % alignment == 0);
    }
}

/* All that there is, then everything back, then some of it again. */
static void exhaust(void) {
    enum { MOST = 4096 };
    static void *blocks[MOST];
    static const size_t sizes[] = {(size_t)1 << 20, 60000, 3000, 100};
    for (unsigned round = 0; round < 4; round++) {
        size_t count = 0;
        errno = 0;
        while (count < MOST && (blocks[count] = T(malloc)(sizes[round])) != NULL) memset(blocks[count++], 1, 100);
        CHECK(count == MOST || errno == ENOMEM);
        CHECK(count > 10);
        if (count < MOST) CHECK(T(calloc)(1, (size_t)1 << 30) == NULL && errno == ENOMEM);
        while (count-- > 0) T(free)(blocks[count]);
    }
    exhaust_aligned();
    _exit(0);
}

/* What is mapped already counts, the side map with it. */
static void test_short_address_space(void) {
    size_t mapped, resident;
    memory_kb(&mapped, &resident);
    for (size_t megabytes = 64; megabytes <= 256; megabytes *= 2) {
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            const rlim_t bytes = (mapped << 10) + (megabytes << 20);
            const struct rlimit limit = {bytes, bytes};
            if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(0);
            exhaust();
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
}

/* ---- soak */

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_generation(uintptr_t seed) {
    pthread_t threads[WORKERS];
    for (uintptr_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, worker, (void *)(seed * WORKERS + i + 1)) == 0);
    usleep(250000);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    stop = 0;
}

/* Threads swap blocks and end; others follow. What is resident after a quarter of the time may grow by a half and 8 MB. */
static void soak(double seconds) {
    const double start = seconds_now();
    size_t settled = 0, most = 0;
    uintptr_t generations = 0;
    while (seconds_now() - start < seconds) {
        run_generation(++generations);
        const size_t resident = resident_kb();
        if (seconds_now() - start < seconds / 4) settled = resident > settled ? resident : settled;
        else if (resident > most) most = resident;
    }
    drop_shared();
    printf("soak: %.0f s, %zu generations of threads, %zu KB resident when settled, %zu KB at most later\n", seconds,
           (size_t)generations, settled, most);
    /* A sanitizer's shadow grows with every address that was ever used. */
    if (SHADOWED) return;
    CHECK(settled != 0 && most <= settled + settled / 2 + 8192);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "soak") == 0) {
        rest_us = 1000;
        soak(atof(argv[2]));
        return 0;
    }
#if TEST_INTERPOSE
    test_blocks_from_before_constructors();
    test_fork_handlers_that_allocate();
#endif
    test_locked_memory_is_zeroed();
    test_destructors_that_allocate();
    test_destructors_without_end_leave_no_heaps();
    test_only_libcs_own_blocks_go_to_libc();
    test_many_threads_in_turn();
    test_libraries_come_and_go();
    test_fork_while_threads_allocate();
    test_short_address_space();
    puts("test_safety: all promises hold");
    return 0;
}
