#include "registry.h"

#include "lock.h"
#include "os.h"
#include "superslab.h"

#define HAK_REGISTRY_FIRST_BITS 12u
#define HAK_REGISTRY_GONE ((uintptr_t)1)

/* Open addressing, linear probing; a key is an address with the kind in its low bits. Readers take no lock, so a table that
 * was outgrown is kept: its size is at most that of its successor. */
typedef struct {
    size_t mask;
    size_t filled; /* keys and tombstones */
    uintptr_t keys[];
} hak_registry_t;

hak_lock_t hak_lock_registry = HAK_LOCK_INIT;

static hak_registry_t *hak_registry;

static size_t hak_registry_hash(uintptr_t key) {
    return (size_t)(((uint64_t)key >> HAK_SLOT_SHIFT) * 0x9E3779B97F4A7C15u >> 24);
}

static bool hak_registry_contains(uintptr_t key) {
    const hak_registry_t *table = __atomic_load_n(&hak_registry, __ATOMIC_ACQUIRE);
    if (table == NULL || key == 0) return false;
    for (size_t at = hak_registry_hash(key);; at++) {
        const uintptr_t found = __atomic_load_n(&table->keys[at & table->mask], __ATOMIC_ACQUIRE);
        if (found == key) return true;
        if (found == 0) return false;
    }
}

/* The table has room; the lock is held. */
static void hak_registry_put(hak_registry_t *table, uintptr_t key) {
    size_t at = hak_registry_hash(key);
    while (table->keys[at & table->mask] > HAK_REGISTRY_GONE) at++;
    if (table->keys[at & table->mask] == 0) table->filled++;
    __atomic_store_n(&table->keys[at & table->mask], key, __ATOMIC_RELEASE);
}

static size_t hak_registry_live(const hak_registry_t *table) {
    size_t live = 0;
    for (size_t at = 0; at <= table->mask; at++) live += table->keys[at] > HAK_REGISTRY_GONE;
    return live;
}

/* A table with room for one more: the present one while it is less than half full. */
static hak_registry_t *hak_registry_with_room(void) {
    hak_registry_t *old = hak_registry;
    if (old != NULL && old->filled * 2 <= old->mask) return old;
    size_t entries = (size_t)1 << HAK_REGISTRY_FIRST_BITS;
    if (old != NULL) entries = hak_registry_live(old) * 4 > old->mask ? (old->mask + 1) * 2 : old->mask + 1;
    hak_registry_t *table = hak_os_map(hak_round_up(sizeof *table + entries * sizeof(uintptr_t), HAK_PAGE_BYTES));
    if (table == NULL) return NULL;
    table->mask = entries - 1;
    for (size_t at = 0; old != NULL && at <= old->mask; at++)
        if (old->keys[at] > HAK_REGISTRY_GONE) hak_registry_put(table, old->keys[at]);
    __atomic_store_n(&hak_registry, table, __ATOMIC_RELEASE);
    return table;
}

bool hak_registry_insert(const void *address, hak_registry_kind_t kind) {
    hak_lock_acquire(&hak_lock_registry);
    hak_registry_t *table = hak_registry_with_room();
    if (table != NULL) hak_registry_put(table, (uintptr_t)address | kind);
    hak_lock_release(&hak_lock_registry);
    return table != NULL;
}

/* A key becomes a tombstone only when others may lie behind it; tombstones that end a chain become free again. */
static void hak_registry_clear(hak_registry_t *table, size_t at) {
    uintptr_t *keys = table->keys;
    __atomic_store_n(&keys[at & table->mask], HAK_REGISTRY_GONE, __ATOMIC_RELEASE);
    if (keys[(at + 1) & table->mask] != 0) return;
    for (; keys[at & table->mask] == HAK_REGISTRY_GONE; at--) {
        __atomic_store_n(&keys[at & table->mask], 0, __ATOMIC_RELEASE);
        table->filled--;
    }
}

void hak_registry_remove(const void *address, hak_registry_kind_t kind) {
    const uintptr_t key = (uintptr_t)address | kind;
    hak_lock_acquire(&hak_lock_registry);
    hak_registry_t *table = hak_registry;
    size_t at = hak_registry_hash(key);
    while (table->keys[at & table->mask] != key && table->keys[at & table->mask] != 0) at++;
    if (table->keys[at & table->mask] != 0) hak_registry_clear(table, at);
    hak_lock_release(&hak_lock_registry);
}

hak_code_t hak_registry_lookup(const void *ptr) {
    const hak_superslab_t *superslab = hak_superslab_of(ptr);
    if (hak_registry_contains((uintptr_t)superslab | HAK_REGISTRY_SUPERSLAB)) return hak_superslab_code(superslab, ptr);
    if (hak_registry_contains(((uintptr_t)ptr & ~(HAK_SLOT_BYTES - 1)) | HAK_REGISTRY_LARGE)) return HAK_CODE_LARGE;
    return HAK_CODE_FOREIGN;
}
