/* SPDX-License-Identifier: MIT */
/* worker.c -- fork, work, write, and the many ways in which that can end. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum worker_exit { WORKER_DONE = 0, WORKER_NO_RESULT = 1, WORKER_NO_PIPE = 2 };

static void work_and_exit(worker_fn *work, const void *ctx, int results)
{
    json_t *result;

    /* Whoever stops the tool stops its workers. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    result = work(ctx);
    if (result == NULL)
        _exit(WORKER_NO_RESULT);
    _exit(json_dumpfd(result, results, JSON_COMPACT) == 0 ? WORKER_DONE : WORKER_NO_PIPE);
}

int worker_start(struct worker *worker, worker_fn *work, const void *ctx)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    fflush(NULL);
    worker->process = fork();
    if (worker->process == 0)
        work_and_exit(work, ctx, ends[1]);
    close(ends[1]);
    worker->results = ends[0];
    if (worker->process > 0)
        return 0;
    close(ends[0]);
    return -1;
}

json_t *worker_finish(struct worker *worker, char ret_reason[WORKER_REASON_CHARS])
{
    json_error_t error;
    json_t *result = json_loadfd(worker->results, 0, &error);
    int status = 0;

    close(worker->results);
    while (waitpid(worker->process, &status, 0) < 0 && errno == EINTR)
        continue;
    if (result != NULL && WIFEXITED(status) && WEXITSTATUS(status) == WORKER_DONE)
        return result;
    json_decref(result);
    if (WIFSIGNALED(status))
        snprintf(ret_reason, WORKER_REASON_CHARS, "ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(ret_reason, WORKER_REASON_CHARS, "gave no result (exit status %d)", WEXITSTATUS(status));
    return NULL;
}
