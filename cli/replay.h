/* SPDX-License-Identifier: MIT */
/* replay.h -- traces through allocators: what is asked for, and what came out. */
#ifndef PH_CLI_REPLAY_H
#define PH_CLI_REPLAY_H

#include "trace.h"

#include "bench/peer.h"
#include "bench/report.h"
#include "bench/settle.h"

#include <stdbool.h>
#include <stddef.h>

#define REPLAY_PEERS_MAX  16
#define REPLAY_ROUNDS_MAX 99
#define REPLAY_NAME_CHARS 64

struct replay_options {
    const char *allocators; /* comma-separated names; NULL: all that are installed */
    const char *plot_path;  /* NULL: none */
    unsigned rounds;
    unsigned budget_ms; /* of each timing pass */
    bool with_threads;
    bool with_json;
    bool with_progress;
};

/* What one peer did with one trace.  A value that was not measured is NaN. */
struct replay_cell {
    double rounds_ns[SETTLE_TIMES * REPLAY_ROUNDS_MAX]; /* ns per event */
    unsigned rounds_count;
    struct spread ns_per_event;
    double peak_live_bytes;
    double peak_resident_bytes;
    double end_resident_bytes;
    double page_faults;
    double system_calls;
    bool is_calls_estimate; /* counted in part of the trace, and scaled */
    double failed_allocs;
};

struct replay_trace {
    const char *path;
    char name[REPLAY_NAME_CHARS]; /* of the file, without folder and endings */
    struct trace trace;
    struct replay_cell cells[REPLAY_PEERS_MAX];
    struct spread harness_ns; /* per event, without any allocator */
};

/* A peer or a pass that is missing from the table, and why. */
struct replay_note {
    char text[192];
};

#define REPLAY_NOTES_MAX 64

struct replay {
    const struct replay_options *options;
    const struct peer *peers[REPLAY_PEERS_MAX];
    size_t peers_count;
    struct replay_trace *traces;
    size_t traces_count;
    struct replay_note notes[REPLAY_NOTES_MAX];
    size_t notes_count;
    bool has_failures; /* something installed did not give its numbers */
};

#define REPLAY_EXIT_FAILED  1
#define REPLAY_EXIT_REFUSED 2

/* Load, measure, print: the subcommand without its arguments.  Returns the exit status. */
int replay_files(const struct replay_options *options, char *const *paths, size_t paths_count);

/* ---- parts ------------------------------------------------------------------------------ */

/* Fill the cells: replay_measure.c. */
void replay_measure(struct replay *replay);

void replay_add_note(struct replay *replay, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The metrics of the table in their order: replay_metrics.c. */
struct replay_metric {
    const char *title; /* with its unit */
    double unit;       /* what the table divides by */
    bool is_count;     /* printed as a whole number */
    double (*value)(const struct replay_cell *cell);
};

const struct replay_metric *replay_metric_at(size_t index); /* NULL after the last */

/* The best of the peers: an index, or peers_count if none has a value.  `from` skips the first peers. */
size_t replay_best(const struct replay *replay, const struct replay_trace *trace,
                   const struct replay_metric *metric, size_t from);

/* Ours over the best other peer; NaN where that says nothing. */
double replay_ratio(const struct replay *replay, const struct replay_trace *trace,
                    const struct replay_metric *metric);

void replay_print_table(const struct replay *replay);
int replay_print_json(const struct replay *replay);
int replay_plot(const struct replay *replay); /* 0 or -1, with a message */

#endif
