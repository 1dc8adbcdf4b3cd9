/* SPDX-License-Identifier: MIT */
/* fast.h -- the hot path for code: a span that the calling thread keeps ready out of its front, and one that
 * holds nothing but traps into it.  Whatever does not fit is left to spans.c and pieces.c, which do the same
 * without haste.  As heap/fast.h, on which it stands.
 */
#ifndef PH_EXEC_FAST_H
#define PH_EXEC_FAST_H

#include "exec/pieces.h"
#include "heap/fast.h"

/* ---- pages -------------------------------------------------------------------------------- */

/* The number of a page, in heaps with pages of 4 KiB: no other front is ever entered fast. */
static PH_ALWAYS_INLINE size_t ph_code_fast_page(const pageheap_exec *exec, uintptr_t rx)
{
    return (rx - exec->rx_base) >> PH_FAST_PAGE_LOG2;
}

/* It may hold something else than traps, or it is not so simple.  It can be read: it is live, and stays so
 * while the front is entered. */
static PH_ALWAYS_INLINE bool ph_fast_needs_fill(const pageheap_exec *exec, const _Atomic uint64_t *written,
                                                size_t first, size_t count, uintptr_t rx)
{
    return exec->fills && (!ph_bits_in_word(first, count) || ph_bits_any_in_word(written, first, count) ||
                           *(const volatile uint64_t *)rx != PH_TRAP_INSTRUCTIONS);
}

static PH_ALWAYS_INLINE bool ph_code_needs_fill(const pageheap_exec *exec, uintptr_t rx, uint64_t pages)
{
    return ph_fast_needs_fill(exec, exec->written, ph_code_fast_page(exec, rx), pages, rx);
}

/* A run that is ready, live.  False: there is none.  *ret_is_due tells that it is time for a tick.  As
 * ph_fast_alloc, but for the key that doors of code never have: asked for too, a pair takes 14.2 ns, not
 * 13.0. */
static PH_ALWAYS_INLINE bool ph_code_take_fast(const pageheap_exec *exec, uint64_t pages, uintptr_t *ret_run,
                                               bool *ret_is_due)
{
    ph_front *mine = ph_fast_enter();
    if (PH_UNLIKELY(!ph_fast_is_open(&mine->allocs_for, exec->heap)) ||
        PH_UNLIKELY(!ph_fast_take_hot(mine, pages, ret_run) && !ph_fast_pop(mine, pages, ret_run))) {
        ph_front_leave_fast(mine);
        return false;
    }
    *ret_is_due = ph_front_leave_counting(mine);
    return true;
}

/* A run of this thread's that holds nothing but traps is kept as it is: the hot one; and any other.  It is
 * known to be live before it is read: nobody takes its memory meanwhile, since who gives memory back holds
 * the front.  False: not done, and nothing changed. */
static PH_ALWAYS_INLINE bool ph_code_free_hot(const pageheap_exec *exec, uintptr_t rx, uint64_t pages)
{
    ph_front *mine = ph_fast_enter();
    bool is_done = ph_fast_is_open(&mine->frees_for, exec->heap) && rx == ph_load_held(&mine->hot_run) &&
                   ph_load_held(&mine->hot_pages) == (pages | PH_HOT_OUT) &&
                   !ph_code_needs_fill(exec, rx, pages) && ph_fast_return_hot(mine, pages);
    ph_front_leave_fast(mine);
    return is_done;
}

static PH_ALWAYS_INLINE bool ph_code_free_fast(const pageheap_exec *exec, uintptr_t rx, uint64_t pages)
{
    ph_front *mine = ph_fast_enter();
    ph_found found;
    bool is_done = ph_fast_is_open(&mine->frees_for, exec->heap) && rx != ph_load_held(&mine->hot_run) &&
                   ph_fast_find(mine, rx, pages, &found) && !ph_code_needs_fill(exec, rx, pages) &&
                   ph_fast_keep(mine, found, rx, pages);
    ph_front_leave_fast(mine);
    return is_done;
}

