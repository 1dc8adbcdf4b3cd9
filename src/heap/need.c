/* SPDX-License-Identifier: MIT */
/* need.c -- the last resort before an allocation fails for want of memory.
 *
 * The system has refused, or the reservation is used up.  But threads keep freed runs, have blocks with holes
 * that nobody else cuts from, and somebody may be giving memory back, which is nobody's meanwhile.  All of
 * that is looked at here, thoroughly and slowly: threads are stopped, and others' system calls waited for.
 */
#include "heap/heap.h"

/* Each is a look at everything, during which another thread got a block: where nothing is left, that ends. */
#define NEED_ROUNDS_MAX 100

/* Afterwards what threads kept is in the blocks, empty blocks are in the pool, and so is what was being given
 * back.  Nothing is held. */
static void gather(pageheap *heap)
{
    ph_heap_drain_all(heap);
    ph_mutex_lock(&heap->purge_turn); /* waits for whoever is at it */
    ph_mutex_unlock(&heap->purge_turn);
}

/* Any aligned place in any block of the front, be it the only one (front held). */
static uintptr_t search(ph_front *front, unsigned pages, unsigned align_pages)
{
    for (ph_block *block = ph_index_next(&front->index, pages, NULL); block != NULL;
         block = ph_index_next(&front->index, pages, block)) {
        int first = ph_block_find_aligned(block, pages, align_pages);
        if (first < 0)
            continue;
        unsigned clean = ph_front_take(front, block, (unsigned)first, pages);
        return ph_block_address(block, (unsigned)first) | ph_front_clean_flag(front, clean, pages);
    }
    return 0;
}

/* It stays that front's: a thread that frees it does so as with any run that another one took. */
static uintptr_t live_from(ph_front *front, ph_front *own, unsigned pages, unsigned align_pages,
                           const char *label)
{
    ph_front_hold(front, own);
    uintptr_t run = search(front, pages, align_pages);
    if (run != 0 && label != NULL && !front->has_labels)
        ph_front_begin_labels(front);
    if (run != 0)
        ph_front_enliven(front, run, label);
    ph_front_release(front, own);
    return run;
}

/* *ret_sent: how often this thread itself has sent for a block. */
static uintptr_t live_from_any(pageheap *heap, ph_front *own, unsigned pages, unsigned align_pages,
                               const char *label, unsigned *ret_sent)
{
    bool is_supplied = true;
    unsigned sent = 0;
    gather(heap);
    uintptr_t run = live_from(own, own, pages, align_pages, label);
    for (; run == 0 && is_supplied && sent < 2; sent++) {
        is_supplied = ph_run_supply(heap, own, heap->block_pages);
        run = live_from(own, own, pages, align_pages, label);
    }
    *ret_sent = sent;
    for (PH_EACH_FRONT(front, heap)) {
        if (run != 0)
            break;
        if (front != own)
            run = live_from(front, own, pages, align_pages, label);
    }
    return run;
}

uintptr_t ph_need_run(pageheap *heap, ph_front *own, unsigned pages, unsigned align_pages, const char *label)
{
    uintptr_t run = 0;
    for (unsigned round = 0; run == 0 && round < NEED_ROUNDS_MAX; round++) {
        /* A block that was on its way to another thread's front has not been seen in either place. */
        unsigned sent;
        uint64_t arrived = atomic_load(&heap->blocks_arrived);
        run = live_from_any(heap, own, pages, align_pages, label, &sent);
        if (run == 0 && atomic_load(&heap->blocks_sent_for) == arrived + sent)
            break;
        if (run == 0)
            ph_wait_round(round);
    }
    return run;
}

uintptr_t ph_need_blocks(pageheap *heap, unsigned blocks, unsigned align_blocks, bool *ret_clean)
{
    gather(heap);
    return ph_pool_take(heap, blocks, align_blocks, ret_clean);
}
