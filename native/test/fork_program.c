/* Forks while two threads work in fork_library.c, which this program needs. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 2, FORKS = 300 };

void work_with_the_mutex(void);

static volatile int stop;

static void *worker(void *unused) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        work_with_the_mutex();
        usleep(200);
    }
    return unused;
}

int main(void) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, worker, NULL) == 0);
    for (unsigned i = 0; i < FORKS; i++) {
        const pid_t child = fork();
        if (child == 0) {
            work_with_the_mutex();
            _exit(0);
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return 0;
}
