/* SPDX-License-Identifier: MIT */
/* ring.h -- runs from one thread to one other, in order, without a lock. */
#ifndef PH_TESTS_RING_H
#define PH_TESTS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define RING_SLOTS 256u

typedef struct ring_item {
    void *run;
    size_t pages;
} ring_item;

typedef struct ring {
    _Atomic unsigned put, taken;
    ring_item items[RING_SLOTS];
} ring;

static inline bool ring_put(ring *r, ring_item item)
{
    unsigned put = atomic_load_explicit(&r->put, memory_order_relaxed);
    if (put - atomic_load_explicit(&r->taken, memory_order_acquire) == RING_SLOTS)
        return false;
    r->items[put % RING_SLOTS] = item;
    atomic_store_explicit(&r->put, put + 1, memory_order_release);
    return true;
}

static inline bool ring_take(ring *r, ring_item *ret_item)
{
    unsigned taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
    if (atomic_load_explicit(&r->put, memory_order_acquire) == taken)
        return false;
    *ret_item = r->items[taken % RING_SLOTS];
    atomic_store_explicit(&r->taken, taken + 1, memory_order_release);
    return true;
}

#endif
