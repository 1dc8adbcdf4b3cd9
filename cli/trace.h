/* SPDX-License-Identifier: MIT */
/* trace.h -- a trace in memory, decoded for replay.
 *
 * Events refer to slots, not to ids: a slot is an index into the array where a replay keeps its runs.  The
 * slot of a freed run is used again, so the array is no longer than the most runs that are live at a time.
 * A free whose alloc is not in the trace is counted and left out.  Sizes are in pages of 4096 bytes,
 * whatever the trace's own page size is.
 */
#ifndef PH_CLI_TRACE_H
#define PH_CLI_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLAY_PAGE_BYTES 4096u

struct trace_event {
    uint32_t slot;
    uint32_t thread; /* an index below thread_count, in the order of first appearance */
    int64_t pages;   /* positive: alloc; negative: free of that many */
};

struct trace_info {
    uint64_t page_bytes; /* of the trace */
    uint64_t event_count;
    uint64_t alloc_count;
    uint64_t free_count;   /* in the events */
    uint64_t orphan_count; /* frees left out */
    uint64_t slot_count;
    uint64_t thread_count;
    uint64_t peak_live_pages;
    uint64_t peak_live_runs;
    uint64_t end_live_pages; /* never freed */
    uint64_t end_live_runs;
};

struct trace {
    struct trace_info info;
    const struct trace_event *events; /* in shared memory, kept until the end of the process */
};

enum trace_slots {
    TRACE_SLOTS_REUSED, /* for replay in file order */
    TRACE_SLOTS_UNIQUE, /* one for each run: for replay by several threads, where order differs */
};

struct trace_error {
    uint64_t line; /* 0: the file itself */
    char reason[160];
};

/* Load a trace.  0, or -1 with *ret_error filled. */
int trace_load(const char *path, enum trace_slots slots, struct trace *ret_trace,
               struct trace_error *ret_error);

/* The same in a child process, so that this one's heap stays as it was: the allocators that are measured
 * in its children must not find one that a decompressor has been through. */
int trace_load_aside(const char *path, enum trace_slots slots, struct trace *ret_trace,
                     struct trace_error *ret_error);

#endif
