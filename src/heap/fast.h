/* SPDX-License-Identifier: MIT */
/* fast.h -- the hot path: a run out of the calling thread's front, a run into it.
 *
 * It is for heaps with pages of 4 KiB, runs of up to a block (to free, first of all those of up to
 * PH_SIGHT_PAGES), and a front that nobody else wants; `attention` tells.  Whatever does not fit is left to
 * heap/runs.c, which does the same without haste.  Counts: docs/design/fast-path.md.  Fronts that are shared,
 * and those whose runs have labels, have short ways of their own.
 */
#ifndef PH_HEAP_FAST_H
#define PH_HEAP_FAST_H

#include "heap/heap.h"

#define PH_FAST_PAGE_LOG2 PH_PAGE_LOG2_MIN

/* The number of the page at an address; no page of ours has this number if the address is not a page's. */
static PH_ALWAYS_INLINE uintptr_t ph_fast_page(uintptr_t address)
{
    return address >> PH_FAST_PAGE_LOG2 | address << (8 * sizeof address - PH_FAST_PAGE_LOG2);
}

/* As ph_front_try_enter, but only if there is nothing at all to attend to, and this is the heap that the
 * calling thread used last.  Any pointer may be asked about: it is compared, not followed. */
static PH_ALWAYS_INLINE bool ph_fast_enter(const pageheap *heap, bool to_alloc, ph_front **ret_front)
{
    ph_front *front = ph_thread_last.front;
    ph_store_relaxed(&front->busy, 1);
    ph_compiler_fence();
    *ret_front = front;
    _Atomic uintptr_t *open_for = to_alloc ? &front->allocs_for : &front->frees_for;
    PH_GO_UNLESS(open_for, (uintptr_t)heap, is_closed); /* pairs with ph_front_open */
    return true;
is_closed:
    ph_store_release(&front->busy, 0); /* pairs with the acquire in wait_until_left */
    return false;
}

/* The newest run of up to a block out of a magazine, made live (front entered): address | PH_RUN_CLEAN.
 * False: none. */
static PH_ALWAYS_INLINE bool ph_fast_pop(ph_front *front, size_t pages, uintptr_t *ret_run)
{
    ph_kept *top = front->tops[pages];
    uintptr_t run = top[-1].run;
    if (PH_UNLIKELY(run == 0))
        return false;
    front->tops[pages] = top - 1;
    ph_tags_mark(top[-1].mark, run);
    PH_SUB_FROM_MEMORY(&front->tally, pages);
    *ret_run = run;
    return true;
}

/* The hot run or the newest of a magazine, made live (front entered).  False: none. */
static PH_ALWAYS_INLINE bool ph_fast_take(ph_front *front, size_t pages, uintptr_t *ret_run)
{
    if (PH_LIKELY(pages <= PH_BLOCK_PAGES_MAX) && ph_load_held(&front->hot_pages) == pages) {
        *ret_run = ph_load_relaxed(&front->hot_run);
        ph_store_relaxed(&front->hot_pages, pages | PH_HOT_OUT);
        return true;
    }
    return PH_LIKELY(pages <= PH_BLOCK_PAGES_MAX && ph_fast_pop(front, pages, ret_run));
}

/* A kept run of `pages` pages, made live: address | PH_RUN_CLEAN.  False: there is none.  *ret_is_due tells
 * that it is time for a tick. */
static PH_ALWAYS_INLINE bool ph_fast_alloc(const pageheap *heap, size_t pages, uintptr_t *ret_run,
                                           bool *ret_is_due)
{
    ph_front *front;
    if (PH_UNLIKELY(!ph_fast_enter(heap, true, &front)))
        return false;
    if (PH_UNLIKELY(!ph_fast_take(front, pages, ret_run))) {
        ph_front_leave_fast(front);
        return false;
    }
    *ret_is_due = ph_front_leave_counting(front);
    return true;
}

