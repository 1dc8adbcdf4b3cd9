/* SPDX-License-Identifier: MIT */
/* workload.h -- what is measured.  docs/benchmarks.md tells the user the same in prose.
 *
 * A workload runs in a process of its own in which its peer was just opened.  It fills one value for each of
 * its rows; a row that makes no sense for the peer is NaN.
 */
#ifndef PH_BENCH_WORKLOAD_H
#define PH_BENCH_WORKLOAD_H

#include "peer.h"

#include <stdint.h>

#define WORKLOAD_ROWS_MAX 3

struct workload_row {
    const char *name;  /* for --filter, --json and the targets */
    const char *title; /* for people */
    const char *unit;
};

enum workload_flags {
    WORKLOAD_HARNESS = 1,   /* the null peer shows what the measuring costs */
    WORKLOAD_OURS_ONLY = 2, /* says nothing about others, or would take them minutes */
    WORKLOAD_LONG = 4,      /* only with --long */
    WORKLOAD_HEAP = 8,      /* looks inside the pageheap peer's heap: not for others at all */
};

struct workload_run {
    const struct workload *workload;
    const struct peer *peer; /* open */
    uint64_t seed;           /* another one each round */
    uint64_t budget_ns;      /* how long to measure, without preparations */
};

struct workload {
    struct workload_row rows[WORKLOAD_ROWS_MAX]; /* ended by one without a name, if shorter */
    int (*run)(const struct workload_run *run, double *ret_values); /* 0, or -1 if memory ran out */
    unsigned flags;
    unsigned rounds_max; /* 0: as many as asked for */
    size_t pages_max;    /* the largest run; what else the numbers mean is the business of `run` */
    size_t bytes_max;    /* the same of code memory */
    size_t live_runs;
    unsigned threads;
};

/* All workloads on pages in the order of the table; NULL after the last.  In workloads.c. */
const struct workload *workload_at(size_t index);

/* The same of code memory, whose peers are struct exec_peer.  In exec_workloads.c. */
const struct workload *exec_workload_at(size_t index);

size_t workload_rows_count(const struct workload *workload);

/* The functions behind the two lists, by the file that defines them. */

/* workloads/serial.c: nanoseconds, one thread. */
int workload_pair(const struct workload_run *run, double *ret_values);
int workload_bulk(const struct workload_run *run, double *ret_values);
int workload_churn(const struct workload_run *run, double *ret_values);
int workload_mixed_churn(const struct workload_run *run, double *ret_values);
int workload_growth(const struct workload_run *run, double *ret_values);

/* workloads/parallel.c: nanoseconds and ratios, several threads. */
int workload_parallel_churn(const struct workload_run *run, double *ret_values);
int workload_scaling(const struct workload_run *run, double *ret_values);
int workload_oversubscribed(const struct workload_run *run, double *ret_values);

/* workloads/handoff.c */
int workload_handoff(const struct workload_run *run, double *ret_values);

/* workloads/resident.c: resident memory over live memory. */
int workload_shifting(const struct workload_run *run, double *ret_values);
int workload_leaping(const struct workload_run *run, double *ret_values);
int workload_after_free(const struct workload_run *run, double *ret_values);
int workload_after_free_long(const struct workload_run *run, double *ret_values);

/* workloads/system.c: what the system sees. */
int workload_system_calls(const struct workload_run *run, double *ret_values);
int workload_mappings(const struct workload_run *run, double *ret_values);
int workload_empty_heap(const struct workload_run *run, double *ret_values);

/* workloads/fragmentation.c */
int workload_fragmentation(const struct workload_run *run, double *ret_values);

/* workloads/exec_serial.c: code memory, nanoseconds. */
int workload_exec_pair(const struct workload_run *run, double *ret_values);
int workload_exec_churn(const struct workload_run *run, double *ret_values);
int workload_exec_scaling(const struct workload_run *run, double *ret_values);
int workload_exec_publish(const struct workload_run *run, double *ret_values);
int workload_exec_call(const struct workload_run *run, double *ret_values);
int workload_exec_life(const struct workload_run *run, double *ret_values);

/* workloads/exec_system.c: code memory, what the system sees of it. */
int workload_exec_mappings(const struct workload_run *run, double *ret_values);
int workload_exec_resident(const struct workload_run *run, double *ret_values);
int workload_exec_system_calls(const struct workload_run *run, double *ret_values);

#endif
