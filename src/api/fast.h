/* SPDX-License-Identifier: MIT */
/* fast.h -- the hot path: a run out of the calling thread's front, a run into it.
 *
 * It is for heaps with pages of 4 KiB, runs of up to a block (up to 64 pages to free), and a front that
 * nobody else wants; `attention` tells.  Whatever does not fit is left to heap/runs.c, which does the same
 * without haste.  Instruction counts: docs/design/fast-path.md.
 */
#ifndef PH_API_FAST_H
#define PH_API_FAST_H

#include "heap/heap.h"

#define PH_FAST_PAGE_LOG2        PH_PAGE_LOG2_MIN
#define PH_FAST_PAGE_OF(address) ((unsigned)((address) >> PH_FAST_PAGE_LOG2) & (PH_BLOCK_PAGES_MAX - 1))

/* This is the heap that the calling thread used last: ph_thread_last.front is its front. */
static PH_ALWAYS_INLINE bool ph_fast_is_last(const pageheap *heap)
{
    return ph_thread_last.heap_id == ph_load_relaxed(&heap->id);
}

/* As ph_front_try_enter, but only if there is nothing at all to attend to. */
static PH_ALWAYS_INLINE bool ph_fast_enter(ph_front *front)
{
    ph_store_relaxed(&front->busy, 1);
    ph_compiler_fence();
    if (PH_LIKELY(ph_load_acquire(&front->attention) == 0)) /* pairs with ph_front_unlock */
        return true;
    ph_store_release(&front->busy, 0);
    return false;
}

/* The newest run out of a magazine (front entered), or 0.  *ret_clean tells whether it reads zero. */
static PH_ALWAYS_INLINE uintptr_t ph_fast_pop(ph_front *front, size_t pages, bool *ret_clean)
{
    if (PH_UNLIKELY(pages - 1 >= PH_BLOCK_PAGES_MAX))
        return 0;
    ph_magazine *top = front->magazines[pages];
    if (PH_UNLIKELY(top->count == 0))
        return 0;
    uintptr_t kept = top->runs[--top->count];
    ph_block_mark(ph_block_of_ours(kept), PH_FAST_PAGE_OF(kept), false);
    *ret_clean = (kept & PH_RUN_CLEAN) != 0;
    return kept & ~(uintptr_t)PH_RUN_CLEAN;
}

/* The newest kept run of `pages` pages, made live, or 0.  *ret_clean: it reads zero. */
static PH_ALWAYS_INLINE uintptr_t ph_fast_alloc(ph_front *front, size_t pages, bool *ret_clean)
{
    uintptr_t run;
    *ret_clean = false;
    if (PH_UNLIKELY(!ph_fast_enter(front)))
        return 0;
    if (ph_load_relaxed(&front->hot_pages) == pages && PH_LIKELY(pages != 0)) {
        run = ph_front_take_hot(front);
    } else {
        run = ph_fast_pop(front, pages, ret_clean);
        if (PH_UNLIKELY(run == 0)) {
            ph_front_leave_fast(front);
            return 0;
        }
        ph_bump_hot(&front->cached_pages, (uint64_t)0 - pages);
    }
    ph_bump_hot(&front->alloc_calls, 1);
    ph_front_leave_fast(front);
    return run;
}

/* It is time for a look at the clock. */
static PH_ALWAYS_INLINE bool ph_fast_ticks(const ph_front *front)
{
    return ph_load_relaxed(&front->alloc_calls) % PH_TICK_CALLS == 0;
}

/* Keep a run that is known to be live and this thread's (front entered).  False: no room, or it is the hot
 * run, which is no live one. */
static PH_ALWAYS_INLINE bool ph_fast_keep(ph_front *front, ph_block *block, uintptr_t address, size_t pages)
{
    if (ph_load_relaxed(&front->hot_pages) == 0) {
        ph_store_relaxed(&front->hot_run, address);
        ph_store_relaxed(&front->hot_pages, pages);
        return true;
    }
    ph_magazine *top = front->magazines[pages];
    if (PH_UNLIKELY(top->count >= top->capacity || ph_front_is_hot(front, address) ||
                    ph_load_relaxed(&front->cached_pages) + pages > front->cache_limit_pages))
        return false;
    top->runs[top->count++] = address;
    (void)ph_block_unmark(block, PH_FAST_PAGE_OF(address), false);
    ph_bump_hot(&front->cached_pages, pages);
    return true;
}

/* Free a run that is exactly one of this thread's live ones, if there is room for it.  `block` is its block,
 * or what would be that; `is_near` that the run is expected to lie within one word of the block's record.
 * False: not done, and nothing changed. */
static PH_ALWAYS_INLINE bool ph_fast_free(ph_front *front, ph_block *block, uintptr_t address, size_t pages,
                                          bool is_near)
{
    unsigned page = PH_FAST_PAGE_OF(address);
    if (PH_UNLIKELY(!ph_fast_enter(front)))
        return false;
    if (PH_UNLIKELY(ph_load_relaxed(&block->owner) != front || !ph_block_is_marked(block, page)))
        goto refused;
    if (PH_UNLIKELY(is_near ? !ph_block_run_is_near(block, page, pages)
                            : ph_block_run_pages(block, page) != pages))
        goto refused;
    if (PH_UNLIKELY(!ph_fast_keep(front, block, address, pages)))
        goto refused;
    ph_bump_hot(&front->free_calls, 1);
    ph_front_leave_fast(front);
    return true;

refused:
    ph_front_leave_fast(front);
    return false;
}

#endif
