#include "heap.h"

#include <pthread.h>

#include "config.h"
#include "lock.h"
#include "os.h"
#include "parked.h"

static hak_code_t hak_no_map[1];

hak_heap_t hak_empty_heap = {
    .map = hak_no_map, .map_last = 0, .tag = HAK_TAG_NEVER, .cache = hak_empty_heap.bins, .state = HAK_HEAP_ORPHAN};
hak_heap_t hak_ended_heap = {
    .map = hak_no_map, .map_last = 0, .tag = HAK_TAG_NEVER, .cache = hak_ended_heap.bins, .state = HAK_HEAP_ORPHAN};
HAK_TLS hak_heap_t *hak_tls_heap = &hak_empty_heap;

hak_lock_t hak_lock_heaps = HAK_LOCK_INIT;

static hak_heap_t *hak_heap_table[HAK_MAX_HEAPS];
static uint32_t hak_heap_last;
static pthread_key_t hak_thread_key;
static bool hak_thread_key_made;

hak_heap_t *hak_heap_by_id(uint32_t id) { return __atomic_load_n(&hak_heap_table[id], __ATOMIC_ACQUIRE); }
uint32_t hak_heap_count(void) { return __atomic_load_n(&hak_heap_last, __ATOMIC_ACQUIRE); }

static hak_heap_t *hak_heap_create(void) {
    hak_heap_t *heap = hak_os_map(hak_round_up(sizeof *heap, HAK_PAGE_BYTES));
    if (heap == NULL) return NULL;
    hak_lock_acquire(&hak_lock_heaps);
    const uint32_t id = hak_heap_last + 1 < HAK_MAX_HEAPS ? hak_heap_last + 1 : 0;
    if (id != 0) {
        heap->id = id;
        heap->map = hak_map;
        heap->map_last = hak_map_last;
        heap->tag = hak_config.slow_entry ? HAK_TAG_NEVER : id << 8;
        heap->cache = hak_config.slow_entry ? heap->shadow : heap->bins;
        heap->state = HAK_HEAP_ACTIVE;
        __atomic_store_n(&hak_heap_table[id], heap, __ATOMIC_RELEASE);
        __atomic_store_n(&hak_heap_last, id, __ATOMIC_RELEASE);
    }
    hak_lock_release(&hak_lock_heaps);
    if (id != 0) return heap;
    hak_os_unmap(heap, hak_round_up(sizeof *heap, HAK_PAGE_BYTES));
    return NULL;
}

/* Runs among the thread's TLS destructors; later ones may still free (their blocks are sent one by one) or allocate (libc
 * serves them: nothing would tell when to park another heap, for destructors may run again and again). */
static void hak_thread_exit(void *argument) {
    hak_heap_t *heap = argument;
    if (hak_tls_heap != heap) return;
    hak_tls_heap = &hak_ended_heap;
    hak_parked_put(heap);
}

hak_heap_t *hak_heap_enter(void) {
    hak_heap_t *heap = hak_parked_take();
    if (heap == NULL) heap = hak_heap_create();
    if (heap == NULL) return NULL;
    /* Before pthread_setspecific, which may allocate. */
    hak_tls_heap = heap;
    if (hak_thread_key_made) pthread_setspecific(hak_thread_key, heap);
    return heap;
}

void hak_heaps_init(void) { hak_thread_key_made = pthread_key_create(&hak_thread_key, hak_thread_exit) == 0; }

/* A heap whose thread was running when the process forked may be halfway through a change: it is left alone for good, but
 * its blocks can be read and freed (they gather in its inbox). Parked heaps are whole. */
void hak_heaps_after_fork(void) {
    for (uint32_t id = 1; id <= hak_heap_last; id++) {
        hak_heap_t *heap = hak_heap_table[id];
        const bool parked = heap->state == HAK_HEAP_PARKED || heap->state == HAK_HEAP_WARM;
        if (heap != hak_tls_heap && !parked) heap->state = HAK_HEAP_ORPHAN;
    }
    hak_parked_after_fork();
}
