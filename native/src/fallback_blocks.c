#include "fallback_blocks.h"

#include "lock.h"
#include "os.h"

#define HAK_FALLBACK_FIRST_BLOCKS 512u

/* Open addressing, linear probing, one place always free. What is taken out closes its gap. */
typedef struct {
    uintptr_t *places;
    size_t mask, count;
} hak_fallback_blocks_t;

hak_lock_t hak_lock_fallback = HAK_LOCK_INIT;

/* libc serves when memory is short: the first ones need none. */
static uintptr_t hak_fallback_first[HAK_FALLBACK_FIRST_BLOCKS];
static hak_fallback_blocks_t hak_fallback_blocks = {.places = hak_fallback_first, .mask = HAK_FALLBACK_FIRST_BLOCKS - 1};

static size_t hak_fallback_home(const hak_fallback_blocks_t *blocks, uintptr_t block) {
    return (size_t)((uint64_t)block * 0x9E3779B97F4A7C15u >> 32) & blocks->mask;
}

/* Where it is, or where it would be put. */
static size_t hak_fallback_place(const hak_fallback_blocks_t *blocks, uintptr_t block) {
    size_t at = hak_fallback_home(blocks, block);
    while (blocks->places[at] != 0 && blocks->places[at] != block) at = (at + 1) & blocks->mask;
    return at;
}

static size_t hak_fallback_bytes(const hak_fallback_blocks_t *blocks) {
    return hak_round_up((blocks->mask + 1) * sizeof(uintptr_t), HAK_PAGE_BYTES);
}

/* Twice as many places; without memory for them the present ones are filled up. */
static void hak_fallback_grow(hak_fallback_blocks_t *blocks) {
    hak_fallback_blocks_t larger = {.mask = blocks->mask * 2 + 1, .count = blocks->count};
    larger.places = hak_os_map(hak_fallback_bytes(&larger));
    if (larger.places == NULL) return;
    for (size_t at = 0; at <= blocks->mask; at++) {
        const uintptr_t block = blocks->places[at];
        if (block != 0) larger.places[hak_fallback_place(&larger, block)] = block;
    }
    if (blocks->places != hak_fallback_first) hak_os_unmap(blocks->places, hak_fallback_bytes(blocks));
    *blocks = larger;
}

bool hak_fallback_blocks_add(const void *block) {
    hak_fallback_blocks_t *const blocks = &hak_fallback_blocks;
    hak_lock_acquire(&hak_lock_fallback);
    if (blocks->count * 2 > blocks->mask) hak_fallback_grow(blocks);
    const bool fits = blocks->count < blocks->mask;
    if (fits) {
        blocks->places[hak_fallback_place(blocks, (uintptr_t)block)] = (uintptr_t)block;
        blocks->count++;
    }
    hak_lock_release(&hak_lock_fallback);
    return fits;
}

/* What follows moves up while it is not before its home then. */
static void hak_fallback_close_gap(hak_fallback_blocks_t *blocks, size_t gap) {
    for (size_t at = (gap + 1) & blocks->mask; blocks->places[at] != 0; at = (at + 1) & blocks->mask) {
        const size_t home = hak_fallback_home(blocks, blocks->places[at]);
        if (((at - home) & blocks->mask) < ((at - gap) & blocks->mask)) continue;
        blocks->places[gap] = blocks->places[at];
        gap = at;
    }
    blocks->places[gap] = 0;
}

bool hak_fallback_blocks_remove(const void *block) {
    hak_fallback_blocks_t *const blocks = &hak_fallback_blocks;
    hak_lock_acquire(&hak_lock_fallback);
    const size_t at = hak_fallback_place(blocks, (uintptr_t)block);
    const bool known = blocks->places[at] != 0;
    if (known) {
        hak_fallback_close_gap(blocks, at);
        blocks->count--;
    }
    hak_lock_release(&hak_lock_fallback);
    return known;
}

bool hak_fallback_blocks_has(const void *block) {
    hak_lock_acquire(&hak_lock_fallback);
    const bool known = hak_fallback_blocks.places[hak_fallback_place(&hak_fallback_blocks, (uintptr_t)block)] != 0;
    hak_lock_release(&hak_lock_fallback);
    return known;
}
