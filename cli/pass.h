/* SPDX-License-Identifier: MIT */
/* pass.h -- one replay of one trace through one peer: what is measured, and how.
 *
 * Each pass is a worker_fn: it runs in a process of its own, opens its peer there and returns a JSON object.
 *
 *   timing   Events in file order on one thread, or each thread's on a thread of its own; runs are not
 *            touched, so the time is the allocator's.  Repeated until the budget is used up; what is live at
 *            the end of a repetition is freed outside the time.
 *            { "ns_per_event", "loops", "failed_allocs" }
 *   memory   Once; each page of each run is written when the run is allocated.
 *            { "peak_live_bytes", "peak_resident_bytes", "end_resident_bytes", "page_faults",
 *              "failed_allocs" }
 *   calls    Under a tracer, in file order on one thread, until all events are replayed or the budget is used
 *            up.
 *            { "system_calls", "counted_events" }
 *
 * The replay's own arrays are resident before anything is measured, and nothing but the peer allocates.
 */
#ifndef PH_CLI_PASS_H
#define PH_CLI_PASS_H

#include "trace.h"
#include "worker.h"

#include "bench/peer.h"

struct pass {
    const struct peer *peer;
    const struct trace *trace;
    uint64_t budget_ns; /* timing: how long at least; calls: how long at most */
    bool with_threads;
};

json_t *pass_timing(const void *pass);
json_t *pass_memory(const void *pass);
json_t *pass_calls(const void *pass);

/* The same with a thread for each thread of the trace; pass_threads.c. */
json_t *pass_timing_threads(const struct pass *pass);
json_t *pass_memory_threads(const struct pass *pass);

/* ---- shared by the passes: pass_common.c ----------------------------------------------- */

/* What the trace never frees: a repetition ends by freeing these. */
struct pass_leftover {
    uint64_t slot;
    uint64_t pages;
};

/* All leftovers in resident memory, end_live_runs of them; NULL without memory. */
struct pass_leftover *pass_leftovers(const struct trace *trace);

/* Read every event once, so that they are mapped before anything is measured. */
void pass_touch_events(const struct trace *trace);

/* 0 for a trace without events. */
double pass_ns_per_event(uint64_t spent_ns, uint64_t events);

/* Resident memory from a base line on.  Nothing here allocates. */
struct pass_gauge {
    uint64_t base_bytes;
    uint64_t peak_bytes; /* the highest reading, without the base line */
    uint64_t base_faults;
    bool has_high_water;
};

void pass_gauge_start(struct pass_gauge *gauge);
void pass_gauge_sample(struct pass_gauge *gauge);

/* The last readings: the kernel's own high-water mark sees what lies between two samples. */
void pass_gauge_stop(struct pass_gauge *gauge, uint64_t *ret_faults);

/* A program that goes idle: for 1.2 s now and then a run of one page, and the peer's own idle call.  Returns
 * what is resident then, without the base line. */
uint64_t pass_go_idle(const struct pass_gauge *gauge, const struct peer *peer);

#endif
