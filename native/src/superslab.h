/* SuperSlabs: 4 MB, aligned to 4 MB, of 64 slots of 64 KB. Slot 0 holds this header; the others serve slabs of any class
 * (one or several slots each) and spans of large blocks.
 *
 *     0        64 KB     128 KB    192 KB                      4 MB
 *     | header | slot 1  | slot 2 … slot 5 (one slab)   | …    |
 *
 * The masks belong to the shared pool's lock; a slab's counts belong to the thread of its heap. */
#ifndef HAK_SUPERSLAB_H
#define HAK_SUPERSLAB_H

#include "base.h"
#include "map.h"

typedef enum { HAK_SLAB_UNUSED, HAK_SLAB_LIVE, HAK_SLAB_EMPTY, HAK_SLAB_SPAN } hak_slab_state_t;

struct hak_slab_s {
    hak_block_t *free;        /* blocks returned by drains */
    char *first;              /* first block */
    hak_slab_t *prev, *next;  /* partial list of the heap, or EMPTY list of the pool */
    hak_heap_t *heap;
    uint32_t block_bytes;
    uint32_t capacity, carved, free_count;
    uint32_t out;             /* carved − free_count: in the application or in a cache */
    uint8_t cls, slots, state;
};

struct hak_superslab_s {
    uint64_t free_mask;   /* slots that nobody has */
    uint64_t dirty_mask;  /* free slots whose memory was touched */
    uint64_t freed_ns;    /* coarse time of the last release */
    hak_superslab_t *prev, *next;
    uint8_t listed;
    uint8_t huge;                /* huge pages were asked for because most of it is used */
    uint8_t domain;              /* who may take slots: HAK_DOMAIN_*, or one class */
    uint8_t head[HAK_SLOTS];     /* slot → first slot of its slab */
    hak_code_t codes[HAK_SLOTS]; /* what the side map says; read by the header and registry ways */
    hak_slab_t slabs[HAK_SLOTS];
};

#define HAK_SUPERSLAB_ALL_FREE (~(uint64_t)1)
#define HAK_DOMAIN_SHARED 0u

static inline hak_superslab_t *hak_superslab_of(const void *ptr) {
    return (hak_superslab_t *)((uintptr_t)ptr & ~(HAK_SUPERSLAB_BYTES - 1));
}

static inline unsigned hak_slot_of(const void *ptr) {
    return (unsigned)((uintptr_t)ptr >> HAK_SLOT_SHIFT) & (HAK_SLOTS - 1);
}

/* `ptr` must lie in a live slab or span. */
static inline hak_slab_t *hak_slab_of(const void *ptr) {
    hak_superslab_t *superslab = hak_superslab_of(ptr);
    return &superslab->slabs[superslab->head[hak_slot_of(ptr)]];
}

static inline char *hak_slab_start(const hak_slab_t *slab) {
    hak_superslab_t *superslab = hak_superslab_of(slab);
    return (char *)superslab + (size_t)(slab - superslab->slabs) * HAK_SLOT_BYTES;
}

static inline hak_code_t hak_superslab_code(const hak_superslab_t *superslab, const void *ptr) {
    return __atomic_load_n(&superslab->codes[hak_slot_of(ptr)], __ATOMIC_RELAXED);
}

/* Which blocks the application has, a bit for each 16 bytes of the SuperSlab: kept behind the header while frees are checked
 * (HAKMEM_CHECK_FREE), memory that is never touched otherwise. */
#define HAK_LIVE_OFFSET ((size_t)32768)
#define HAK_LIVE_SHIFT 4
_Static_assert(sizeof(hak_superslab_t) <= HAK_LIVE_OFFSET, "the header ends before the bits");
_Static_assert(HAK_LIVE_OFFSET + (HAK_SUPERSLAB_BYTES >> HAK_LIVE_SHIFT) / 8 <= HAK_SLOT_BYTES, "the bits end with slot 0");

static inline uint64_t *hak_live_word(const void *ptr, uint64_t *bit) {
    const size_t index = ((uintptr_t)ptr & (HAK_SUPERSLAB_BYTES - 1)) >> HAK_LIVE_SHIFT;
    *bit = (uint64_t)1 << (index & 63);
    return (uint64_t *)((char *)hak_superslab_of(ptr) + HAK_LIVE_OFFSET) + (index >> 6);
}
static inline void hak_live_begin(const void *block) {
    uint64_t bit, *word = hak_live_word(block, &bit);
    __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
}
/* False when no block that begins there was the application's. */
static inline bool hak_live_end(const void *block) {
    uint64_t bit, *word = hak_live_word(block, &bit);
    return __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED) & bit;
}

/* A new SuperSlab with every slot free, known to the registry; NULL without memory. */
hak_superslab_t *superslab_create(void);
/* Gives it back to the page arena. */
void superslab_release(hak_superslab_t *superslab);
/* Writes the code of a slab's slots to the side map and to the header. */
void superslab_set_code(hak_slab_t *slab, unsigned slots, hak_code_t code);
/* Lays out the blocks of a slab that was just taken. */
void superslab_format(hak_slab_t *slab, hak_heap_t *heap, unsigned cls);

#endif
