#include "classify.h"

#include "alloc_header.h"
#include "config.h"
#include "fallback.h"
#include "header.h"
#include "readable.h"
#include "registry.h"
#include "report.h"
#include "superslab.h"

hak_code_t hak_code_of(const void *ptr) {
    return hak_map_present() ? hak_map_load(hak_map, hak_map_last, ptr) : hak_registry_lookup(ptr);
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

/* Where the map knows nothing, only libc's blocks are left: while there are none, nothing is read. */
static bool hak_classify_may_read(const void *ptr, hak_code_t truth) {
    if (!hak_is_memory_readable((const char *)ptr - 1)) return false;
    return truth == HAK_CODE_FOREIGN ? hak_fallback_in_use() : truth != HAK_CODE_RELEASED;
}

/* The historical order: class byte of a tiny block, 16-byte header, SuperSlab lookup, mid and large lookup. The side map only
 * vouches for what is read: a header that contradicts it is not followed. */
static hak_code_t hak_classify_dual(const void *ptr, hak_route_t *route) {
    const hak_code_t truth = hak_code_of(ptr);
    *route = HAK_ROUTE_SS_HIT;
    if (hak_classify_may_read(ptr, truth)) {
        const unsigned cls = hak_header_read(ptr);
        if (cls != 0 && hak_code_owner(truth) != 0 && hak_code_class(truth) == cls) {
            *route = HAK_ROUTE_HEADER_FAST;
            return truth;
        }
        const hak_method_t method = hak_alloc_header_method(ptr);
        const hak_code_t code = method == HAK_METHOD_MMAP ? HAK_CODE_LARGE : HAK_CODE_FOREIGN;
        if (method != HAK_METHOD_NONE && truth == code) {
            *route = HAK_ROUTE_ALLOC_HEADER;
            return code;
        }
    }
    return hak_registry_lookup(ptr);
}

hak_code_t classify_ptr(const void *ptr, hak_route_t *route) {
    switch (hak_config.classify) {
    case HAK_CLASSIFY_HEADER:
        return hak_classify_by_header(ptr, route);
    case HAK_CLASSIFY_DUAL:
        return hak_classify_dual(ptr, route);
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
