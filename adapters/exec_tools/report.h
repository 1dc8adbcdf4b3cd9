/* SPDX-License-Identifier: MIT */
/* report.h -- what every tool does with its options, and how it counts. */
#ifndef PH_TOOLS_REPORT_H
#define PH_TOOLS_REPORT_H

#include <pageheap/exec_tools.h>

struct ph_tools_tally {
    uint64_t told_names;
    uint64_t dropped_names;
    int last_error;
};

/* Options as the caller meant them: NULL is all zero.  0, or EINVAL for a size or flags unknown to us. */
int ph_tools_options_read(const pageheap_exec_tools_options *options,
                          pageheap_exec_tools_options *ret_options);

/* Count a name by what became of it: 0 or an errno. */
void ph_tools_tally_count(struct ph_tools_tally *tally, int error);

/* Forget the counts of the parent process. */
void ph_tools_tally_reset(struct ph_tools_tally *tally);

/* The counts as the first part of what get_stats returns; NULL, of a child that has no file yet, is none. */
pageheap_exec_tools_stats ph_tools_tally_stats(const struct ph_tools_tally *tally);

/* Whether a caller's struct says how long it is. */
int ph_tools_stats_judge(const pageheap_exec_tools_stats *ret_stats);

/* Fill as many bytes as the caller's struct has. */
void ph_tools_stats_fill(const pageheap_exec_tools_stats *stats, pageheap_exec_tools_stats *ret_stats);

#endif
