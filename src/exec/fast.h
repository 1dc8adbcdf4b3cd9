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

/* A run that is ready, live.  False: there is none.  *ret_is_due tells that it is time for a tick. */
static PH_ALWAYS_INLINE bool ph_code_take_fast(const pageheap_exec *exec, uint64_t pages, uintptr_t *ret_run,
                                               bool *ret_is_due)
{
    return ph_fast_alloc(exec->heap, pages, ret_run, ret_is_due);
}

/* A run of this thread's that holds nothing but traps is kept as it is (front entered).  It is known to be
 * live before it is read: nobody takes its memory meanwhile, since who gives memory back holds the front. */
static PH_ALWAYS_INLINE bool ph_code_keep_unwritten(const pageheap_exec *exec, ph_front *mine, uintptr_t rx,
                                                    uint64_t pages)
{
    if (rx == ph_load_relaxed(&mine->hot_run))
        return ph_load_relaxed(&mine->hot_pages) == (pages | PH_HOT_OUT) &&
               !ph_code_needs_fill(exec, rx, pages) && ph_fast_return_hot(mine, pages);
    uintptr_t page = ph_fast_page(rx);
    ph_found found;
    return ph_fast_find(mine, page, pages, &found) && !ph_code_needs_fill(exec, rx, pages) &&
           ph_fast_keep(mine, found, rx, pages);
}

/* False: not done, and nothing changed. */
static PH_ALWAYS_INLINE bool ph_code_free_fast(const pageheap_exec *exec, uintptr_t rx, uint64_t pages)
{
    ph_front *mine;
    if (PH_UNLIKELY(!ph_fast_enter(exec->heap, false, &mine)))
        return false;
    bool is_done = ph_code_keep_unwritten(exec, mine, rx, pages);
    ph_front_leave_fast(mine);
    return is_done;
}

/* ---- pieces ------------------------------------------------------------------------------- */

/* The newest kept piece of this length, live, and its first granule.  False: there is none, or the front is
 * wanted elsewhere. */
static PH_ALWAYS_INLINE bool ph_piece_take_fast(const pageheap_exec *exec, size_t granules,
                                                ph_kept_piece *ret_piece, unsigned *ret_granule)
{
    ph_front *mine;
    if (PH_UNLIKELY(granules > PH_KEPT_GRANULES_MAX || !ph_fast_enter(exec->heap, true, &mine)))
        return false;
    ph_pieces *pieces = mine->pieces;
    bool has_one = pieces != NULL && pieces->tops[granules][-1].rx != 0;
    if (PH_LIKELY(has_one)) {
        *ret_piece = *--pieces->tops[granules];
        *ret_granule = ph_slab_granule(exec, ret_piece->rx);
        ph_tags_mark(ph_block_mark_of(&ret_piece->slab->block, *ret_granule), *ret_granule % 8);
    }
    ph_front_leave_fast(mine);
    return has_one;
}

/* Our own piece, at a granule, that holds nothing but traps.  False: not done, and nothing changed. */
static PH_ALWAYS_INLINE bool ph_piece_free_fast(const pageheap_exec *exec, ph_slab *slab, uintptr_t rx,
                                                size_t granules)
{
    unsigned granule = ph_slab_granule(exec, rx);
    _Atomic uint8_t *mark = (_Atomic uint8_t *)slab->tags + granule / 8;
    ph_front *mine;
    uint64_t other_marks;
    bool is_done = false;
    if (PH_UNLIKELY(granules > PH_KEPT_GRANULES_MAX || !ph_fast_enter(exec->heap, false, &mine)))
        return false;
    if (PH_LIKELY(ph_load_relaxed(&slab->owner) == mine &&
                  ph_tags_is_run(mark, mark + PH_BLOCK_PAGES_MAX / 8, granule % 8, granules, &other_marks)) &&
        !ph_fast_needs_fill(exec, slab->written, granule, granules, rx)) {
        ph_kept_piece *top = mine->pieces->tops[granules];
        is_done = top->rx != PH_KEPT_END;
        if (PH_LIKELY(is_done)) {
            *top = (ph_kept_piece){ rx, slab };
            mine->pieces->tops[granules] = top + 1;
            ph_store_relaxed(mark, (uint8_t)other_marks);
        }
    }
    ph_front_leave_fast(mine);
    return is_done;
}

#endif