/* ---- pieces ------------------------------------------------------------------------------- */

/* The newest kept piece of this length, live, and its first granule.  False: there is none, or the front is
 * wanted elsewhere. */
static PH_ALWAYS_INLINE bool ph_piece_take_fast(const pageheap_exec *exec, size_t granules,
                                                ph_kept_piece *ret_piece, unsigned *ret_granule)
{
    if (PH_UNLIKELY(granules > PH_KEPT_GRANULES_MAX))
        return false;
    ph_front *mine = ph_fast_enter();
    /* Not before that: it may be the front of a heap that another thread is destroying. */
    ph_pieces *pieces = PH_LIKELY(ph_fast_is_open(&mine->allocs_for, exec->heap)) ? mine->pieces : NULL;
    bool has_one = pieces != NULL && pieces->tops[granules][-1].rx != 0;
    if (PH_LIKELY(has_one)) {
        *ret_piece = *--pieces->tops[granules];
        *ret_granule = ph_slab_granule(exec, ret_piece->rx);
        _Atomic uint64_t *mark = &ret_piece->slab->tags[*ret_granule / 64];
        ph_store_relaxed(mark, ph_load_relaxed(mark) | UINT64_C(1) << *ret_granule % 64);
    }
    ph_front_leave_fast(mine);
    return has_one;
}

/* True if a live piece of that length begins there; *ret_marks are the marks of its word without its own.  By
 * words, one of marks and two of ends: by bytes, as with pages, a pair of pieces takes half as long again
 * (docs/design/exec.md). */
static PH_ALWAYS_INLINE bool ph_piece_is_live(const ph_slab *slab, unsigned granule, size_t granules,
                                              uint64_t *ret_marks)
{
    const _Atomic uint64_t *mark = &slab->tags[granule / 64], *last = mark + PH_BLOCK_WORDS;
    uint64_t marks = ph_load_relaxed(mark), length_less_one;
    bool is_marked;
    PH_CLEAR_BIT(marks, granule, is_marked);
    if (PH_UNLIKELY(!is_marked))
        return false;
    *ret_marks = marks;
    uint64_t ends = ph_load_relaxed(&last[0]) >> (granule % 64);
    /* They have no bit in common; a sum and a factor are one instruction. */
    ends += (ph_load_relaxed(&last[1]) << (~granule % 64)) * 2;
    if (PH_UNLIKELY(ends == 0))
        return false;
    PH_FIND_LOWEST(ends, length_less_one);
    return length_less_one == granules - 1;
}

/* Our own piece, at a granule, that holds nothing but traps.  False: not done, and nothing changed. */
static PH_ALWAYS_INLINE bool ph_piece_free_fast(const pageheap_exec *exec, ph_slab *slab, uintptr_t rx,
                                                size_t granules)
{
    unsigned granule = ph_slab_granule(exec, rx);
    uint64_t other_marks;
    bool is_done = false;
    if (PH_UNLIKELY(granules > PH_KEPT_GRANULES_MAX))
        return false;
    ph_front *mine = ph_fast_enter();
    if (PH_LIKELY(ph_fast_is_open(&mine->frees_for, exec->heap) && ph_load_relaxed(&slab->owner) == mine &&
                  ph_piece_is_live(slab, granule, granules, &other_marks)) &&
        !ph_fast_needs_fill(exec, slab->written, granule, granules, rx)) {
        ph_kept_piece *top = mine->pieces->tops[granules];
        is_done = top->rx != PH_KEPT_END;
        if (PH_LIKELY(is_done)) {
            *top = (ph_kept_piece){ rx, slab };
            mine->pieces->tops[granules] = top + 1;
            ph_store_relaxed(&slab->tags[granule / 64], other_marks);
        }
    }
    ph_front_leave_fast(mine);
    return is_done;
}

#endif
