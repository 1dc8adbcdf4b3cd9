/* SPDX-License-Identifier: MIT */
/* runner.c -- see runner.h. */
#include "runner.h"

#include "harness.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS      (120 * 1000)
#define LONG_TIMEOUT_MS (600 * 1000)

struct message {
    enum outcome outcome;
    double values[WORKLOAD_ROWS_MAX];
};

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_DONE] = "done",     [OUTCOME_NO_PEER] = "absent",    [OUTCOME_NO_MEMORY] = "no memory",
        [OUTCOME_CRASHED] = "crash", [OUTCOME_TIMED_OUT] = "timeout",
    };

    return names[outcome];
}

static void run_in_child(const struct workload_run *run, int to_parent)
{
    struct message message = { .outcome = OUTCOME_DONE };

    for (size_t i = 0; i < WORKLOAD_ROWS_MAX; i++)
        message.values[i] = NAN;
    if (run->peer->open() != 0)
        message.outcome = OUTCOME_NO_PEER;
    else if (run->workload->run(run, message.values) != 0)
        message.outcome = OUTCOME_NO_MEMORY;
    /* No exit handlers: an allocator's report at exit is not part of this. */
    _exit(write(to_parent, &message, sizeof message) == (ssize_t)sizeof message ? 0 : 1);
}

/* Wait for the message and take it. */
static enum outcome receive(int from_child, int timeout_ms, struct message *ret_message)
{
    struct pollfd wanted = { .fd = from_child, .events = POLLIN };
    uint64_t end_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    int ready;

    do {
        uint64_t now_ns = clock_now_ns();

        ready = now_ns < end_ns ? poll(&wanted, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1) : 0;
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return OUTCOME_TIMED_OUT;
    /* A pipe that ends without a message: the child is gone. */
    if (read(from_child, ret_message, sizeof *ret_message) != (ssize_t)sizeof *ret_message)
        return OUTCOME_CRASHED;
    return ret_message->outcome;
}

enum outcome runner_run(const struct workload_run *run, double ret_values[WORKLOAD_ROWS_MAX])
{
    int timeout_ms = (run->workload->flags & WORKLOAD_LONG) != 0 ? LONG_TIMEOUT_MS : TIMEOUT_MS;
    struct message message = { .outcome = OUTCOME_CRASHED };
    enum outcome outcome;
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0)
        return OUTCOME_CRASHED;
    child = fork();
    if (child == 0) {
        close(ends[0]);
        run_in_child(run, ends[1]);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return OUTCOME_CRASHED;
    }
    outcome = receive(ends[0], timeout_ms, &message);
    close(ends[0]);
    if (outcome == OUTCOME_TIMED_OUT)
        kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    for (size_t i = 0; i < WORKLOAD_ROWS_MAX; i++)
        ret_values[i] = outcome == OUTCOME_DONE ? message.values[i] : NAN;
    return outcome;
}
