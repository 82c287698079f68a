#include "fatal_signal.h"

#include <signal.h>

#include "build_string.h"
#include "os.h"
#include "report.h"
#include "stats.h"

static const char *hak_signal_name(int number) {
    if (number == SIGSEGV) return "SIGSEGV";
    return number == SIGBUS ? "SIGBUS" : "SIGABRT";
}

/* A signal that raise or kill sent has its sender in the address's place; of an address that no page can have the kernel says 0. */
static bool hak_signal_has_address(int number, int code) { return number != SIGABRT && code > 0 && code != SI_KERNEL; }

/* SA_RESETHAND put the default action back; it takes effect when the signal is raised again. */
static void hak_signal_handler(int number, siginfo_t *info, void *context) {
    (void)context;
    char line[256];
    hak_text_t text = {.text = line, .room = sizeof line};
    hak_text_put(&text, "[hakmem] fatal signal ");
    hak_text_decimal(&text, (uint64_t)number);
    hak_text_put(&text, " (");
    hak_text_put(&text, hak_signal_name(number));
    hak_text_put(&text, ")");
    if (hak_signal_has_address(number, info->si_code)) {
        hak_text_put(&text, " at address ");
        hak_text_hex(&text, (uintptr_t)info->si_addr);
    }
    hak_text_put(&text, " build " HAK_BUILD_COMMIT " " HAK_BUILD_FLAVOUR "\n");
    hak_os_message(line, text.length);
    hak_stats_write();
    raise(number);
}

void hak_signal_install(void) {
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction present;
        if (sigaction(numbers[i], NULL, &present) != 0) continue;
        if ((present.sa_flags & SA_SIGINFO) != 0 || present.sa_handler != SIG_DFL) continue;
        struct sigaction ours = {.sa_sigaction = hak_signal_handler, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
        sigemptyset(&ours.sa_mask);
        sigaction(numbers[i], &ours, NULL);
    }
}
