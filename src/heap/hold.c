/* SPDX-License-Identifier: MIT */
/* hold.c -- the ways into a front.  The idea is told in front.h. */
#include "heap/heap.h"

void ph_front_enter(ph_front *front)
{
    if (PH_LIKELY(ph_front_try_enter(front)))
        return;
    ph_mutex_lock(&front->lock);
    front->holds_lock = 1;
}

void ph_front_leave(ph_front *front)
{
    if (PH_UNLIKELY(front->holds_lock != 0)) {
        front->holds_lock = 0;
        ph_mutex_unlock(&front->lock);
        return;
    }
    ph_front_leave_fast(front);
}

/* Make every running thread pass a fence.  The call worked when the process registered for it; should a
 * sandbox have taken it away since, changing a mapping makes the kernel interrupt the same processors. */
static void fence_everywhere(pageheap *heap)
{
    if (!ph_os_facts_now.has_barrier) {
        atomic_thread_fence(memory_order_seq_cst); /* pairs with the exchange in ph_front_try_enter */
        return;
    }
    ph_fetch_add_relaxed(&heap->revocations, 1);
    if (ph_heap_note(heap, ph_os.barrier()) == 0)
        return;
    void *page;
    if (ph_os.map(ph_os_facts_now.page_bytes, &page) != 0)
        return;
    *(volatile char *)page = 1;
    (void)ph_os.forbid(page, ph_os_facts_now.page_bytes);
    (void)ph_os.unmap(page, ph_os_facts_now.page_bytes);
}

static void wait_until_left(const ph_front *front)
{
    for (unsigned round = 0; ph_load_acquire(&front->busy) != 0; round++) /* pairs with leave's release */
        ph_wait_round(round);
}

/* To be followed by the fence (lock held). */
static void revoke(ph_front *front)
{
    atomic_fetch_or(&front->attention, PH_REVOKED);
    ph_front_close(front);
}

void ph_front_lock(ph_front *front)
{
    ph_mutex_lock(&front->lock);
    if (ph_load_relaxed(&front->has_owner) == 0)
        return;
    revoke(front);
    fence_everywhere(front->heap);
    wait_until_left(front);
}

void ph_front_unlock(ph_front *front)
{
    /* First of the two: as soon as REVOKED is gone the owner may come in by the slow way and close it. */
    if ((ph_load_relaxed(&front->attention) & ~PH_REVOKED) == 0)
        ph_front_open(front);
    ph_fetch_and_acq_rel(&front->attention, ~PH_REVOKED); /* pairs with the acquire in ph_front_try_enter */
    ph_mutex_unlock(&front->lock);
}

void ph_fronts_lock_all(pageheap *heap)
{
    ph_mutex_lock(&heap->fronts_lock);
    bool any_owned = false;
    for (PH_EACH_FRONT(front, heap)) {
        ph_mutex_lock(&front->lock);
        if (ph_load_relaxed(&front->has_owner) != 0) {
            revoke(front);
            any_owned = true;
        }
    }
    if (any_owned)
        fence_everywhere(heap);
    for (PH_EACH_FRONT(front, heap))
        wait_until_left(front);
}

void ph_fronts_unlock_all(pageheap *heap)
{
    for (PH_EACH_FRONT(front, heap))
        ph_front_unlock(front);
    ph_mutex_unlock(&heap->fronts_lock);
}
