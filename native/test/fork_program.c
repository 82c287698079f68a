/* Forks while one thread works in fork_library.c, which this program needs, and another writes to a stream that allocates. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { FORKS = 300 };

void work_with_the_mutex(void);

static volatile int stop;

static ssize_t write_with_memory(void *unused, const char *text, size_t length) {
    void *blocks[8];
    (void)unused, (void)text;
    for (size_t i = 0; i < 8; i++) blocks[i] = malloc(100000 + i * 50000);
    for (size_t i = 0; i < 8; i++) free(blocks[i]);
    return (ssize_t)length;
}

/* libc holds the lock of its list of streams meanwhile, which a fork takes. */
static void *flusher(void *unused) {
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_with_memory});
    CHECK(stream != NULL);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        fputs("text", stream);
        fflush(NULL);
        usleep(100);
    }
    fclose(stream);
    return unused;
}

static void *worker(void *unused) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        work_with_the_mutex();
        usleep(200);
    }
    return unused;
}

int main(void) {
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, i == 0 ? flusher : worker, NULL) == 0);
    for (unsigned i = 0; i < FORKS; i++) {
        const pid_t child = fork();
        if (child == 0) {
            work_with_the_mutex();
            fflush(NULL);
            _exit(0);
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    return 0;
}
