/* Mappings of freed large blocks, kept for a while: a program that frees and allocates megabytes in turn would otherwise pay
 * for mmap, page faults and munmap each time. At most HAKMEM_RETAIN_MB in all; what is older than HAKMEM_DECAY_MS goes at
 * the next large free. */
#ifndef HAK_LARGE_CACHE_H
#define HAK_LARGE_CACHE_H

#include "base.h"

/* A mapping of `bytes` up to a quarter more, its size in `*found`; NULL, and `*found` as it was, when there is none.
 * Contents are old. */
char *hak_large_cache_take(size_t bytes, size_t *found);
/* Takes the mapping over, or unmaps it when it does not fit. */
void hak_large_cache_put(char *base, size_t bytes);
/* Unmaps what is too old. */
void hak_large_cache_expire(void);
/* Unmaps everything. True if there was something. */
bool hak_large_cache_trim(void);

#endif
