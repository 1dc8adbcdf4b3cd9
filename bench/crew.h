/* SPDX-License-Identifier: MIT */
/* crew.h -- threads that do the same work, each on its own, and how much of it all do together. */
#ifndef PH_BENCH_CREW_H
#define PH_BENCH_CREW_H

#include "harness.h"
#include "workload.h"

/* The work of one thread, whose state is its own and zero at first. */
struct crew_job {
    size_t state_bytes;
    bool (*begin)(void *state, const struct workload_run *run, uint64_t seed); /* false if memory ran out */
    bool (*work)(void *state, size_t ops);                                     /* the same */
    void (*end)(void *state); /* also after a begin that failed */
};

/* Operations per nanosecond of so many threads together; 0 if memory ran out. */
double crew_throughput(const struct crew_job *job, const struct workload_run *run, unsigned threads,
                       uint64_t budget_ns);

/* That of the workload's threads over that of `base_threads`.  0, or -1 if memory ran out. */
int crew_compare(const struct crew_job *job, const struct workload_run *run, unsigned base_threads,
                 uint64_t budget_ns, double *ret_ratio);

#endif
