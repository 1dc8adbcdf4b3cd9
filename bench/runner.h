/* SPDX-License-Identifier: MIT */
/* runner.h -- one measurement: a workload, with one peer, in a process of its own. */
#ifndef PH_BENCH_RUNNER_H
#define PH_BENCH_RUNNER_H

#include "workload.h"

enum outcome {
    OUTCOME_DONE,
    OUTCOME_NO_PEER,   /* the peer did not open */
    OUTCOME_NO_MEMORY, /* an allocation failed */
    OUTCOME_CRASHED,
    OUTCOME_TIMED_OUT,
};

/* Text for a table cell and for JSON: "crash", "timeout", ... */
const char *outcome_name(enum outcome outcome);

/* Run it; values are filled if it is done. */
enum outcome runner_run(const struct workload_run *run, double ret_values[WORKLOAD_ROWS_MAX]);

#endif
