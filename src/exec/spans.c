/* SPDX-License-Identifier: MIT */
/* spans.c -- spans of whole pages: taken from the heap and made ready, filled and given back. */
#include "exec/pieces.h"

#include "heap/fast.h"

int ph_code_finish(pageheap_exec *code, uintptr_t run, uint64_t pages, uintptr_t *ret_rx)
{
    uintptr_t rx = run & ~(uintptr_t)PH_RUN_CLEAN;
    if (PH_UNLIKELY(run & PH_RUN_CLEAN) && ph_code_ready(code, rx, (size_t)pages << code->page_log2) != 0) {
        if (ph_run_claim(code->heap, rx, pages) == 0)
            ph_run_return(code->heap, rx, pages, true);
        ph_front *mine = ph_front_mine(code->heap);
        if (mine != NULL)
            ph_bump_relaxed(&mine->failed_allocs, 1);
        return PAGEHEAP_ENOMEM;
    }
    *ret_rx = rx;
    return 0;
}

static PH_NOINLINE int alloc_slowly(pageheap_exec *code, uint64_t pages, uintptr_t *ret_rx)
{
    pageheap *heap = code->heap;
    if (pages > PH_REGION_PAGES_MAX(heap))
        return PAGEHEAP_ERANGE;
    uintptr_t run = pages <= heap->block_pages ? ph_run_alloc(heap, (unsigned)pages, 1)
                                               : ph_large_alloc(heap, pages, 0, PH_LARGE_LIVE);
    return run == 0 ? PAGEHEAP_ENOMEM : ph_code_finish(code, run, pages, ret_rx);
}

static PH_NOINLINE void tick(pageheap_exec *code, uintptr_t rx, uint64_t pages)
{
    ph_heap_tick(code->heap, ph_thread_last.front);
    ph_front_reheat(ph_thread_last.front, rx, pages);
}

int ph_code_alloc_pages(pageheap_exec *code, uint64_t pages, uintptr_t *ret_rx)
{
    uintptr_t run;
    bool is_due;
    if (PH_UNLIKELY(!ph_fast_is_last(code->heap) ||
                    !ph_fast_alloc(ph_thread_last.front, pages, &run, &is_due)))
        return alloc_slowly(code, pages, ret_rx);
    if (PH_UNLIKELY(is_due))
        tick(code, run & ~(uintptr_t)PH_RUN_CLEAN, pages);
    return ph_code_finish(code, run, pages, ret_rx);
}

/* ---- free --------------------------------------------------------------------------------- */

/* It may hold something else than traps.  It is live and stays so, or is nobody's but ours: it can be read.
 */
static bool needs_fill(const pageheap_exec *code, uintptr_t rx, uint64_t pages)
{
    return code->fills && (ph_bits_any(code->written, ph_code_page(code, rx), pages) ||
                           *(const volatile uint64_t *)rx != ph_traps[0]);
}

static int free_slowly(pageheap_exec *code, uintptr_t rx, uint64_t pages)
{
    int error = ph_run_claim(code->heap, rx, pages);
    if (error != 0)
        return error;
    if (needs_fill(code, rx, pages) && ph_code_fill(code, rx, (size_t)pages << code->page_log2) == 0)
        ph_bits_clear(code->written, ph_code_page(code, rx), pages);
    ph_run_return(code->heap, rx, pages, false);
    return 0;
}

int ph_code_free_pages(pageheap_exec *code, uintptr_t rx, uint64_t pages)
{
    /* A run of this thread's that holds traps is kept as it is.  Nobody takes its memory while we look: who
     * gives memory back holds our front. */
    if (PH_UNLIKELY(!ph_fast_is_last(code->heap)))
        return free_slowly(code, rx, pages);
    ph_front *mine = ph_thread_last.front;
    bool is_done = false;
    if (PH_UNLIKELY(!ph_fast_enter(mine)))
        return free_slowly(code, rx, pages);
    if (ph_fast_is_mine(mine, rx, pages) && !needs_fill(code, rx, pages)) {
        is_done = rx == ph_load_relaxed(&mine->hot_run) ? ph_fast_return_hot(mine, pages)
                                                        : ph_fast_return(mine, rx, pages);
        if (is_done)
            ph_bump_hot(&mine->free_calls, 1);
    }
    ph_front_leave_fast(mine);
    return PH_LIKELY(is_done) ? 0 : free_slowly(code, rx, pages);
}

int ph_code_shrink_pages(pageheap_exec *code, uintptr_t rx, uint64_t pages, uint64_t new_pages)
{
    if (new_pages == pages) {
        pageheap_run run;
        int error = ph_run_find_plain(rx, &run);
        if (error != 0)
            return error;
        return (uintptr_t)run.start == rx && run.pages == pages ? 0 : PAGEHEAP_EBADRUN;
    }
    int error = ph_run_split(code->heap, rx, pages, new_pages);
    if (error != 0)
        return error;
    return ph_code_free_pages(code, rx + ((uintptr_t)new_pages << code->page_log2), pages - new_pages);
}
