/* Above 32 KB: a span of slots in a SuperSlab up to 1 MB, a mapping of its own beyond, and for alignments above 32 KB. */
#ifndef HAK_LARGE_H
#define HAK_LARGE_H

#include "map.h"

#define HAK_SPAN_MAX ((size_t)1 << 20)

/* NULL without memory. `*zero`: the memory is known to be zero. */
void *hak_large_alloc(size_t alignment, size_t size, bool *zero);
/* `code` is HAK_CODE_SPAN or HAK_CODE_LARGE. False, and nothing freed: no block starts there. */
bool hak_large_free(void *ptr, hak_code_t code);
size_t hak_large_usable(const void *ptr, hak_code_t code);
/* Grows or shrinks without copying; NULL when that is impossible (the block is unchanged then). */
void *hak_large_resize(void *ptr, hak_code_t code, size_t size);

#endif
