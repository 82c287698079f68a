/* Lines about single events, for those who asked for them. */
#include "stats.h"

#if HAK_INSTRUMENTED

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "os.h"
#include "report.h"

#define HAK_TRACE_DEFAULT_LINES 1000u

/* An open file and which one it is. Programs close descriptors that they did not open, and the number becomes another
 * file: their own, which must not be written into. */
typedef struct {
    int fd;
    dev_t device;
    ino_t inode;
} hak_trace_file_t;

static hak_trace_file_t hak_trace_stderr = {.fd = -1}, hak_trace_routes = {.fd = -1};

static hak_trace_file_t hak_trace_identify(int fd) {
    struct stat file;
    if (fstat(fd, &file) != 0) return (hak_trace_file_t){.fd = -1};
    return (hak_trace_file_t){.fd = fd, .device = file.st_dev, .inode = file.st_ino};
}

void hak_trace_init(void) {
    if (!hak_config.mem_trace && !hak_config.ss_acquire_debug && hak_config.free_route_trace == 0) return;
    const int saved = errno;
    hak_trace_stderr = hak_trace_routes = hak_trace_identify(STDERR_FILENO);
    if (hak_config.free_route_trace != 0 && hak_config.free_route_trace_file != NULL) {
        const int fd = open(hak_config.free_route_trace_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd >= 0) hak_trace_routes = hak_trace_identify(fd);
    }
    errno = saved;
}

static void hak_trace_write(const hak_trace_file_t *file, const hak_text_t *line) {
    const int saved = errno;
    const hak_trace_file_t now = hak_trace_identify(file->fd);
    if (now.fd >= 0 && now.device == file->device && now.inode == file->inode) hak_os_write(now.fd, line->text, line->length);
    errno = saved;
}

void hak_stat_route(const char *route, const void *ptr) {
    static uint32_t lines;
    const uint32_t wanted = hak_config.free_route_trace;
    if (wanted == 0) return;
    if (__atomic_fetch_add(&lines, 1, __ATOMIC_RELAXED) >= (wanted == 1 ? HAK_TRACE_DEFAULT_LINES : wanted)) return;
    char line[96];
    hak_text_t text = {.text = line, .room = sizeof line};
    hak_text_put(&text, "[FREE_ROUTE] ");
    hak_text_put(&text, route);
    hak_text_put(&text, " ptr=");
    hak_text_hex(&text, (uintptr_t)ptr);
    hak_text_put(&text, "\n");
    hak_trace_write(&hak_trace_routes, &text);
}

static void hak_trace_line(const char *tag, const char *what, const char *unit, uint64_t number, const void *place) {
    char line[128];
    hak_text_t text = {.text = line, .room = sizeof line};
    hak_text_put(&text, tag);
    hak_text_put(&text, what);
    hak_text_put(&text, unit);
    hak_text_decimal(&text, number);
    hak_text_put(&text, " at=");
    hak_text_hex(&text, (uintptr_t)place);
    hak_text_put(&text, "\n");
    hak_trace_write(&hak_trace_stderr, &text);
}

void hak_stat_acquire(const char *stage, unsigned cls, const void *slab) {
    if (hak_config.ss_acquire_debug) hak_trace_line("[SS_ACQUIRE] ", stage, " bytes=", hak_class_bytes(cls), slab);
}

void hak_stat_memory(const char *call, size_t bytes, const void *start) {
    if (hak_config.mem_trace) hak_trace_line("[MEM_TRACE] ", call, " bytes=", bytes, start);
}

#else
typedef int hak_traces_are_off_t;
#endif
