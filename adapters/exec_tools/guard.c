/* SPDX-License-Identifier: MIT */
/* guard.c -- the registry of guards, and what a fork does with it. */
#include "guard.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ph_tools_guard *registry; /* registry_lock */

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_error; /* set once */

/* In the child the lock is still held, by the thread that forked.  Another handler of the same fork may call
 * a hook before ours has run, so whoever comes first does this; until all have run there is one thread. */
static void adopt(struct ph_tools_guard *guard)
{
    guard->process = getpid();
    pthread_mutex_unlock(&guard->lock);
}

static void before_fork(void)
{
    pthread_mutex_lock(&registry_lock);
    for (struct ph_tools_guard *guard = registry; guard != NULL; guard = guard->next)
        pthread_mutex_lock(&guard->lock);
}

static void after_fork_in_parent(void)
{
    for (struct ph_tools_guard *guard = registry; guard != NULL; guard = guard->next)
        pthread_mutex_unlock(&guard->lock);
    pthread_mutex_unlock(&registry_lock);
}

static void after_fork_in_child(void)
{
    for (struct ph_tools_guard *guard = registry; guard != NULL; guard = guard->next) {
        if (guard->process != getpid())
            adopt(guard);
    }
    pthread_mutex_unlock(&registry_lock);
}

static void watch_forks(void)
{
    fork_error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int ph_tools_guard_open(struct ph_tools_guard *guard)
{
    int error = pthread_once(&fork_once, watch_forks);
    if (error == 0)
        error = fork_error;
    if (error == 0)
        error = pthread_mutex_init(&guard->lock, NULL);
    if (error != 0)
        return error;
    guard->process = getpid();
    pthread_mutex_lock(&registry_lock);
    guard->next = registry;
    registry = guard;
    pthread_mutex_unlock(&registry_lock);
    return 0;
}

void ph_tools_guard_close(struct ph_tools_guard *guard)
{
    pthread_mutex_lock(&registry_lock);
    struct ph_tools_guard **link = &registry;
    while (*link != NULL && *link != guard)
        link = &(*link)->next;
    if (*link == guard)
        *link = guard->next;
    pthread_mutex_unlock(&registry_lock);
    pthread_mutex_destroy(&guard->lock);
}

void ph_tools_enter(struct ph_tools_guard *guard, struct ph_tools_visit *ret_visit)
{
    ret_visit->errno_before = errno;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret_visit->cancel_before);
    if (guard->process != getpid())
        adopt(guard);
    pthread_mutex_lock(&guard->lock);
}

void ph_tools_leave(struct ph_tools_guard *guard, const struct ph_tools_visit *visit)
{
    pthread_mutex_unlock(&guard->lock);
    pthread_setcancelstate(visit->cancel_before, NULL);
    errno = visit->errno_before;
}
