/* SPDX-License-Identifier: MIT */
/* meter.h -- what the system says of this process. */
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
#include "clock.h"
#include "pageheap/pageheap.h"

#define PAGE ((size_t)4096)

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
    _exit(CHILD_CANNOT);
}

#endif
