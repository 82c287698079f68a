#include "page_arena.h"

#include "config.h"
#include "lock.h"
#include "os.h"

#define HAK_ARENA_KEEP 4u

hak_lock_t hak_lock_page_arena = HAK_LOCK_INIT;

static void *hak_arena_kept[HAK_ARENA_KEEP];
static unsigned hak_arena_count, hak_arena_coming;

void *page_arena_acquire(void) {
    void *piece = NULL;
    hak_lock_acquire(&hak_lock_page_arena);
    if (hak_arena_count > 0) piece = hak_arena_kept[--hak_arena_count];
    hak_lock_release(&hak_lock_page_arena);
    if (piece != NULL) return piece;
    piece = hak_os_map_aligned(HAK_SUPERSLAB_BYTES, HAK_SUPERSLAB_BYTES);
    if (piece != NULL && hak_config.thp) hak_os_advise_huge(piece, HAK_SUPERSLAB_BYTES);
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
        return;
    }
    hak_os_purge(piece, HAK_SUPERSLAB_BYTES);
    hak_lock_acquire(&hak_lock_page_arena);
    hak_arena_kept[hak_arena_count++] = piece;
    hak_arena_coming--;
    hak_lock_release(&hak_lock_page_arena);
}
