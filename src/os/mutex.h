/* SPDX-License-Identifier: MIT */
/* mutex.h -- a lock of four bytes that sleeps.
 *
 * States: 0 free, 1 held, 2 held and somebody may be asleep.  A waiter spins a bounded while, because our
 * critical sections are short, and then sleeps in the kernel: more threads than processors do no harm.
 * After U. Drepper, "Futexes are tricky", 2011, section 6 ("mutex 2").
 */
#ifndef PH_OS_MUTEX_H
#define PH_OS_MUTEX_H

#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"

typedef struct ph_mutex {
    _Atomic uint32_t state;
} ph_mutex;

void ph_mutex_lock_slow(ph_mutex *mutex);
void ph_mutex_unlock_slow(ph_mutex *mutex);

static inline void ph_mutex_lock(ph_mutex *mutex)
{
    uint32_t expected = 0;
    if (PH_UNLIKELY(!ph_cas_acq_rel(&mutex->state, &expected, 1))) /* pairs with the exchange in unlock */
        ph_mutex_lock_slow(mutex);
}

/* Take it if it is free. */
static inline int ph_mutex_try_lock(ph_mutex *mutex)
{
    uint32_t expected = 0;
    return ph_cas_acq_rel(&mutex->state, &expected, 1); /* pairs with the exchange in unlock */
}

static inline void ph_mutex_unlock(ph_mutex *mutex)
{
    if (PH_UNLIKELY(ph_exchange_acq_rel(&mutex->state, 0) == 2)) /* pairs with the one in lock */
        ph_mutex_unlock_slow(mutex);
}

/* Wait a moment, politely: round 0, 1, 2, ... of a loop that waits for another thread's short step. */
void ph_wait_round(unsigned round);

#endif
