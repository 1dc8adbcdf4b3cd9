/* SPDX-License-Identifier: MIT */
/* sections.h -- the two parts of the table: pages, and code memory.
 *
 * Each has rows and peers of its own; what measures, judges and prints them is the same.
 */
#ifndef PH_BENCH_SECTIONS_H
#define PH_BENCH_SECTIONS_H

#include "workload.h"

struct section {
    const char *name;                                    /* for --json */
    const char *title;                                   /* above the table */
    const char *ratio_title;                             /* above the column that compares ours */
    const struct workload *(*workload_at)(size_t index); /* in the order of the table; NULL after the last */
    const struct peer *(*peer_at)(size_t index);         /* pageheap first; NULL after the last */
    const struct peer *null; /* does nothing: what its column shows is the cost of measuring */
    int (*self_test)(const struct peer *peer);
};

#define SECTIONS 2

extern const struct section sections[SECTIONS];

#endif
