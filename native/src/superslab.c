#include "superslab.h"

#include "classes.h"
#include "config.h"
#include "heap.h"
#include "os.h"
#include "page_arena.h"
#include "registry.h"

#define HAK_STRIDE_LEAST 2048u

/* Distance of a slab's first block from the slab's start: a multiple of 64, different from slab to slab. Aligned classes
 * must start at 0. The header layout needs a byte before the first block. */
static size_t hak_slab_colour(const hak_slab_t *slab, unsigned cls) {
    if (hak_class_is_aligned(cls)) return 0;
    size_t colour = 0;
    if (HAK_COLOUR) {
        const size_t slot = (size_t)(slab - hak_superslab_of(slab)->slabs);
        const size_t steps = hak_class_bytes(cls) < 512 ? 8 : 32;
        colour = (slot * 5 + cls * 7) % steps * HAK_CACHE_LINE;
    }
    return colour == 0 && hak_config.header_layout ? HAK_CACHE_LINE : colour;
}

/* From block to block. A cache line more than the class holds where blocks are as far apart as a page or so: else all of a
 * slab's blocks would begin in one or two cache sets. */
static uint32_t hak_slab_stride(unsigned cls) {
    const uint32_t bytes = (uint32_t)hak_class_bytes(cls);
    return HAK_COLOUR && !hak_class_is_aligned(cls) && bytes >= HAK_STRIDE_LEAST ? bytes + HAK_CACHE_LINE : bytes;
}

void superslab_format(hak_slab_t *slab, hak_heap_t *heap, unsigned cls) {
    const size_t colour = hak_slab_colour(slab, cls);
    const size_t bytes = (size_t)slab->slots * HAK_SLOT_BYTES - colour;
    slab->free = NULL;
    slab->first = hak_slab_start(slab) + colour;
    slab->prev = slab->next = NULL;
    slab->heap = heap;
    slab->cls = (uint8_t)cls;
    slab->block_bytes = hak_slab_stride(cls);
    slab->capacity = (uint32_t)(bytes / slab->block_bytes);
    slab->carved = slab->free_count = slab->out = 0;
    slab->state = HAK_SLAB_LIVE;
    superslab_set_code(slab, slab->slots, hak_code_make(heap->id, cls));
}

void superslab_set_code(hak_slab_t *slab, unsigned slots, hak_code_t code) {
    hak_superslab_t *superslab = hak_superslab_of(slab);
    const size_t first = (size_t)(slab - superslab->slabs);
    for (size_t i = first; i < first + slots; i++)
        __atomic_store_n(&superslab->codes[i], code, __ATOMIC_RELAXED);
    hak_map_set(hak_slab_start(slab), slots, code);
}

hak_superslab_t *superslab_create(void) {
    hak_superslab_t *superslab = page_arena_acquire();
    if (superslab == NULL) return NULL;
    superslab->free_mask = HAK_SUPERSLAB_ALL_FREE;
    superslab->dirty_mask = 0;
    superslab->prev = superslab->next = NULL;
    superslab->listed = superslab->huge = 0;
    superslab->domain = HAK_DOMAIN_SHARED;
    for (unsigned slot = 0; slot < HAK_SLOTS; slot++) superslab->codes[slot] = HAK_CODE_RELEASED;
    if (!hak_registry_insert(superslab, HAK_REGISTRY_SUPERSLAB)) {
        page_arena_release(superslab);
        return NULL;
    }
    hak_map_set(superslab, HAK_SLOTS, HAK_CODE_RELEASED);
    hak_stat_global(superslabs_created, 1);
    return superslab;
}

void superslab_release(hak_superslab_t *superslab) {
    if (superslab->huge) hak_os_advise_huge(superslab, HAK_SUPERSLAB_BYTES, false);
    hak_map_set(superslab, HAK_SLOTS, HAK_CODE_FOREIGN);
    hak_registry_remove(superslab, HAK_REGISTRY_SUPERSLAB);
    hak_stat_global(superslabs_released, 1);
    page_arena_release(superslab);
}
