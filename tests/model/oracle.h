/* SPDX-License-Identifier: MIT */
/* oracle.h -- a heap too simple to be wrong: a list of the runs that were handed out.
 *
 * It knows no pages and no blocks, only that runs must not overlap and that a free must name one of them.
 * Every page of a run carries a number that belongs to this run alone and is read back before the free.
 */
#ifndef PH_TESTS_ORACLE_H
#define PH_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pageheap/pageheap.h"

typedef struct oracle_run {
    char *start;
    size_t pages;
    uint64_t pattern;
} oracle_run;

typedef struct oracle {
    oracle_run *runs;
    size_t count, capacity;
    size_t live_pages;
    size_t page_bytes;
    uint64_t next_pattern;
} oracle;

void oracle_init(oracle *o, size_t capacity, size_t page_bytes);
void oracle_end(oracle *o);

/* A run was handed out: record it and fill it.  Fails the test if it overlaps a live one. */
void oracle_add(oracle *o, char *start, size_t pages);

/* The run's pages still carry its pattern. */
bool oracle_is_intact(const oracle *o, const oracle_run *run);

/* The run is being freed. */
void oracle_remove(oracle *o, size_t index);

/* True if freeing (start, pages) is right: exactly one live run. */
bool oracle_accepts(const oracle *o, const char *start, size_t pages);

#endif
