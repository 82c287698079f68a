/* The page arena hands out SuperSlab-sized pieces of address space and keeps a few purged ones for reuse. */
#ifndef HAK_PAGE_ARENA_H
#define HAK_PAGE_ARENA_H

#include "base.h"

/* HAK_SUPERSLAB_BYTES, aligned to its size, slots zero; NULL without memory. */
void *page_arena_acquire(void);
/* The piece's contents are lost; its memory goes back to the system. */
void page_arena_release(void *piece);

#endif
