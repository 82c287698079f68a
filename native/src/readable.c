#include "readable.h"

#include "config.h"
#include "os.h"

bool hak_is_memory_readable(const void *address) {
    if (hak_config.mincore == HAK_MINCORE_NONE) return true;
    const bool last_of_page = ((uintptr_t)address & (HAK_PAGE_BYTES - 1)) == HAK_PAGE_BYTES - 1;
    if (hak_config.mincore == HAK_MINCORE_HYBRID && !last_of_page) return true;
    return hak_os_page_is_mapped(address);
}
