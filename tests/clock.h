/* SPDX-License-Identifier: MIT */
/* clock.h -- what time it is: by CLOCK_MONOTONIC, or by a clock of the processor time that a thread or a
 * process has had, on which what others take does not count. */
#ifndef PH_TESTS_CLOCK_H
#define PH_TESTS_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_us(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

#endif
