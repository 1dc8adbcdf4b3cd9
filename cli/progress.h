/* SPDX-License-Identifier: MIT */
/* progress.h -- a bar on standard error that says how far a long command is;
 * nothing unless it is a terminal. */
#ifndef PH_CLI_PROGRESS_H
#define PH_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct progress {
    bool is_shown;
    bool has_colours;
    size_t done_steps;
    size_t total_steps;
};

void progress_start(struct progress *progress, size_t total_steps, bool is_wanted);

/* One more step is done; `what` names what comes next. */
void progress_step(struct progress *progress, const char *what);

/* The same for what is no step of the total. */
void progress_stay(const struct progress *progress, const char *what);

/* Remove the bar. */
void progress_end(struct progress *progress);

#endif
