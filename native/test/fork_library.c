/* A library as many are: its handlers take its mutex around a fork, and it allocates with the mutex held. */
#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }

__attribute__((constructor)) static void prepare_for_forks(void) { pthread_atfork(lock, unlock, unlock); }

void work_with_the_mutex(void) {
    void *blocks[8];
    lock();
    for (size_t i = 0; i < 8; i++) blocks[i] = malloc(100000 + i * 50000);
    for (size_t i = 0; i < 8; i++) free(blocks[i]);
    unlock();
}
