/* The string that says which build this is, in a section of its own of every binary. hakprof reads it from the ELF file. */
#include "build_string.h"

__attribute__((section(".hakprof.build"), used)) static const char hak_build_string[] = HAK_BUILD_STRING;
