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

/* Into the front that the calling thread used last, on trial: what else may be done there depends on its
 * doors, and in any case it must be left. */
static PH_ALWAYS_INLINE ph_front *ph_fast_enter(void)
{
    ph_front *front = ph_thread_last.front;
    ph_store_relaxed(&front->busy, 1);
    ph_compiler_fence();
    return front;
}

/* True if this door is open for that heap, and there is no hot run (F7): then there is nothing at all to
 * attend to.  The heap may be any address: it is compared, not followed; and no heap has another's key. */
static PH_ALWAYS_INLINE bool ph_fast_is_open(_Atomic uintptr_t *door, const pageheap *heap)
{
    PH_GO_UNLESS(door, (uintptr_t)heap, is_closed); /* pairs with ph_front_open and ph_front_rekey */
    return true;
is_closed:
    return false;
}

/* The same of the heap's front while it has a hot run; and whether it has one or not. */
static PH_ALWAYS_INLINE bool ph_fast_is_hot(const _Atomic uintptr_t *door, const pageheap *heap)
{
    return ph_load_acquire(door) ==
           (uintptr_t)heap + PH_HOT_KEY_AWAY; /* pairs with ph_front_open and ph_front_rekey */
}

static PH_ALWAYS_INLINE bool ph_fast_is_open_any(_Atomic uintptr_t *door, const pageheap *heap)
{
    return ph_fast_is_open(door, heap) || ph_fast_is_hot(door, heap);
}

/* The newest run of up to a block out of a magazine, made live (front entered): address, PH_RUN_CLEAN and
 * PH_RUN_BIT.  False: none. */
static PH_ALWAYS_INLINE bool ph_fast_pop(ph_front *front, size_t pages, uintptr_t *ret_run)
{
    if (PH_UNLIKELY(pages > PH_BLOCK_PAGES_MAX))
        return false;
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

/* The hot run, made live, if it is here (front entered).  False: it is out, or of another length; none has
 * the bit that says that it is out. */
static PH_ALWAYS_INLINE bool ph_fast_take_hot(ph_front *front, size_t pages, uintptr_t *ret_run)
{
    if (ph_load_held(&front->hot_pages) != pages || (pages & PH_HOT_OUT) != 0)
        return false;
    *ret_run = ph_load_relaxed(&front->hot_run);
    ph_store_relaxed(&front->hot_pages, pages | PH_HOT_OUT);
    return true;
}

/* A kept run of `pages` pages, made live: as ph_fast_pop.  False: there is none.  *ret_is_due tells that it
 * is time for a tick. */
static PH_ALWAYS_INLINE bool ph_fast_alloc(const pageheap *heap, size_t pages, uintptr_t *ret_run,
                                           bool *ret_is_due)
{
    ph_front *front = ph_fast_enter();
    if (PH_LIKELY(ph_fast_is_open_any(&front->allocs_for, heap)) &&
        PH_LIKELY(ph_fast_take_hot(front, pages, ret_run) || ph_fast_pop(front, pages, ret_run))) {
        *ret_is_due = ph_front_leave_counting(front);
        return true;
    }
    ph_front_leave_fast(front);
    return false;
}

/* What ph_fast_pop is about to take is called `label` or nothing.  False: there is none, or no table yet. */
static inline bool ph_fast_label_next(const ph_front *front, size_t pages, const char *label)
{
    if (pages > PH_BLOCK_PAGES_MAX)
        return false;
    uintptr_t run = front->tops[pages][-1].run;
    if (run == 0)
        return false;
    return ph_label_set(ph_block_of_ours(run), run >> PH_FAST_PAGE_LOG2 & (PH_BLOCK_PAGES_MAX - 1), label) ||
           label == NULL;
}

/* The same where runs are labelled, with a label or without. */
static inline bool ph_labelled_alloc(const pageheap *heap, size_t pages, const char *label,
                                     uintptr_t *ret_run, bool *ret_is_due)
{
    ph_front *front = ph_fast_enter();
    if (!ph_fast_is_open(&front->frees_for, heap) || !front->has_labels ||
        !ph_fast_label_next(front, pages, label) || !ph_fast_pop(front, pages, ret_run)) {
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

/* Free the hot run, which begins where the caller's does: keep it as that (front entered).  False: it is not
 * live, or not of this length. */
static PH_ALWAYS_INLINE bool ph_fast_return_hot(ph_front *front, size_t pages)
{
    if (PH_UNLIKELY(pages > PH_BLOCK_PAGES_MAX || ph_load_relaxed(&front->hot_pages) != (pages | PH_HOT_OUT)))
        return false;
    ph_store_relaxed(&front->hot_pages, pages);
    ph_bump_hot(&front->tally, PH_TALLY_FREE);
    return true;
}

/* The window of an address, and the number of its page within that.  False: there is none, or the address is
 * no page's. */
static PH_ALWAYS_INLINE bool ph_fast_window(const ph_front *front, uintptr_t address, ph_window **ret_window,
                                            uintptr_t *ret_offset_pages)
{
    *ret_offset_pages = ph_fast_page(address) - front->near_first_page;
    *ret_window = front->near_window;
    if (PH_LIKELY(*ret_offset_pages < PH_WINDOW_PAGES))
        return true;
    PH_FORGET(address);
    uintptr_t page = ph_fast_page(address);
    if (page / PH_WINDOW_PAGES >= PH_WINDOW_COUNT)
        return false;
    *ret_offset_pages = page % PH_WINDOW_PAGES;
    *ret_window = ph_load_acquire(&ph_windows[page / PH_WINDOW_PAGES]); /* W2 */
    return *ret_window != NULL;
}

/* True if a live run of `pages` pages begins there, its end in sight, and in a block of this front's. */
static PH_ALWAYS_INLINE bool ph_fast_find(const ph_front *front, uintptr_t address, size_t pages,
                                          ph_found *ret_found)
{
    ph_window *window;
    uintptr_t offset;
    if (PH_UNLIKELY(!ph_fast_window(front, address, &window, &offset)))
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
    ph_found found;
    return PH_LIKELY(ph_fast_find(front, address, pages, &found)) &&
           ph_fast_keep(front, found, address, pages);
}

/* Free a run of up to a block that is exactly one of this thread's live ones, wherever it ends, if there is
 * room for it.  False: not done, and nothing changed.  Not for the hot run: it would stay remembered as one
 * that is out. */
static PH_ALWAYS_INLINE bool ph_fast_free_long(const pageheap *heap, const ph_block *block, uintptr_t address,
                                               size_t pages)
{
    unsigned page = (unsigned)(address >> PH_FAST_PAGE_LOG2) & (PH_BLOCK_PAGES_MAX - 1);
    ph_front *front = ph_fast_enter();
    bool is_done = PH_LIKELY(ph_fast_is_open_any(&front->frees_for, heap)) &&
                   ph_load_relaxed(ph_owner_of(block)) == front &&
                   ph_block_live_pages(block, page) == pages && ph_load_relaxed(&front->hot_run) != address &&
                   ph_front_cached_pages(front) <= front->cache_limit_pages &&
                   ph_fast_keep(front, ph_find_marked(block, page), address, pages);
    ph_front_leave_fast(front);
    return is_done;
}

#endif
