/* SPDX-License-Identifier: MIT */
/* fast.h -- the hot path: a run out of a magazine, a run into one.
 *
 * Everything here is a few words of the calling thread's own front and of one block's record; whatever
 * does not fit is left to heap/runs.c, which does the same without haste.
 */
#ifndef PH_API_FAST_H
#define PH_API_FAST_H

#include "heap/heap.h"

/* The calling thread's front of this heap if it stands at the first place looked at; else NULL. */
static PH_ALWAYS_INLINE ph_front *ph_fast_front(const pageheap *heap)
{
    const ph_thread *thread = ph_thread_self;
    uint64_t id = ph_load_relaxed(&heap->id);
    const ph_thread_entry *entry = &thread->entries[id & thread->mask];
    return PH_LIKELY(entry->heap_id == id) ? entry->front : NULL;
}

/* The newest kept run of 1 .. PH_BLOCK_PAGES_MAX pages, made live: address | PH_RUN_CLEAN, or 0.
 * *ret_ticks is set when it is time for a look at the clock. */
static PH_ALWAYS_INLINE uintptr_t ph_fast_alloc(ph_front *front, size_t pages, bool *ret_ticks)
{
    if (PH_UNLIKELY(!ph_front_try_enter(front)))
        return 0;
    ph_magazine *top = front->magazines[pages];
    if (PH_UNLIKELY(top == NULL || top->count == 0)) {
        ph_front_leave_fast(front);
        return 0;
    }
    uintptr_t run = top->runs[--top->count];
    unsigned page = (unsigned)(run >> front->page_log2) & (front->block_pages - 1);
    ph_block_mark(ph_block_of_ours(run), page, ph_front_is_shared(front));
    ph_bump_relaxed(&front->cached_pages, (uint64_t)0 - pages);
    ph_bump_relaxed(&front->alloc_calls, 1);
    *ret_ticks = ph_load_relaxed(&front->alloc_calls) % PH_TICK_CALLS == 0;
    ph_front_leave_fast(front);
    return run;
}

/* Free a run of 1..64 pages that is exactly one of this thread's live ones.  False: not done, and nothing
 * changed; heap/runs.c finds out why. */
static PH_ALWAYS_INLINE bool ph_fast_free(ph_front *front, uintptr_t address, size_t pages)
{
    ph_block *block = ph_block_of(address);
    if (PH_UNLIKELY(block == NULL || (address & ((UINT64_C(1) << front->page_log2) - 1)) != 0))
        return false;
    if (PH_UNLIKELY(!ph_front_try_enter(front)))
        return false;
    unsigned page = (unsigned)(address >> front->page_log2) & (front->block_pages - 1);
    ph_magazine *top = front->magazines[pages];
    bool is_done = ph_load_relaxed(&block->owner) == front && top != NULL && top->count < PH_MAGAZINE_RUNS &&
                   ph_load_relaxed(&front->cached_pages) + pages <= front->cache_limit_pages &&
                   ph_block_run_is_short(block, page, (unsigned)pages) &&
                   ph_block_unmark(block, page, ph_front_is_shared(front));
    if (PH_LIKELY(is_done)) {
        top->runs[top->count++] = address;
        ph_bump_relaxed(&front->cached_pages, pages);
        ph_bump_relaxed(&front->free_calls, 1);
    }
    ph_front_leave_fast(front);
    return is_done;
}

#endif
