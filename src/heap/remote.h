/* SPDX-License-Identifier: MIT */
/* remote.h -- what other threads have freed waits at its block until the owner comes by.
 *
 * Who has cleared the mark of a run in another front's block leaves the rest to the owner: it sets the run's
 * `remote` bit and sees to it that the block hangs on its owner's stack; `pending` tells that it does, or is
 * about to.  The owner takes the whole stack, and gives the runs back whose bits are set.  Slabs and their
 * pieces do the same by the same steps (exec/slabs.c).
 *
 * R1  A block with a remote bit is pending, or a thread is about to make it so.  That thread is inside a
 *     front of its own, unless the block is a slab's; so pageheap_check, which holds all fronts, finds none.
 *
 * Why that holds: a bit is set before `pending` is read, and `pending` is cleared before the bits are read,
 * all of it sequentially consistent.  So either who clears `pending` sees the bit, or who set the bit sees it
 * cleared, and hangs the block up again.
 */
#ifndef PH_HEAP_REMOTE_H
#define PH_HEAP_REMOTE_H

#include "block/block.h"

/* Where the owner of this block looks for it, NULL if it has none that could: a stack, on which any thread
 * pushes, and from which who holds the owner takes all. */
typedef _Atomic(ph_block *) *ph_remote_stack_fn(const ph_block *block);

/* Set the bit of the run that begins at `page`.  True if the block is to be hung up: ph_remote_notify. */
static inline bool ph_remote_set(ph_block *block, unsigned page)
{
    atomic_fetch_or(&block->remote[page / 64], UINT64_C(1) << (page % 64)); /* R1 */
    return atomic_load(&block->pending) == 0;
}

static inline bool ph_remote_has_bits(const ph_block *block)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        any |= atomic_load(&block->remote[w]); /* R1 */
    return any != 0;
}

/* The runs of this word that others have freed are the caller's now (owner held). */
static inline uint64_t ph_remote_take(ph_block *block, unsigned word)
{
    return atomic_load(&block->remote[word]) == 0 ? 0 : atomic_exchange(&block->remote[word], 0); /* R1 */
}

static inline void ph_remote_push(_Atomic(ph_block *) *stack, ph_block *block)
{
    ph_block *top = ph_load_relaxed(stack);
    do {
        ph_store_relaxed(&block->pending_next, top);
    } while (!ph_cas_weak_release(stack, &top, block)); /* pairs with ph_remote_pop_all */
}

/* Hang the block up for its owner. */
static PH_ALWAYS_INLINE void ph_remote_notify(ph_block *block, ph_remote_stack_fn *stack_of)
{
    while (atomic_exchange(&block->pending, 1) == 0) { /* R1 */
        _Atomic(ph_block *) *stack = stack_of(block);
        if (stack != NULL) {
            ph_remote_push(stack, block);
            return;
        }
        /* Another thread's notice had it collected, and it has left its front since: nothing to tell, unless
         * it has found a new owner and somebody kept quiet because of us. */
        atomic_exchange(&block->pending, 0);
        if (!ph_remote_has_bits(block))
            return;
    }
}

static inline bool ph_remote_is_empty(const _Atomic(ph_block *) *stack)
{
    return ph_load_relaxed(stack) == NULL;
}

/* The uppermost of all that hung there; ph_remote_take_down tells the next (owner held). */
static inline ph_block *ph_remote_pop_all(_Atomic(ph_block *) *stack)
{
    return ph_remote_is_empty(stack) ? NULL : ph_exchange_acq_rel(stack, NULL); /* with ph_remote_push */
}

/* It hangs there no more: before its bits are looked at.  Returns the one that hung below it. */
static inline ph_block *ph_remote_take_down(ph_block *block)
{
    ph_block *next = ph_load_relaxed(&block->pending_next);
    atomic_exchange(&block->pending, 0); /* R1 */
    return next;
}

#endif
