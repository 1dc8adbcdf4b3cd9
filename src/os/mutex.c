/* SPDX-License-Identifier: MIT */
/* mutex.c -- how a mutex is waited for: a spin, then a futex. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/mutex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* About a microsecond: longer than any section that the lock protects, shorter than a sleep. */
#define SPIN_ROUNDS 40

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    int saved = errno;
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
    errno = saved;
}

void ph_mutex_lock_slow(ph_mutex *mutex)
{
    for (unsigned round = 0; round < SPIN_ROUNDS; round++) {
        uint32_t expected = 0;
        if (ph_load_relaxed(&mutex->state) == 0 && ph_cas_acq_rel(&mutex->state, &expected, 1))
            return; /* pairs as in ph_mutex_lock */
        ph_cpu_relax();
    }
    /* From here on the state is 2 while we hold it: we cannot know whether another one sleeps. */
    while (ph_exchange_acquire(&mutex->state, 2) != 0) /* pairs with the exchange in unlock */
        futex(&mutex->state, FUTEX_WAIT, 2);
}

void ph_mutex_unlock_slow(ph_mutex *mutex)
{
    futex(&mutex->state, FUTEX_WAKE, 1);
}

void ph_wait_round(unsigned round)
{
    if (round < SPIN_ROUNDS) {
        ph_cpu_relax();
        return;
    }
    /* The other thread is not running: let it.  Yielding alone starves it under real-time priorities. */
    int saved = errno;
    if (round < 2 * SPIN_ROUNDS) {
        sched_yield();
    } else {
        struct timespec moment = { 0, 50000 };
        nanosleep(&moment, NULL);
    }
    errno = saved;
}
