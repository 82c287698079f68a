/* The documents' small-mid layer (HAKMEM_SMALLMID_ENABLE): 256 bytes to 1 KB from SuperSlabs of their own, in batches of eight
 * blocks at the least. */
#ifndef HAK_SMALLMID_H
#define HAK_SMALLMID_H

#include "classes.h"
#include "config.h"

#define HAK_DOMAIN_SMALLMID 0xFFu
#define HAK_SMALLMID_BATCH_LEAST 8u

static inline bool hak_smallmid_serves(unsigned cls) {
    return hak_config.smallmid && cls >= 256 / 16 && cls <= HAK_TINY_CLASSES;
}

#endif