/* What ph_fast_take is about to take is called `label` or nothing.  False: there is none, or no table yet. */
static inline bool ph_fast_label_next(const ph_front *front, size_t pages, const char *label)
{
    if (pages > PH_BLOCK_PAGES_MAX)
        return false;
    uintptr_t run = ph_load_relaxed(&front->hot_pages) == pages ? ph_load_relaxed(&front->hot_run)
                                                                : front->tops[pages][-1].run;
    if (run == 0)
        return false;
    return ph_label_set(ph_block_of_ours(run), run >> PH_FAST_PAGE_LOG2 & (PH_BLOCK_PAGES_MAX - 1), label) ||
           label == NULL;
}

/* The same where runs are labelled, with a label or without. */
static inline bool ph_labelled_alloc(const pageheap *heap, size_t pages, const char *label,
                                     uintptr_t *ret_run, bool *ret_is_due)
{
    ph_front *front;
    if (!ph_fast_enter(heap, false, &front))
        return false;
    if (!front->has_labels || !ph_fast_label_next(front, pages, label) ||
        !ph_fast_take(front, pages, ret_run)) {
        ph_front_leave_fast(front);
        return false;
    }
    *ret_is_due = ph_front_leave_counting(front);
    return true;
}

/* A kept run while others free into this front: marks are set by locked instructions, and nothing is hot.  As
 * ph_fast_alloc. */
static inline bool ph_shared_alloc(ph_front *front, size_t pages, uintptr_t *ret_run, bool *ret_is_due)
{
    ph_store_relaxed(&front->busy, 1);
    ph_compiler_fence();
    ph_kept *top = PH_NO_RUNS;
    if (ph_load_acquire(&front->attention) == PH_SHARED && /* as in try_enter */
        pages <= PH_BLOCK_PAGES_MAX && !front->has_labels)
        top = front->tops[pages];
    ph_kept kept = top[-1];
    if (kept.run == 0) {
        ph_front_leave_fast(front);
        return false;
    }
    front->tops[pages] = top - 1;
    /* Pairs with ph_block_unmark by other threads. */
    ph_fetch_or_acq_rel(kept.mark, (uint8_t)(1u << (kept.run & PH_RUN_BIT)));
    PH_SUB_FROM_MEMORY(&front->tally, pages);
    *ret_run = kept.run;
    *ret_is_due = ph_front_leave_counting(front);
    return true;
}

/* A live run that is known to be this thread's: where its mark is, and the marks there without it. */
typedef struct ph_found {
    _Atomic uint8_t *mark;
    uint64_t other_marks;
    uintptr_t bit;
} ph_found;

/* The run whose mark stands there. */
static inline ph_found ph_find_marked(const ph_block *block, unsigned page)
{
    _Atomic uint8_t *mark = ph_block_mark_of(block, page);
    return (ph_found){ mark, ph_load_relaxed(mark) & ~(UINT64_C(1) << page % 8), page % 8 };
}

/* Free such a run: keep it (front entered since it was found).  False: no room. */
static PH_ALWAYS_INLINE bool ph_fast_keep(ph_front *front, ph_found found, uintptr_t address, size_t pages)
{
    ph_kept *top = front->tops[pages];
    if (PH_UNLIKELY(top->run == PH_MAGAZINE_END))
        return false;
    top->run = address | found.bit;
    top->mark = found.mark;
    front->tops[pages] = top + 1;
    ph_store_relaxed(found.mark, (uint8_t)found.other_marks);
    ph_bump_hot(&front->tally, pages + PH_TALLY_FREE);
    return true;
}

/* Free a run that begins where the hot one does: keep it as that (front entered).  False: the hot run is not
 * of this length, or was freed already. */
static PH_ALWAYS_INLINE bool ph_fast_return_hot(ph_front *front, size_t pages)
{
    if (PH_UNLIKELY(pages > PH_BLOCK_PAGES_MAX || ph_load_relaxed(&front->hot_pages) != (pages | PH_HOT_OUT)))
        return false;
    ph_store_relaxed(&front->hot_pages, pages);
    ph_bump_hot(&front->tally, PH_TALLY_FREE);
    return true;
}

