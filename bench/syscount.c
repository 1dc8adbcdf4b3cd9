/* SPDX-License-Identifier: MIT */
/* syscount.c -- see syscount.h.
 *
 * The tracer is the child and the traced process the parent, so that the allocator that is looked at stays in
 * the process that opened it.  Each system call stops the parent twice, on entry and on return; the tracer
 * adds one to a shared word on entry, before the parent goes on.
 */
#include "syscount.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum tracer_state { STARTING, TRACING, REFUSED, STOPPING };

struct shared {
    atomic_int state;
    atomic_uint_fast64_t calls;
};

static struct shared *shared;
static pid_t tracer;

/* Wait for the traced process to stop; returns the status, or -1 once it is gone. */
static int wait_for_stop(pid_t traced)
{
    int status;

    while (waitpid(traced, &status, __WALL) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFSTOPPED(status) ? status : -1;
}

static void trace(pid_t traced)
{
    bool inside = false;
    int status;

    if (ptrace(PTRACE_SEIZE, traced, NULL, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD) != 0 ||
        ptrace(PTRACE_INTERRUPT, traced, NULL, NULL) != 0 || wait_for_stop(traced) < 0) {
        atomic_store(&shared->state, REFUSED);
        return;
    }
    atomic_store(&shared->state, TRACING);
    while (atomic_load(&shared->state) != STOPPING) {
        long signal = 0;

        if (ptrace(PTRACE_SYSCALL, traced, NULL, (void *)(uintptr_t)0) != 0)
            return;
        while ((status = wait_for_stop(traced)) >= 0 && WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            /* A signal on its way to the parent, which must get it; or the stop of our own interruption. */
            signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
            if (ptrace(PTRACE_SYSCALL, traced, NULL, (void *)(uintptr_t)signal) != 0)
                return;
        }
        if (status < 0)
            return;
        inside = !inside;
        if (inside)
            atomic_fetch_add(&shared->calls, 1);
    }
    ptrace(PTRACE_DETACH, traced, NULL, NULL);
}

int syscount_start(void)
{
    pid_t traced = getpid();

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    tracer = fork();
    if (tracer < 0)
        return -1;
    if (tracer == 0) {
        trace(traced);
        _exit(0);
    }
    /* Where the system lets only ancestors trace, this makes the exception;
     * elsewhere it is refused and not needed. */
    prctl(PR_SET_PTRACER, (unsigned long)tracer, 0, 0, 0);
    while (atomic_load(&shared->state) == STARTING)
        sched_yield();
    if (atomic_load(&shared->state) == TRACING)
        return 0;
    waitpid(tracer, NULL, 0);
    return -1;
}

uint64_t syscount_now(void)
{
    return atomic_load(&shared->calls);
}

void syscount_stop(void)
{
    atomic_store(&shared->state, STOPPING);
    waitpid(tracer, NULL, 0);
    munmap(shared, sizeof *shared);
}
