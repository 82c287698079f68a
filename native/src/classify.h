/* What is this pointer? Four ways to answer, all of them in the slow entry of free; the fast path has its own. */
#ifndef HAK_CLASSIFY_H
#define HAK_CLASSIFY_H

#include "map.h"

typedef enum { HAK_ROUTE_MAP_FAST, HAK_ROUTE_HEADER_FAST, HAK_ROUTE_ALLOC_HEADER, HAK_ROUTE_SS_HIT } hak_route_t;

/* The code of `ptr` (which is not NULL); `*route` says which way answered. */
hak_code_t classify_ptr(const void *ptr, hak_route_t *route);
/* The code by the truth: the map, or the registry where there is no map. */
hak_code_t hak_code_of(const void *ptr);

#endif