/* The window of a page of that number, and the page's number within it.  False: there is none. */
static PH_ALWAYS_INLINE bool ph_fast_window(const ph_front *front, uintptr_t page, ph_window **ret_window,
                                            uintptr_t *ret_offset_pages)
{
    *ret_offset_pages = page - front->near_first_page;
    *ret_window = front->near_window;
    if (PH_LIKELY(*ret_offset_pages < PH_WINDOW_PAGES))
        return true;
    if (page / PH_WINDOW_PAGES >= PH_WINDOW_COUNT)
        return false;
    *ret_offset_pages = page % PH_WINDOW_PAGES;
    *ret_window = ph_load_acquire(&ph_windows[page / PH_WINDOW_PAGES]); /* W2 */
    return *ret_window != NULL;
}

/* True if a live run of `pages` pages begins at `page`, its end in sight, and in a block of this front's. */
static PH_ALWAYS_INLINE bool ph_fast_find(const ph_front *front, uintptr_t page, size_t pages,
                                          ph_found *ret_found)
{
    ph_window *window;
    uintptr_t offset;
    if (PH_UNLIKELY(!ph_fast_window(front, page, &window, &offset)))
        return false;
    /* Stays so: the front is ours. */
    PH_GO_UNLESS(&window->owners[offset / PH_BLOCK_PAGES_MAX], front, is_another);
    ret_found->bit = offset % 8;
    ret_found->mark = (_Atomic uint8_t *)window->tags + offset / 8;
    return ph_tags_is_run(ret_found->mark, ret_found->mark + PH_WINDOW_PAGES / 8, ret_found->bit, pages,
                          &ret_found->other_marks);
is_another:
    return false;
}

/* Free a run whose end is in sight and that is not the hot one: keep it (front entered).  False: this front
 * has no such run, or no room for it. */
static PH_ALWAYS_INLINE bool ph_fast_return(ph_front *front, uintptr_t address, size_t pages)
{
    uintptr_t page = ph_fast_page(address);
    ph_found found;
    return PH_LIKELY(ph_fast_find(front, page, pages, &found)) && ph_fast_keep(front, found, address, pages);
}

/* Free a run that is exactly one of this thread's live ones, if its end is in sight and there is room for it.
 * False: not done, and nothing changed. */
static PH_ALWAYS_INLINE bool ph_fast_free(const pageheap *heap, uintptr_t address, size_t pages)
{
    ph_front *front;
    bool is_done;
    if (PH_UNLIKELY(!ph_fast_enter(heap, false, &front)))
        return false;
    if (address == ph_load_held(&front->hot_run))
        is_done = ph_fast_return_hot(front, pages);
    else
        is_done = ph_fast_return(front, address, pages);
    ph_front_leave_fast(front);
    return is_done;
}

/* The same for longer ones of up to a block, and for any that the front was held against a moment ago.  Not
 * for the hot run: it would stay remembered as one that is out. */
static PH_ALWAYS_INLINE bool ph_fast_free_long(const pageheap *heap, const ph_block *block, uintptr_t address,
                                               size_t pages)
{
    unsigned page = (unsigned)(address >> PH_FAST_PAGE_LOG2) & (PH_BLOCK_PAGES_MAX - 1);
    ph_front *front;
    if (PH_UNLIKELY(!ph_fast_enter(heap, false, &front)))
        return false;
    bool is_done = ph_load_relaxed(ph_owner_of(block)) == front &&
                   ph_block_live_pages(block, page) == pages && ph_load_relaxed(&front->hot_run) != address &&
                   ph_front_cached_pages(front) <= front->cache_limit_pages &&
                   ph_fast_keep(front, ph_find_marked(block, page), address, pages);
    ph_front_leave_fast(front);
    return is_done;
}

#endif
