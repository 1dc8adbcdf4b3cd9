/* SPDX-License-Identifier: MIT */
/* fork.c -- a child must find every lock free and every front at rest.
 *
 * Before fork: take every lock of every heap, in the order of heap.h; who makes or destroys a heap waits with
 * us for turns that others have, and who allocates does not, nor a hook that does either.  After it, parent
 * and child let them go in reverse.  In the child only the forking thread lives on: the other threads' fronts
 * become vacant, and their blocks serve whoever comes.
 */
#include "heap/heap.h"

#include "map/meta.h"
#include "os/thread.h"

#define GROW_ROUNDS 100u   /* of looks whether nobody grows a heap, before fork insists */
#define HOOK_ROUNDS 10000u /* whether no block of code comes or goes: about a second */

static void lock_heap(pageheap *heap)
{
    ph_fronts_lock_all(heap);
    ph_mutex_lock(&heap->special.lock);
    ph_mutex_lock(&heap->attributes.lock);
    ph_mutex_lock(&heap->lock);
}

static void unlock_heap(pageheap *heap)
{
    ph_mutex_unlock(&heap->lock);
    ph_mutex_unlock(&heap->attributes.lock);
    ph_mutex_unlock(&heap->special.lock);
    ph_fronts_unlock_all(heap);
}

/* ---- turns ----------------------------------------------------------------------------- */

/* Of each heap; or of none, and the first one that somebody has, for which we are not to wait. */
static pageheap *take_all(bool (*take)(pageheap *, bool), void (*give)(pageheap *), bool waits)
{
    pageheap *busy = ph_heap_first();
    while (busy != NULL && take(busy, waits))
        busy = busy->next;
    for (pageheap *heap = ph_heap_first(); busy != NULL && heap != busy; heap = heap->next)
        give(heap);
    return busy;
}

static bool take_turn(ph_mutex *turn, bool waits)
{
    if (!waits)
        return ph_mutex_try_lock(turn);
    ph_mutex_lock(turn);
    return true;
}

static bool take_grow_turn(pageheap *heap, bool waits)
{
    return take_turn(&heap->grow_turn, waits);
}

static void unlock_grow_turn(pageheap *heap)
{
    ph_mutex_unlock(&heap->grow_turn);
}

/* An allocation that needs new memory waits for its heap's: so none is held while another one is waited for.
 * But not for ever: where threads grow heaps without end, fork takes what it gets. */
static void lock_grow_turns(void)
{
    pageheap *busy = take_all(take_grow_turn, unlock_grow_turn, false);
    for (unsigned round = 1; busy != NULL; round++) {
        ph_mutex_lock(&busy->grow_turn);
        ph_mutex_unlock(&busy->grow_turn);
        busy = take_all(take_grow_turn, unlock_grow_turn, round >= GROW_ROUNDS);
    }
}

/* For this wait allocations only before they fail, and no hook is called meanwhile but in heaps of code. */
static bool take_purge_turn(pageheap *heap, bool waits)
{
    return take_turn(&heap->purge_turn, waits || heap->exec == NULL);
}

static void unlock_purge_turn(pageheap *heap)
{
    ph_mutex_unlock(&heap->purge_turn);
}

static bool hold_backing(pageheap *heap, bool waits)
{
    return heap->backing->hold(heap, waits);
}

static void let_go_of_backing(pageheap *heap)
{
    heap->backing->let_go(heap);
}

/* False if a hook may be under way, and we are not to wait for it: nothing is held. */
static bool take_turns(bool waits)
{
    ph_registry_lock();
    if (take_all(take_purge_turn, unlock_purge_turn, waits) == NULL) {
        lock_grow_turns();
        if (take_all(hold_backing, let_go_of_backing, waits) == NULL)
            return true;
        ph_heap_each(unlock_grow_turn);
        ph_heap_each(unlock_purge_turn);
    }
    ph_registry_unlock();
    return false;
}

/* Where a block of code comes or goes a hook is told, which may use any other heap, or make one: so nothing
 * is held while that is waited for.  Not for ever, here too. */
static void lock_turns(void)
{
    for (unsigned round = 0; !take_turns(round >= HOOK_ROUNDS); round++)
        ph_wait_round(round);
}

/* ---- the handlers ----------------------------------------------------------------------- */

static void prepare_backing(pageheap *heap)
{
    heap->backing->before_fork(heap);
}

static void settle_backing_of_parent(pageheap *heap)
{
    heap->backing->after_fork(heap, false);
}

static void settle_backing_of_child(pageheap *heap)
{
    heap->backing->after_fork(heap, true);
}

static void before_fork(void)
{
    lock_turns();
    ph_heap_each(lock_heap);
    ph_homes_lock();
    ph_meta_lock();
    ph_heap_each(prepare_backing);
}

static void unlock_all(void)
{
    ph_meta_unlock();
    ph_homes_unlock();
    ph_heap_each(unlock_heap);
    ph_heap_each(let_go_of_backing);
    ph_heap_each(unlock_grow_turn);
    ph_heap_each(unlock_purge_turn);
    ph_registry_unlock();
}

static void after_fork_in_parent(void)
{
    ph_heap_each(settle_backing_of_parent);
    unlock_all();
}

static void after_fork_in_child(void)
{
    ph_heap_each(settle_backing_of_child);
    ph_heap_each(ph_fronts_after_fork);
    ph_heap_each(ph_heap_balance_after_fork);
    unlock_all();
}

int ph_fork_register(void)
{
    return ph_thread_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}
