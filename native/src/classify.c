#include "classify.h"

#include "config.h"
#include "header.h"
#include "readable.h"
#include "registry.h"
#include "report.h"
#include "superslab.h"

hak_code_t hak_code_of(const void *ptr) {
    return hak_map_present() ? hak_map_load(hak_map, hak_map_mask, ptr) : hak_registry_lookup(ptr);
}

/* The byte before a pointer that is not a tiny or mid block may be anybody's, or nobody's: the truth is asked before it is
 * read, and a contradiction is reported. (The fast path of the HAK_CLASSIFY_HEADER build trusts the byte, as the historical
 * one did: there a free of an unmapped address is fatal unless HAKMEM_MINCORE brings it here.) */
static hak_code_t hak_classify_by_header(const void *ptr, hak_route_t *route) {
    const bool readable = hak_is_memory_readable((const char *)ptr - 1);
    const hak_code_t truth = hak_code_of(ptr);
    *route = hak_map_present() ? HAK_ROUTE_MAP_FAST : HAK_ROUTE_SS_HIT;
    if (!readable || hak_code_owner(truth) == 0) return truth;
    if (hak_header_read(ptr) == hak_code_class(truth)) *route = HAK_ROUTE_HEADER_FAST;
    else hak_report("header overwritten before", ptr);
    return truth;
}

hak_code_t classify_ptr(const void *ptr, hak_route_t *route) {
    switch (hak_config.classify) {
    case HAK_CLASSIFY_HEADER:
        return hak_classify_by_header(ptr, route);
    case HAK_CLASSIFY_REGISTRY:
        hak_is_memory_readable(ptr);
        *route = HAK_ROUTE_SS_HIT;
        return hak_registry_lookup(ptr);
    default:
        hak_is_memory_readable(ptr);
        *route = hak_map_present() ? HAK_ROUTE_MAP_FAST : HAK_ROUTE_SS_HIT;
        return hak_code_of(ptr);
    }
}
