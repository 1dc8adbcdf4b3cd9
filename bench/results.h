/* SPDX-License-Identifier: MIT */
/* results.h -- what was measured, row by row, and what it says about the targets. */
#ifndef PH_BENCH_RESULTS_H
#define PH_BENCH_RESULTS_H

#include "report.h"
#include "runner.h"
#include "targets.h"

#include <stdbool.h>

#define RESULTS_PEERS_MAX  16
#define RESULTS_ROUNDS_MAX 1000

/* The values of one row with one peer. */
struct series {
    const struct peer *peer;
    enum outcome outcome; /* of the last round */
    bool is_measured;     /* false: the row is not for this peer */
    double *values;       /* one for each round that was done and gave a number */
    size_t count;
};

enum verdict { VERDICT_NONE, VERDICT_OK, VERDICT_MISS };

/* One row of the table. */
struct row_result {
    const struct workload_row *row;
    struct series series[RESULTS_PEERS_MAX]; /* as the columns; pageheap among them if asked for */
    size_t series_count;
    struct series harness; /* the null peer */
};

bool row_is_time(const struct workload_row *row);

/* What counts of a row's rounds.  Of a time the least: whatever else runs on the machine only ever adds to
 * it, and what it adds has nothing to do with the allocator.  Of all else the median. */
double result_value(const struct workload_row *row, const struct spread *spread);

/* True if ours may be measured by this peer in this row. */
bool result_may_rival(const struct workload_row *row, const struct peer *peer);

/* How the row stands. */
struct standing {
    const struct target *target; /* NULL: none */
    const struct peer *rival;    /* the best of the others, or the one that the target names; NULL if it was
                                    not measured */
    double ours;                 /* NaN if not measured */
    double over_rival;           /* ours / the rival's; NaN without one, or against a fixed target */
    enum verdict verdict;
};

struct standing standing_of(const struct row_result *result);

#endif
