/* The smallest test frame: CHECK ends the test with the place and the text of what did not hold. */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* With sanitizers hakmem stands beside their allocator, under names of its own. */
#if TEST_INTERPOSE
#define T(name) name
#else
#define T(name) hakmem_##name
void *hakmem_malloc(size_t size);
void hakmem_free(void *ptr);
void *hakmem_calloc(size_t count, size_t size);
void *hakmem_realloc(void *ptr, size_t size);
void *hakmem_reallocarray(void *ptr, size_t count, size_t size);
int hakmem_posix_memalign(void **result, size_t alignment, size_t size);
void *hakmem_aligned_alloc(size_t alignment, size_t size);
void *hakmem_memalign(size_t alignment, size_t size);
void *hakmem_valloc(size_t size);
void *hakmem_pvalloc(size_t size);
size_t hakmem_malloc_usable_size(void *ptr);
int hakmem_malloc_trim(size_t pad);
#endif

#endif
