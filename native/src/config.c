#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "os.h"
#include "report.h"

hak_config_t hak_config = {
#define HAK_NUMBER(field, variable, value, least, most) .field = value,
    HAK_CONFIG_NUMBERS(HAK_NUMBER)
#undef HAK_NUMBER
#define HAK_WORD(field, variable, choices, value) .field = value,
    HAK_CONFIG_WORDS(HAK_WORD)
#undef HAK_WORD
};

extern char **environ;

/* The value when `entry` is "name=value", else NULL. */
static const char *hak_env_value(const char *entry, const char *name) {
    while (*name != '\0' && *entry == *name) {
        entry++;
        name++;
    }
    return *name == '\0' && *entry == '=' ? entry + 1 : NULL;
}

/* "[hakmem] <variable>=<text> is none of <known>: the default stays" */
static void hak_config_refuse(const char *variable, const char *text, const char *known) {
    char line[200];
    hak_text_t said = {.text = line, .room = sizeof line - 1};
    const char *const parts[] = {"[hakmem] ", variable, "=", text, " is none of ", known, ": the default stays"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) hak_text_put(&said, parts[i]);
    line[said.length++] = '\n';
    hak_os_message(line, said.length);
}

/* Decimal digits only, and within the limits. */
static bool hak_config_number(uint32_t *field, const char *text, uint32_t least, uint32_t most) {
    uint64_t value = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > most) return false;
    }
    if (value >= least) *field = (uint32_t)value;
    return value >= least;
}

/* `choices` is "first|second|…"; the field becomes the index of the one that equals `text`. */
static bool hak_config_word(uint32_t *field, const char *text, const char *choices) {
    for (uint32_t index = 0; *choices != '\0'; index++) {
        const char *letter = text;
        while (*choices != '\0' && *choices != '|' && *choices == *letter) {
            choices++;
            letter++;
        }
        if (*letter == '\0' && (*choices == '\0' || *choices == '|')) {
            *field = index;
            return true;
        }
        while (*choices != '\0' && *choices != '|') choices++;
        if (*choices == '|') choices++;
    }
    return false;
}

#if HAK_INSTRUMENTED
/* The program has rights that its caller has not (setuid): files that the caller names must not be written with them. */
static bool hak_config_files_allowed(void) { return getauxval(AT_SECURE) == 0; }

/* Programs that set their title write over the environment, redis-server among them: texts are copied. NULL: too long. */
static const char *hak_config_copy(const char *text) {
    static char room[4096];
    static size_t used;
    const size_t start = used;
    do {
        if (used == sizeof room) {
            used = start;
            return NULL;
        }
        room[used++] = *text;
    } while (*text++ != '\0');
    return room + start;
}
#endif

static void hak_config_entry(const char *entry) {
    const char *value;
    if (entry[0] != 'H' || entry[1] != 'A' || entry[2] != 'K') return;
#define HAK_NUMBER(field, variable, fallback, least, most) \
    if ((value = hak_env_value(entry, variable)) != NULL && *value != '\0' && \
        !hak_config_number(&hak_config.field, value, least, most))             \
        hak_config_refuse(variable, value, #least " to " #most);
    HAK_CONFIG_NUMBERS(HAK_NUMBER)
#undef HAK_NUMBER
#define HAK_WORD(field, variable, choices, fallback) \
    if ((value = hak_env_value(entry, variable)) != NULL && *value != '\0' && \
        !hak_config_word(&hak_config.field, value, choices))                   \
        hak_config_refuse(variable, value, choices);
    HAK_CONFIG_WORDS(HAK_WORD)
#undef HAK_WORD
#define HAK_TEXT(field, variable) \
    if ((value = hak_env_value(entry, variable)) != NULL && *value != '\0' && hak_config_files_allowed()) \
        hak_config.field = hak_config_copy(value);
    HAK_CONFIG_TEXTS(HAK_TEXT)
#undef HAK_TEXT
}

/* The buffer is static because a thread's stack may be smaller. */
static void hak_config_from_proc(void) {
    static char buffer[32768];
    const int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    size_t length = 0;
    ssize_t got;
    while (length < sizeof buffer - 1 && (got = read(fd, buffer + length, sizeof buffer - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    for (size_t at = 0; at < length; at++) {
        hak_config_entry(buffer + at);
        while (at < length && buffer[at] != '\0') at++;
    }
}

void hak_config_init(void) {
    const int saved = errno;
    if (environ != NULL) {
        for (char **entry = environ; *entry != NULL; entry++) hak_config_entry(*entry);
    } else {
        hak_config_from_proc();
    }
    hak_config.dual_headers = hak_config.classify == HAK_CLASSIFY_DUAL;
    hak_config.header_layout = hak_config.classify == HAK_CLASSIFY_HEADER || hak_config.dual_headers;
    hak_config.slow_entry = hak_config.classify != HAK_CLASSIFY || hak_config.mincore != HAK_MINCORE_NONE ||
                            hak_config.check_free;
#if HAK_INSTRUMENTED
    hak_config.slow_entry |= hak_config.size_hist || hak_config.free_route_trace;
#endif
    errno = saved;
}
