/* The historical readable-memory check before a header is read (HAKMEM_MINCORE): a system call for each free (always), only
 * where the byte lies on another page than the block (hybrid), or not at all (none, the default). */
#ifndef HAK_READABLE_H
#define HAK_READABLE_H

#include "base.h"

bool hak_is_memory_readable(const void *address);

#endif
