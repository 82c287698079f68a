/* The registry: a hash table of everything that we mapped, probed without a lock.
 *
 * It holds SuperSlabs by their address and large mappings by the slot of the pointer that the user got. It answers
 * instead of the side map where that could not be reserved, and when HAKMEM_CLASSIFY=registry asks for it. */
#ifndef HAK_REGISTRY_H
#define HAK_REGISTRY_H

#include "base.h"
#include "map.h"

typedef enum { HAK_REGISTRY_SUPERSLAB = 0, HAK_REGISTRY_LARGE = 2 } hak_registry_kind_t;

/* `address` is a multiple of a slot. False without memory. */
bool hak_registry_insert(const void *address, hak_registry_kind_t kind);
void hak_registry_remove(const void *address, hak_registry_kind_t kind);
/* The code of any pointer: one or two probes. */
hak_code_t hak_registry_lookup(const void *ptr);

#endif
