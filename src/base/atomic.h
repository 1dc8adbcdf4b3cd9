/* SPDX-License-Identifier: MIT */
/* atomic.h -- C11 atomics with the order in the name.
 *
 * Whoever writes anything but `relaxed` names, in a comment at that line, the access it pairs with.
 */
#ifndef PH_BASE_ATOMIC_H
#define PH_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"

#define ph_load_relaxed(p)         atomic_load_explicit((p), memory_order_relaxed)
#define ph_load_acquire(p)         atomic_load_explicit((p), memory_order_acquire)
#define ph_store_relaxed(p, v)     atomic_store_explicit((p), (v), memory_order_relaxed)
#define ph_store_release(p, v)     atomic_store_explicit((p), (v), memory_order_release)
#define ph_exchange_acq_rel(p, v)  atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define ph_exchange_acquire(p, v)  atomic_exchange_explicit((p), (v), memory_order_acquire)
#define ph_fetch_or_acq_rel(p, v)  atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define ph_fetch_and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define ph_fetch_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define ph_fetch_sub_release(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define ph_fetch_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define ph_cas_acq_rel(p, expected, v)                                                                       \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, memory_order_acquire)
#define ph_cas_weak_release(p, expected, v)                                                                  \
    atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_release, memory_order_relaxed)

/* A counter that one thread writes and others may read at any time: no locked instruction. */
#define ph_bump_relaxed(p, n) ph_store_relaxed((p), ph_load_relaxed(p) + (n))
#define ph_drop_relaxed(p, n) ph_store_relaxed((p), ph_load_relaxed(p) - (n))

/* The same, for the hot path: compilers will not make one instruction of it, and there it counts. */
static inline void ph_bump_hot(_Atomic uint64_t *counter, uint64_t n)
{
    PH_ADD_TO_MEMORY(counter, n);
}

/* What nobody writes meanwhile, since the caller holds its guard.  Compilers make one instruction of this and
 * what is done with it, of an atomic load never. */
#define ph_load_held(p) (*(const __typeof__(ph_load_relaxed(p)) *)(p))

/* Keeps the compiler, not the processor, from moving accesses across. */
#define ph_compiler_fence() atomic_signal_fence(memory_order_seq_cst)

#endif
