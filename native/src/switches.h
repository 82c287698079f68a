/* Every build switch of hakmem, with its default, its levels and its cost.
 *
 * A switch has a value and is tested with #if, never #ifdef (the build runs with -Werror=undef).
 * Set one with `make SWITCHES="-DHAK_COLOUR=0"`; the build string of each binary records it. */
#ifndef HAK_SWITCHES_H
#define HAK_SWITCHES_H

/* Counters, traces and the statistics file. 0 = release, 1 = instrumented. `make FLAVOUR=instrumented` sets it.
 * Cost: one increment for each malloc served by the front. */
#ifndef HAK_INSTRUMENTED
#define HAK_INSTRUMENTED 0
#endif

/* The historical name of the release flavour: 1 is HAK_INSTRUMENTED 0. It decides nothing, and must not claim another flavour. */
#if defined(HAKMEM_BUILD_RELEASE)
#if (HAKMEM_BUILD_RELEASE != 0) == (HAK_INSTRUMENTED != 0)
#error "HAKMEM_BUILD_RELEASE says another flavour than FLAVOUR; give FLAVOUR=release or FLAVOUR=instrumented"
#endif
#endif

/* How the inlined free finds the class of a pointer.
 * HAK_CLASSIFY_MAP: one load from the flat side map. HAK_CLASSIFY_HEADER: the byte before the block (which lies in the
 * last byte of its predecessor, so requests grow by one). HAK_CLASSIFY_REGISTRY: hash probe of the SuperSlab registry. */
#define HAK_CLASSIFY_MAP 0
#define HAK_CLASSIFY_HEADER 1
#define HAK_CLASSIFY_REGISTRY 2
/* Not a build's: HAKMEM_CLASSIFY=dual, the historical order of steps over two kinds of headers. */
#define HAK_CLASSIFY_DUAL 3
#ifndef HAK_CLASSIFY
#define HAK_CLASSIFY HAK_CLASSIFY_MAP
#endif

/* Slabs start their first block at different multiples of 64 bytes, so that blocks of power-of-two strides do not all
 * fall into the same cache sets; blocks of 2 KB and more stand one cache line further apart than they are long. Cost: at
 * most 2 KB of address space in a slab, and 64 bytes for each block of 2 KB and more. */
#ifndef HAK_COLOUR
#define HAK_COLOUR 1
#endif

/* Prefetch the next block of the bin on each allocation from the front. Cost: one instruction per malloc. */
#ifndef HAK_PREFETCH
#define HAK_PREFETCH 0
#endif

/* Compare a block that is freed with the one that the thread freed last, and report a double free at once.
 * Cost: two instructions per free, a few more per free of another thread's block. */
#ifndef HAK_CHECK_HEAD
#define HAK_CHECK_HEAD 1
#endif

/* The guards that the historical wrappers ran on every call: a thread-local depth counter and four global flags. */
#ifndef HAK_WRAPPER_GUARDS
#define HAK_WRAPPER_GUARDS 0
#endif

/* Blocks sent to another thread's heap in one step: tiny classes, and classes above 1 KB. */
#ifndef HAK_REMOTE_BATCH_TINY
#define HAK_REMOTE_BATCH_TINY 64
#endif
#ifndef HAK_REMOTE_BATCH_MID
#define HAK_REMOTE_BATCH_MID 8
#endif

/* Emptied slabs go back to the shared pool, where any class may take them. 0 = they stay with their heap and class. */
#ifndef HAK_REUSE_SLABS
#define HAK_REUSE_SLABS 1
#endif

/* Export malloc, free and their kin. 0 = the same functions are named hakmem_malloc, hakmem_free, …, so that a program may
 * hold both hakmem and a sanitizer's allocator (the C tests do). */
#ifndef HAK_INTERPOSE
#define HAK_INTERPOSE 1
#endif

#if HAK_CLASSIFY < 0 || HAK_CLASSIFY > 2
#error "HAK_CLASSIFY must be 0 (map), 1 (header) or 2 (registry)"
#endif
#if HAK_REMOTE_BATCH_TINY < 1 || HAK_REMOTE_BATCH_MID < 1
#error "remote batches hold at least one block"
#endif

#endif
