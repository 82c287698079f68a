/* The operating system, behind few calls. Sizes are multiples of the page; NULL or false means that it refused.
 * No function here changes errno. */
#ifndef HAK_OS_H
#define HAK_OS_H

#include "base.h"

/* Address space that costs nothing until it is touched (MAP_NORESERVE); not counted as mapped. */
void *hak_os_reserve(size_t bytes);
/* vm.overcommit_memory = 2: the kernel ignores MAP_NORESERVE and would charge a reservation as if it were used. */
bool hak_os_overcommit_is_strict(void);
void *hak_os_map(size_t bytes);
/* `alignment` is a power of two of at least a page. */
void *hak_os_map_aligned(size_t bytes, size_t alignment);
void hak_os_unmap(void *start, size_t bytes);
/* Contents are lost, memory goes back, addresses stay. */
void hak_os_purge(void *start, size_t bytes);
/* Asks for huge pages, or takes that back. */
void hak_os_advise_huge(void *start, size_t bytes, bool wanted);
/* Gives every page its memory now. */
bool hak_os_populate(void *start, size_t bytes);
/* Grows or shrinks a mapping where it is. */
void *hak_os_resize(void *start, size_t old_bytes, size_t new_bytes);
/* Moves the pages of a mapping over another one; the old addresses are unmapped. */
bool hak_os_move(void *start, size_t old_bytes, void *target, size_t new_bytes);
/* Monotonic clock of a few milliseconds' resolution. */
uint64_t hak_os_coarse_ns(void);
uint64_t hak_os_ns(void);
/* All of it, unless the system refuses. Async-signal-safe. */
void hak_os_write(int fd, const char *text, size_t length);
/* To stderr. */
void hak_os_message(const char *text, size_t length);
bool hak_os_page_is_mapped(const void *address);

#endif
