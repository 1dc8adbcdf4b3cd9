/* SPDX-License-Identifier: MIT */
/* share.c -- a front becomes SHARED when another thread first frees one of its runs, and private again when
 * nobody has for a while.  What that means is told in front.h.
 */
#include "heap/heap.h"

/* A front that others have freed into stays shared this long after the last of that, doubled each further
 * time. */
#define SHARED_MS_FIRST      500
#define SHARED_DOUBLINGS_MAX 5

void ph_front_share(ph_front *front)
{
    if (ph_front_is_shared(front))
        return;
    ph_store_relaxed(&front->was_freed_into, 0);
    ph_bump_relaxed(&front->times_shared, 1);
    ph_store_relaxed(&front->shared_since_ms, ph_os.now_ms());
    ph_front_cool(front);
    atomic_fetch_or(&front->attention, PH_SHARED);
    ph_front_close(front);
    ph_store_release(&front->shared, 1); /* read by others inside their fronts, set while we hold this one */
}

void ph_front_make_shared(ph_front *owner, const ph_block *block)
{
    ph_front_lock(owner);
    bool is_its = block == NULL || ph_load_relaxed(ph_owner_of(block)) == owner;
    if (is_its)
        ph_front_share(owner);
    ph_front_unlock(owner);
}

/* Shared, and nobody has freed into it for long enough to bet on that. */
static bool wants_privacy(ph_front *front, uint64_t now_ms)
{
    if (!ph_front_is_shared(front))
        return false;
    if (ph_load_relaxed(&front->was_freed_into) != 0) {
        ph_store_relaxed(&front->was_freed_into, 0);
        ph_store_relaxed(&front->shared_since_ms, now_ms);
        return false;
    }
    uint64_t doublings = ph_min_u64(ph_load_relaxed(&front->times_shared) - 1, SHARED_DOUBLINGS_MAX);
    uint64_t shared_ms = (uint64_t)SHARED_MS_FIRST << doublings;
    /* A sum, not a difference: now_ms may be older, if the front became shared after a tick had read it. */
    return now_ms >= ph_load_relaxed(&front->shared_since_ms) + shared_ms;
}

/* F6: with all fronts held, no thread is in the middle of freeing into another's blocks. */
void ph_heap_make_private(pageheap *heap, uint64_t now_ms)
{
    bool any = false;
    for (PH_EACH_FRONT(front, heap))
        any = wants_privacy(front, now_ms) || any;
    if (!any)
        return;
    ph_fronts_lock_all(heap);
    for (PH_EACH_FRONT(front, heap)) {
        if (!wants_privacy(front, now_ms))
            continue;
        ph_front_collect(front);
        atomic_fetch_and(&front->attention, ~PH_SHARED);
        ph_store_relaxed(&front->shared, 0);
    }
    ph_fronts_unlock_all(heap);
}
