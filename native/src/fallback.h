/* libc's allocator behind ours: when the system gives no more address space, and when HAKMEM_FORCE_LIBC_ALLOC asks for a
 * comparison within one binary. Every use is counted. */
#ifndef HAK_FALLBACK_H
#define HAK_FALLBACK_H

#include "base.h"

/* NULL when libc has none either. `alignment` is a power of two. */
void *hak_fallback_alloc(size_t alignment, size_t size);
/* False when it is no block that came from here: then the pointer is nobody's. With two kinds of headers the header that was
 * found before it has shown that it is one. */
bool hak_fallback_free(void *ptr);
/* Some block of libc's is in the application's hands. */
bool hak_fallback_in_use(void);
/* 0 for what is no block of libc's. */
size_t hak_fallback_usable(void *ptr);
/* libc's own malloc, free, calloc, realloc and malloc_trim, for HAKMEM_FORCE_LIBC_ALLOC. */
void *hak_fallback_plain(size_t size);
void hak_fallback_plain_free(void *ptr);
void *hak_fallback_zeroed(size_t size);
void *hak_fallback_realloc(void *ptr, size_t size);
int hak_fallback_trim(size_t pad);

#endif
