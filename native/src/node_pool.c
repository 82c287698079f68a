#include "node_pool.h"

#include "classes.h"
#include "config.h"
#include "os.h"
#include "stats.h"

#define HAK_CHUNK_SHIFT 10u
#define HAK_CHUNK_NODES (1u << HAK_CHUNK_SHIFT)
#define HAK_CHUNKS 1024u

typedef struct {
    hak_slab_t *slab;
    uint64_t next; /* index + 1 of the node below, or 0 */
} hak_node_t;

#define HAK_CHUNK_BYTES (HAK_CHUNK_NODES * sizeof(hak_node_t))

/* A stack's top: index + 1 in the lower half, a tag that grows with each change in the upper. */
typedef uint64_t hak_stack_t;

static hak_node_t *hak_node_chunks[HAK_CHUNKS];
static uint32_t hak_nodes_made;
static hak_stack_t hak_nodes_free;
static hak_stack_t hak_ready[HAK_CLASSES];

static hak_node_t *hak_node_at(uint32_t place) {
    return &__atomic_load_n(&hak_node_chunks[(place - 1) >> HAK_CHUNK_SHIFT], __ATOMIC_ACQUIRE)[(place - 1) % HAK_CHUNK_NODES];
}

static hak_stack_t hak_stack_top(hak_stack_t seen, uint32_t place) { return ((seen >> 32) + 1) << 32 | place; }

static void hak_stack_push(hak_stack_t *stack, uint32_t place) {
    hak_node_t *node = hak_node_at(place);
    hak_stack_t seen = __atomic_load_n(stack, __ATOMIC_RELAXED);
    do {
        __atomic_store_n(&node->next, (uint32_t)seen, __ATOMIC_RELAXED);
    } while (!__atomic_compare_exchange_n(stack, &seen, hak_stack_top(seen, place), true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* Place of the node that was on top, or 0. */
static uint32_t hak_stack_pop(hak_stack_t *stack) {
    hak_stack_t seen = __atomic_load_n(stack, __ATOMIC_ACQUIRE);
    while ((uint32_t)seen != 0) {
        const uint32_t next = (uint32_t)__atomic_load_n(&hak_node_at((uint32_t)seen)->next, __ATOMIC_RELAXED);
        if (__atomic_compare_exchange_n(stack, &seen, hak_stack_top(seen, next), true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) break;
    }
    return (uint32_t)seen;
}

/* The chunk is there when a place in it is handed out; of two threads that map it at once, one takes its mapping back. */
static bool hak_chunk_make(uint32_t chunk) {
    if (__atomic_load_n(&hak_node_chunks[chunk], __ATOMIC_ACQUIRE) != NULL) return true;
    hak_node_t *nodes = hak_os_map(HAK_CHUNK_BYTES), *none = NULL;
    if (nodes == NULL) return false;
    if (!__atomic_compare_exchange_n(&hak_node_chunks[chunk], &none, nodes, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        hak_os_unmap(nodes, HAK_CHUNK_BYTES);
    return true;
}

/* Place of a node that was never used, or 0. */
static uint32_t hak_node_make(void) {
    const uint32_t most = hak_config.pool_nodes != 0 ? hak_config.pool_nodes : HAK_CHUNKS * HAK_CHUNK_NODES;
    uint32_t made = __atomic_load_n(&hak_nodes_made, __ATOMIC_RELAXED);
    do {
        if (made >= most || !hak_chunk_make(made >> HAK_CHUNK_SHIFT)) return 0;
    } while (!__atomic_compare_exchange_n(&hak_nodes_made, &made, made + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    hak_stat_global(nodes_made, 1);
    return made + 1;
}

bool hak_ready_push(hak_slab_t *slab, unsigned cls) {
    uint32_t place = hak_stack_pop(&hak_nodes_free);
    if (place == 0) place = hak_node_make();
    if (place == 0) {
        hak_stat_global(nodes_exhausted, 1);
        return false;
    }
    hak_node_at(place)->slab = slab;
    hak_stack_push(&hak_ready[cls], place);
    return true;
}

hak_slab_t *hak_ready_pop(unsigned cls) {
    const uint32_t place = hak_stack_pop(&hak_ready[cls]);
    if (place == 0) return NULL;
    hak_slab_t *slab = hak_node_at(place)->slab;
    hak_stack_push(&hak_nodes_free, place);
    return slab;
}
