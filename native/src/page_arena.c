#include "page_arena.h"

#include "config.h"
#include "lock.h"
#include "os.h"
#include "stats.h"

#define HAK_ARENA_KEEP 4u

hak_lock_t hak_lock_page_arena = HAK_LOCK_INIT;

static void *hak_arena_kept[HAK_ARENA_KEEP];
static unsigned hak_arena_count, hak_arena_coming;

void *page_arena_acquire(void) {
    void *piece = NULL;
    hak_lock_acquire(&hak_lock_page_arena);
    if (hak_arena_count > 0) piece = hak_arena_kept[--hak_arena_count];
    hak_lock_release(&hak_lock_page_arena);
    if (piece != NULL) {
        hak_stat_global(arena_reused, 1);
        return piece;
    }
    piece = hak_os_map_aligned(HAK_SUPERSLAB_BYTES, HAK_SUPERSLAB_BYTES);
    if (piece == NULL) return NULL;
    hak_stat_global(arena_reserved, 1);
    if (hak_config.thp == HAK_THP_AT_CREATION) hak_os_advise_huge(piece, HAK_SUPERSLAB_BYTES, true);
    return piece;
}

/* The place among the kept is taken before the piece is purged, and filled after it. */
void page_arena_release(void *piece) {
    hak_lock_acquire(&hak_lock_page_arena);
    const bool keep = hak_arena_count + hak_arena_coming < HAK_ARENA_KEEP;
    hak_arena_coming += keep;
    hak_lock_release(&hak_lock_page_arena);
    if (!keep) {
        hak_os_unmap(piece, HAK_SUPERSLAB_BYTES);
        hak_stat_global(arena_returned, 1);
        return;
    }
    hak_os_purge(piece, HAK_SUPERSLAB_BYTES);
    hak_stat_global(arena_kept, 1);
    hak_lock_acquire(&hak_lock_page_arena);
    hak_arena_kept[hak_arena_count++] = piece;
    hak_arena_coming--;
    hak_lock_release(&hak_lock_page_arena);
}
