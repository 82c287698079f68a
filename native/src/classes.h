/* Size classes.
 *
 *     1 … 64    tiny:    16-byte steps up to 1 KB
 *    65 … 104   mid:     eight steps to a doubling up to 32 KB
 *   105 … 113   aligned: powers of two 128 B … 32 KB in uncoloured slabs, for alignments above 64 bytes
 *
 * Class 0 does not exist: its bin stays empty, so that malloc(0) takes the slow path without a test.
 * C0–C7 are the historical classes (8 B … 1 KB), kept as groups for statistics. */
#ifndef HAK_CLASSES_H
#define HAK_CLASSES_H

#include "base.h"

#define HAK_TINY_MAX 1024u
#define HAK_TINY_CLASSES 64u
#define HAK_MID_MAX 32768u
#define HAK_MID_FIRST 65u
#define HAK_MID_CLASSES 40u
#define HAK_ALIGNED_FIRST (HAK_MID_FIRST + HAK_MID_CLASSES)
#define HAK_ALIGNED_CLASSES 9u
#define HAK_CLASSES (HAK_ALIGNED_FIRST + HAK_ALIGNED_CLASSES)

static inline size_t hak_class_of_tiny(size_t size) { return (size + 15) >> 4; }

static inline unsigned hak_class_of_mid(size_t size) {
    const size_t last = size - 1;
    const unsigned exponent = 63u - (unsigned)__builtin_clzl(last);
    return HAK_MID_FIRST + (exponent - 10u) * 8u + ((unsigned)(last >> (exponent - 3u)) & 7u);
}

/* Class of 1 … HAK_MID_MAX bytes; size 0 counts as 1. */
static inline unsigned hak_class_of(size_t size) {
    if (size > HAK_TINY_MAX) return hak_class_of_mid(size);
    return size == 0 ? 1u : (unsigned)hak_class_of_tiny(size);
}

/* Class of uncoloured power-of-two blocks that hold `size` and honour `alignment` (both ≤ HAK_MID_MAX). */
static inline unsigned hak_class_of_aligned(size_t alignment, size_t size) {
    const size_t need = size > alignment ? size : alignment;
    if (need <= 128) return HAK_ALIGNED_FIRST;
    return HAK_ALIGNED_FIRST + 57u - (unsigned)__builtin_clzl(need - 1);
}

static inline size_t hak_class_bytes(unsigned cls) {
    if (cls <= HAK_TINY_CLASSES) return (size_t)cls << 4;
    if (cls >= HAK_ALIGNED_FIRST) return (size_t)128 << (cls - HAK_ALIGNED_FIRST);
    const unsigned step = cls - HAK_MID_FIRST;
    return (size_t)(9u + (step & 7u)) << (7u + (step >> 3));
}

/* The documents' classes 2 and 3 (128 and 256 bytes). */
static inline bool hak_class_is_c23(unsigned cls) { return cls > 64 / 16 && cls <= 256 / 16; }

static inline bool hak_class_is_aligned(unsigned cls) { return cls >= HAK_ALIGNED_FIRST; }

/* Slots of one slab: enough blocks to be worth a trip to the shared pool. */
static inline unsigned hak_class_slots(unsigned cls) {
    const size_t bytes = hak_class_bytes(cls);
    if (bytes <= 1024) return 1;
    return bytes <= 8192 ? 4 : 8;
}

#endif
