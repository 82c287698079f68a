/* The side map: one 32-bit code for each 64 KB of the address space. It is the truth about who owns an address.
 *
 *     code = owner heap id << 8 | class      a slab's slot
 *     code = HAK_CODE_*                      (owner 0) a span, a mapping of its own, a released slot
 *     code = 0                               not ours
 *
 * A heap's tag is its id << 8, so `code - tag < HAK_CLASSES` says at once: tiny or mid, and mine. NULL, foreign, large
 * and remote pointers all fail that one comparison. Where 8 GB of address space cannot be reserved (ulimit -v) or would be
 * charged (overcommit_memory = 2), the map is absent and the registry answers instead. */
#ifndef HAK_MAP_H
#define HAK_MAP_H

#include "base.h"

typedef uint32_t hak_code_t;

#define HAK_CODE_FOREIGN 0u
#define HAK_CODE_SPAN 0xFDu
#define HAK_CODE_LARGE 0xFEu
#define HAK_CODE_RELEASED 0xFFu
#define HAK_TAG_NEVER 0xFFFFFF00u

/* User addresses have 47 bits. */
#define HAK_MAP_ENTRIES ((uintptr_t)1 << (47 - HAK_SLOT_SHIFT))

extern hak_code_t *hak_map;
extern uintptr_t hak_map_last; /* its last index */

static inline hak_code_t hak_code_make(uint32_t owner, unsigned cls) { return owner << 8 | cls; }
static inline unsigned hak_code_class(hak_code_t code) { return code & 0xFFu; }
static inline uint32_t hak_code_owner(hak_code_t code) { return code >> 8; }

static inline uintptr_t hak_map_index(const void *ptr) { return (uintptr_t)ptr >> HAK_SLOT_SHIFT; }

static inline hak_code_t hak_map_load(const hak_code_t *map, uintptr_t last, const void *ptr) {
    const uintptr_t index = hak_map_index(ptr);
    return HAK_LIKELY(index <= last) ? __atomic_load_n(&map[index], __ATOMIC_RELAXED) : HAK_CODE_FOREIGN;
}

/* Reserves the map; without it hak_map has one zero entry. Called once. */
void hak_map_init(void);
bool hak_map_present(void);
void hak_map_set(const void *start, size_t slots, hak_code_t code);

#endif
