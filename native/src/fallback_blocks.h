/* Which blocks of libc's the application has: nothing else that hakmem does not know may be handed to libc's free. */
#ifndef HAK_FALLBACK_BLOCKS_H
#define HAK_FALLBACK_BLOCKS_H

#include "base.h"

/* False without memory to remember it. */
bool hak_fallback_blocks_add(const void *block);
/* False: it is not there. Of two threads that remove the same one succeeds. */
bool hak_fallback_blocks_remove(const void *block);
bool hak_fallback_blocks_has(const void *block);

#endif
