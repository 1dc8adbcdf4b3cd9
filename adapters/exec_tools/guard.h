/* SPDX-License-Identifier: MIT */
/* guard.h -- the lock of one tool: hooks come from any thread, and from the child of a fork.
 *
 * A hook is called in the middle of somebody's compiler, so a visit leaves errno as it was, and cannot be
 * cancelled while it holds the lock (a write is a cancellation point).
 *
 * Fork         The forking thread takes every guard's lock before, so that the child finds whole tables, and
 *              both sides release them after.
 * Order        The registry of guards first, then the guards in its order, which only a fork does; nobody
 *              else holds two.
 */
#ifndef PH_TOOLS_GUARD_H
#define PH_TOOLS_GUARD_H

#include <pthread.h>
#include <sys/types.h>

struct ph_tools_guard {
    pthread_mutex_t lock;
    struct ph_tools_guard *next; /* the registry's lock */
    pid_t process;               /* whose lock this is; changes in the child while it has one thread */
};

/* What a visit restores. */
struct ph_tools_visit {
    int errno_before;
    int cancel_before;
};

/* Make a guard, known to forks.  0 or an errno. */
int ph_tools_guard_open(struct ph_tools_guard *guard);
void ph_tools_guard_close(struct ph_tools_guard *guard);

void ph_tools_enter(struct ph_tools_guard *guard, struct ph_tools_visit *ret_visit);
void ph_tools_leave(struct ph_tools_guard *guard, const struct ph_tools_visit *visit);

#endif
