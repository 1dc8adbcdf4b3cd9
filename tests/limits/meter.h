/* SPDX-License-Identifier: MIT */
/* meter.h -- what the system says of this process, and children that end with an answer. */
#ifndef PH_TESTS_METER_H
#define PH_TESTS_METER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"
#include "pageheap/pageheap.h"

#define PAGE ((size_t)4096)

/* What a child ends with that is not allowed what it is to test; the parent then skips the test. */
#define METER_CANNOT 77

static inline uint64_t meter_rss_bytes(void)
{
    unsigned long size_pages, resident_pages;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    int read = fscanf(file, "%lu %lu", &size_pages, &resident_pages);
    fclose(file);
    return read == 2 ? resident_pages * PAGE : 0;
}

static inline unsigned meter_mappings(void)
{
    unsigned lines = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    for (int c; file != NULL && (c = getc(file)) != EOF;)
        lines += c == '\n';
    if (file != NULL)
        fclose(file);
    return lines;
}

static inline uint64_t meter_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline pageheap_stats meter_stats(pageheap *heap)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    (void)pageheap_get_stats(heap, &stats);
    return stats;
}

/* In the child: end it, with the reason of `call`, which the system has just refused. */
static inline _Noreturn void meter_cannot(const char *call)
{
    perror(call);
    _exit(METER_CANNOT);
}

/* The state is a function: call it in a process of its own, whose limits it may change. */
static inline void meter_run_in_child(void **state)
{
    void (*act)(void) = (void (*)(void))(uintptr_t)*state;
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_begin(60);
        act();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == METER_CANNOT)
        skip();
    if (status != 0)
        fail_msg("the child's status is %#x", (unsigned)status);
}

/* A cmocka test that has the function's name. */
#define METER_IN_CHILD(act)                                                                                  \
    {                                                                                                        \
#act, meter_run_in_child, NULL, NULL, (void *)(uintptr_t)(act)                                       \
    }

#endif
