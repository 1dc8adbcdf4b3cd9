/* SPDX-License-Identifier: MIT */
/* syscount.h -- counts this process's system calls, by a tracer that is its own child.
 *
 * A running count can be read at any time without a system call.  Only the calling thread is counted.
 */
#ifndef PH_BENCH_SYSCOUNT_H
#define PH_BENCH_SYSCOUNT_H

#include <stdint.h>

/* Begin; 0, or -1 where tracing is not allowed. */
int syscount_start(void);

/* System calls since the start. */
uint64_t syscount_now(void);

void syscount_stop(void);

#endif
