/* Words that every file uses: branch hints, attributes, sizes of the address space's pieces. */
#ifndef HAK_BASE_H
#define HAK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "switches.h"

#define HAK_LIKELY(x) __builtin_expect(!!(x), 1)
#define HAK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HAK_NOINLINE __attribute__((noinline))
#define HAK_COLD __attribute__((noinline, cold))
#define HAK_HOT __attribute__((aligned(64))) /* the fast path in as few cache lines as it fits into */
#define HAK_EXPORT __attribute__((visibility("default")))
#define HAK_TLS _Thread_local __attribute__((tls_model("initial-exec")))

/* A slot is the unit of the side map and of slabs; a SuperSlab is 64 slots, of which slot 0 holds its header. */
#define HAK_SLOT_SHIFT 16
#define HAK_SLOT_BYTES ((size_t)1 << HAK_SLOT_SHIFT)
#define HAK_SUPERSLAB_SHIFT 22
#define HAK_SUPERSLAB_BYTES ((size_t)1 << HAK_SUPERSLAB_SHIFT)
#define HAK_SLOTS 64u
#define HAK_PAGE_BYTES ((size_t)4096)
#define HAK_CACHE_LINE 64u

typedef struct hak_heap_s hak_heap_t;
typedef struct hak_slab_s hak_slab_t;
typedef struct hak_superslab_s hak_superslab_t;

/* A free block: linked through its first word. What a remote chain keeps in the others: remote.h. */
typedef struct hak_block_s {
    struct hak_block_s *next;
    uint64_t next_chain;
    struct hak_block_s *carried[];
} hak_block_t;

static inline size_t hak_round_up(size_t value, size_t to) { return (value + to - 1) & ~(to - 1); }

static inline bool hak_is_power_of_two(size_t value) { return value != 0 && (value & (value - 1)) == 0; }

#endif
