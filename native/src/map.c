#include "map.h"

#include "config.h"
#include "os.h"

static hak_code_t hak_map_absent[1];

hak_code_t *hak_map = hak_map_absent;
uintptr_t hak_map_last = 0;

void hak_map_init(void) {
    if (!hak_config.flat_map || hak_os_overcommit_is_strict()) return;
    void *map = hak_os_reserve(HAK_MAP_ENTRIES * sizeof(hak_code_t));
    if (map == NULL) return;
    hak_map = map;
    hak_map_last = HAK_MAP_ENTRIES - 1;
}

bool hak_map_present(void) { return hak_map_last != 0; }

void hak_map_set(const void *start, size_t slots, hak_code_t code) {
    if (!hak_map_present()) return;
    hak_code_t *entry = &hak_map[hak_map_index(start)];
    for (size_t i = 0; i < slots; i++) __atomic_store_n(&entry[i], code, __ATOMIC_RELAXED);
}
