/* SPDX-License-Identifier: MIT */
/* worker.h -- work in a process of its own, whose result comes back as JSON through a pipe. */
#ifndef PH_CLI_WORKER_H
#define PH_CLI_WORKER_H

#include <jansson.h>
#include <sys/types.h>

struct worker {
    pid_t process;
    int results;
};

/* Runs in the child.  Returns a new reference, or NULL: the work could not be done. */
typedef json_t *worker_fn(const void *ctx);

/* Start the work.  0, or -1 with errno. */
int worker_start(struct worker *worker, worker_fn *work, const void *ctx);

#define WORKER_REASON_CHARS 96

/* Wait for the result.  NULL if there is none; then `ret_reason` says why. */
json_t *worker_finish(struct worker *worker, char ret_reason[WORKER_REASON_CHARS]);

#endif
