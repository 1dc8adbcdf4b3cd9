/* SPDX-License-Identifier: MIT */
/* preload_state.c -- what a recorded process remembers, its lock, and who the running thread is.
 *
 * All of it lies in memory that the system empties in a forked child (MADV_WIPEONFORK).  So a child starts
 * with no runs, an open lock and no process number whatever way it was forked, with no handler to run.
 */
#include "preload.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum lock_value { LOCK_OPEN = 0, LOCK_TAKEN = 1, LOCK_CONTENDED = 2 };

struct thread_identity {
    uint32_t process; /* of which `thread` is a thread: differs after a fork */
    uint32_t thread;
};

__thread unsigned record_depth __attribute__((tls_model("initial-exec")));
static __thread struct thread_identity self __attribute__((tls_model("initial-exec")));
static _Atomic(struct record_state *) the_state;

/* Zeroed memory that is zeroed again in a forked child; NULL on failure. */
static void *map_forgetful(size_t bytes)
{
    int saved_errno = errno;
    void *memory = raw_map(bytes);

    if (memory == MAP_FAILED)
        return NULL;
    if (syscall(SYS_madvise, memory, bytes, MADV_WIPEONFORK) != 0) {
        raw_unmap(memory, bytes);
        memory = NULL;
    }
    errno = saved_errno;
    return memory;
}

static struct record_state *state_of_process(void)
{
    struct record_state *state = atomic_load_explicit(&the_state, memory_order_acquire);
    struct record_state *expected = NULL;

    if (state != NULL)
        return state;
    state = map_forgetful(sizeof *state);
    /* The exchange publishes zeroed memory; the acquire above pairs with it. */
    if (state != NULL && !atomic_compare_exchange_strong(&the_state, &expected, state)) {
        raw_unmap(state, sizeof *state);
        state = expected;
    }
    return state;
}

static void wait_for_lock(_Atomic uint32_t *lock)
{
    int saved_errno = errno;

    while (atomic_exchange_explicit(lock, LOCK_CONTENDED, memory_order_acquire) != LOCK_OPEN)
        (void)syscall(SYS_futex, lock, FUTEX_WAIT_PRIVATE, LOCK_CONTENDED, NULL, NULL, 0);
    errno = saved_errno;
}

struct record_state *lock_state(void)
{
    uint32_t expected = LOCK_OPEN;
    struct record_state *state;

    if (!spool_is_open())
        return NULL;
    state = state_of_process();
    if (state == NULL)
        return NULL;
    if (!atomic_compare_exchange_strong(&state->lock, &expected, LOCK_TAKEN))
        wait_for_lock(&state->lock);
    if (state->process == 0)
        state->process = spool_new_process();
    return state;
}

void unlock_state(struct record_state *state)
{
    if (atomic_exchange_explicit(&state->lock, LOCK_OPEN, memory_order_release) == LOCK_CONTENDED) {
        int saved_errno = errno;

        (void)syscall(SYS_futex, &state->lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        errno = saved_errno;
    }
}

static uint32_t thread_number(const struct record_state *state)
{
    if (self.process != state->process) {
        self.process = state->process;
        self.thread = spool_new_thread();
    }
    return self.thread;
}

uint64_t record_alloc(struct record_state *state, uint64_t pages)
{
    return spool_append_alloc(pages, thread_number(state));
}

void record_free(struct record_state *state, uint64_t run)
{
    spool_append_free(run, thread_number(state));
}

bool array_replace(struct record_array *array, size_t capacity_bytes, struct record_array *ret_old)
{
    void *items = map_forgetful(capacity_bytes);

    if (items == NULL)
        return false;
    *ret_old = *array;
    array->items = items;
    array->capacity_bytes = capacity_bytes;
    return true;
}

void array_release(struct record_array *array)
{
    if (array->capacity_bytes != 0)
        raw_unmap(array->items, array->capacity_bytes);
}
