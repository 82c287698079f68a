/* A last word on SIGSEGV, SIGBUS and SIGABRT: which signal, where, and which build this is.
 */
#ifndef HAK_FATAL_SIGNAL_H
#define HAK_FATAL_SIGNAL_H

/* Leaves alone every signal that already has a handler. */
void hak_signal_install(void);

#endif
