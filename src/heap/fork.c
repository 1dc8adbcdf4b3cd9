/* SPDX-License-Identifier: MIT */
/* fork.c -- a child must find every lock free and every front at rest.
 *
 * Before fork: take every lock of every heap, in the order of heap.h; who makes or destroys a heap waits with
 * us for turns that others have, and who allocates does not.  After it, parent and child let them go in
 * reverse.  In the child only the forking thread lives on: the other threads' fronts become vacant, and their
 * blocks serve whoever comes.
 */
#include "heap/heap.h"

#include "map/meta.h"
#include "os/thread.h"

#define GROW_ROUNDS 100u /* of looks whether nobody grows a heap, before fork insists */

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

static void lock_grow_turn(pageheap *heap)
{
    ph_mutex_lock(&heap->grow_turn);
}

static void lock_purge_turn(pageheap *heap)
{
    ph_mutex_lock(&heap->purge_turn);
}

static void unlock_turns(pageheap *heap)
{
    ph_mutex_unlock(&heap->grow_turn);
    ph_mutex_unlock(&heap->purge_turn);
}

/* All, but for the first one that somebody has: then none, and that one's heap. */
static pageheap *try_grow_turns(void)
{
    pageheap *busy = ph_heap_first();
    while (busy != NULL && ph_mutex_try_lock(&busy->grow_turn))
        busy = busy->next;
    for (pageheap *heap = ph_heap_first(); busy != NULL && heap != busy; heap = heap->next)
        ph_mutex_unlock(&heap->grow_turn);
    return busy;
}

/* An allocation that needs new memory waits for its heap's: so none is held while another one is waited for.
 * But not for ever: where threads grow heaps without end, fork takes what it gets. */
static void lock_grow_turns(void)
{
    pageheap *busy = try_grow_turns();
    for (unsigned round = 1; busy != NULL && round < GROW_ROUNDS; round++) {
        ph_mutex_lock(&busy->grow_turn);
        ph_mutex_unlock(&busy->grow_turn);
        busy = try_grow_turns();
    }
    if (busy != NULL)
        ph_heap_each(lock_grow_turn);
}

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
    ph_registry_lock();
    ph_heap_each(lock_purge_turn); /* for these waits an allocation only before it fails */
    lock_grow_turns();
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
    ph_heap_each(unlock_turns);
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
