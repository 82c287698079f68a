#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "stats.h"

/* Not in the headers of older C libraries. */
#define HAK_MADV_POPULATE_WRITE 23

static void *hak_os_mmap(size_t bytes, int flags) {
    const int saved = errno;
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    errno = saved;
    hak_stat_global(os_mmap, 1);
    hak_stat_memory("mmap", bytes, start);
    return start == MAP_FAILED ? NULL : start;
}

void *hak_os_reserve(size_t bytes) { return hak_os_mmap(bytes, MAP_NORESERVE); }

bool hak_os_overcommit_is_strict(void) {
    const int saved = errno;
    char mode = '0';
    const int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    const bool known = fd >= 0 && read(fd, &mode, 1) == 1;
    if (fd >= 0) close(fd);
    errno = saved;
    return known && mode == '2';
}

void *hak_os_map(size_t bytes) {
    void *start = hak_os_mmap(bytes, 0);
    if (start != NULL) hak_stat_mapped(bytes);
    return start;
}

static void hak_os_munmap(void *start, size_t bytes) {
    const int saved = errno;
    munmap(start, bytes);
    errno = saved;
    hak_stat_global(os_munmap, 1);
    hak_stat_memory("munmap", bytes, start);
}

void *hak_os_map_aligned(size_t bytes, size_t alignment) {
    /* The kernel often returns what fits: it places mappings of this size one below the other. */
    char *start = hak_os_mmap(bytes, 0);
    if (start != NULL && ((uintptr_t)start & (alignment - 1)) != 0) {
        hak_os_munmap(start, bytes);
        start = hak_os_mmap(bytes + alignment, 0);
        if (start != NULL) {
            char *aligned = (char *)hak_round_up((uintptr_t)start, alignment);
            const size_t before = (size_t)(aligned - start);
            if (before != 0) hak_os_munmap(start, before);
            if (before != alignment) hak_os_munmap(aligned + bytes, alignment - before);
            start = aligned;
        }
    }
    if (start != NULL) hak_stat_mapped(bytes);
    return start;
}

void hak_os_unmap(void *start, size_t bytes) {
    hak_os_munmap(start, bytes);
    hak_stat_unmapped(bytes);
}

void hak_os_purge(void *start, size_t bytes) {
    const int saved = errno;
    if (madvise(start, bytes, MADV_DONTNEED) != 0) memset(start, 0, bytes);
    errno = saved;
    hak_stat_global(os_madvise, 1);
    hak_stat_memory("purge", bytes, start);
}

void hak_os_advise_huge(void *start, size_t bytes, bool wanted) {
    const int saved = errno;
    madvise(start, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    errno = saved;
    hak_stat_global(os_madvise, 1);
    hak_stat_global(huge_advised, wanted);
}

/* Kernels before 5.14 do not know MADV_POPULATE_WRITE (EINVAL): there each page is written to. */
bool hak_os_populate(void *start, size_t bytes) {
    const int saved = errno;
    const bool done = madvise(start, bytes, HAK_MADV_POPULATE_WRITE) == 0;
    const bool unknown = !done && errno == EINVAL;
    errno = saved;
    hak_stat_global(os_madvise, 1);
    for (size_t at = 0; unknown && at < bytes; at += HAK_PAGE_BYTES) ((volatile char *)start)[at] = 0;
    return done || unknown;
}

static void *hak_os_mremap(void *start, size_t old_bytes, size_t new_bytes, int flags, void *target) {
    const int saved = errno;
    void *moved = mremap(start, old_bytes, new_bytes, flags, target);
    errno = saved;
    hak_stat_global(os_mremap, 1);
    hak_stat_memory("mremap", new_bytes, moved);
    return moved == MAP_FAILED ? NULL : moved;
}

void *hak_os_resize(void *start, size_t old_bytes, size_t new_bytes) {
    void *same = hak_os_mremap(start, old_bytes, new_bytes, 0, NULL);
    if (same == NULL) return NULL;
    hak_stat_unmapped(old_bytes);
    hak_stat_mapped(new_bytes);
    return same;
}

bool hak_os_move(void *start, size_t old_bytes, void *target, size_t new_bytes) {
    if (hak_os_mremap(start, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target) == NULL) return false;
    hak_stat_unmapped(old_bytes);
    return true;
}

static uint64_t hak_os_clock(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t hak_os_coarse_ns(void) { return hak_os_clock(CLOCK_MONOTONIC_COARSE); }
uint64_t hak_os_ns(void) { return hak_os_clock(CLOCK_MONOTONIC); }

void hak_os_write(int fd, const char *text, size_t length) {
    const int saved = errno;
    while (length > 0) {
        const ssize_t written = write(fd, text, length);
        if (written <= 0) break;
        text += written;
        length -= (size_t)written;
    }
    errno = saved;
}

void hak_os_message(const char *text, size_t length) { hak_os_write(STDERR_FILENO, text, length); }

bool hak_os_page_is_mapped(const void *address) {
    const int saved = errno;
    unsigned char resident;
    void *page = (void *)((uintptr_t)address & ~(HAK_PAGE_BYTES - 1));
    const int failed = mincore(page, HAK_PAGE_BYTES, &resident);
    errno = saved;
    hak_stat_global(os_mincore, 1);
    return failed == 0;
}
