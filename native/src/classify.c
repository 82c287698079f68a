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

/* The header alone cannot be trusted with a pointer that is not a tiny or mid block: its byte may be anybody's. The truth
 * is asked too, and a contradiction is reported. */
static hak_code_t hak_classify_by_header(const void *ptr, hak_route_t *route) {
    *route = hak_map_present() ? HAK_ROUTE_MAP_FAST : HAK_ROUTE_SS_HIT;
    if (!hak_is_memory_readable((const char *)ptr - 1)) return hak_code_of(ptr);
    const unsigned cls = hak_header_read(ptr);
    const hak_code_t truth = hak_code_of(ptr);
    if (cls == 0 || hak_code_owner(truth) == 0) return truth;
    if (cls != hak_code_class(truth)) {
        hak_report("header overwritten before", ptr);
        return truth;
    }
    *route = HAK_ROUTE_HEADER_FAST;
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
