/* SPDX-License-Identifier: MIT */
/* assert.c -- where a fact that does not hold ends the process. */
#include "base/assert.h"

/* Before the os floor has installed its own: a trap says enough to a debugger. */
static void fatal_trap(const char *what, const char *file, int line)
{
    (void)what;
    (void)file;
    (void)line;
    __builtin_trap();
}

ph_fatal_fn *ph_fatal = fatal_trap;
