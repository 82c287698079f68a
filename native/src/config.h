/* The environment, read once before the first block is handed out.
 *
 * Each variable is one line of the tables below; README.md repeats them, and test/test_docs.py compares the two.
 * NUMBER(field, variable, default, least, most)   WORD(field, variable, choices, default index)   TEXT(field, variable) */
#ifndef HAK_CONFIG_H
#define HAK_CONFIG_H

#include "base.h"

#define HAK_CONFIG_NUMBERS(NUMBER)                                    \
    NUMBER(fast_cap, "HAKMEM_TINY_FAST_CAP", 0, 0, 65536)             \
    NUMBER(refill_count, "HAKMEM_TINY_REFILL_COUNT_HOT", 0, 0, 1024)  \
    NUMBER(drain_interval, "HAKMEM_TINY_SLL_DRAIN_INTERVAL", 0, 0, 1000000000) \
    NUMBER(force_libc, "HAKMEM_FORCE_LIBC_ALLOC", 0, 0, 1)            \
    NUMBER(check_free, "HAKMEM_CHECK_FREE", 0, 0, 1)                  \
    NUMBER(signal_handler, "HAKMEM_SIGNAL_HANDLER", 1, 0, 1)          \
    NUMBER(flat_map, "HAKMEM_FLAT_MAP", 1, 0, 1)                      \
    NUMBER(retain_mb, "HAKMEM_RETAIN_MB", 16, 0, 65536)               \
    NUMBER(decay_ms, "HAKMEM_DECAY_MS", 1000, 0, 3600000)             \
    NUMBER(c23_simple, "HAKMEM_TINY_FRONT_C23_SIMPLE", 0, 0, 1)       \
    NUMBER(c23_refill, "HAKMEM_TINY_FRONT_C23_REFILL", 64, 16, 128)   \
    NUMBER(smallmid, "HAKMEM_SMALLMID_ENABLE", 0, 0, 1)               \
    NUMBER(pool_stage1, "HAKMEM_POOL_STAGE1", 1, 0, 1)                \
    NUMBER(pool_stage2, "HAKMEM_POOL_STAGE2", 1, 0, 1)                \
    NUMBER(pool_lockfree, "HAKMEM_POOL_STAGE1_LOCKFREE", 0, 0, 1)     \
    NUMBER(pool_nodes, "HAKMEM_POOL_NODES", 0, 0, 1048576)            \
    NUMBER(prewarm_mb, "HAKMEM_PREWARM_MB", 0, 0, 4096)               \
    NUMBER(thp, "HAKMEM_THP", 0, 0, 2)                                \
    HAK_CONFIG_NUMBERS_INSTRUMENTED(NUMBER)

#define HAK_CONFIG_WORDS(WORD)                                                     \
    WORD(classify, "HAKMEM_CLASSIFY", "map|header|registry|dual", HAK_CLASSIFY)         \
    WORD(mincore, "HAKMEM_MINCORE", "none|hybrid|always", 0)

#if HAK_INSTRUMENTED
#define HAK_CONFIG_NUMBERS_INSTRUMENTED(NUMBER)       \
    NUMBER(size_hist, "HAKMEM_SIZE_HIST", 0, 0, 1)    \
    NUMBER(ss_acquire_debug, "HAKMEM_SS_ACQUIRE_DEBUG", 0, 0, 1) \
    NUMBER(mem_trace, "HAKMEM_MEM_TRACE", 0, 0, 1)    \
    NUMBER(free_route_trace, "HAKMEM_FREE_ROUTE_TRACE", 0, 0, 1000000000)
#define HAK_CONFIG_TEXTS(TEXT)           \
    TEXT(stats_file, "HAKMEM_STATS_FILE") \
    TEXT(free_route_trace_file, "HAKMEM_FREE_ROUTE_TRACE_FILE")
#else
#define HAK_CONFIG_NUMBERS_INSTRUMENTED(NUMBER)
#define HAK_CONFIG_TEXTS(TEXT)
#endif

enum { HAK_THP_NEVER, HAK_THP_WHEN_USED, HAK_THP_AT_CREATION };
enum { HAK_MINCORE_NONE, HAK_MINCORE_HYBRID, HAK_MINCORE_ALWAYS };

typedef struct {
#define HAK_FIELD(field, ...) uint32_t field;
    HAK_CONFIG_NUMBERS(HAK_FIELD)
    HAK_CONFIG_WORDS(HAK_FIELD)
#undef HAK_FIELD
#define HAK_FIELD(field, ...) const char *field;
    HAK_CONFIG_TEXTS(HAK_FIELD)
#undef HAK_FIELD
    /* Derived: every call goes through the slow entry, because the fast path knows nothing of what was asked for. */
    bool slow_entry;
    /* Derived: blocks carry a class byte in their predecessor's last byte, so that requests grow by one. */
    bool header_layout;
    /* Derived: only tiny ones do, and a header of 16 bytes stands before what comes from no slab. */
    bool dual_headers;
} hak_config_t;

extern hak_config_t hak_config;

/* Safe before libc's own constructors: falls back to /proc/self/environ while `environ` is not set up. */
void hak_config_init(void);

#endif
