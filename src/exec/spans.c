/* SPDX-License-Identifier: MIT */
/* spans.c -- spans of whole pages: taken from the heap and made ready, filled and given back. */
#include "exec/fast.h"

int ph_code_finish_clean(pageheap_exec *code, uintptr_t run, uint64_t pages, uintptr_t *ret_rx)
{
    uintptr_t rx = run & ~(uintptr_t)PH_RUN_CLEAN;
    if (ph_code_ready(code, rx, (size_t)pages << code->page_log2) != 0) {
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

int ph_code_alloc_pages(pageheap_exec *code, uint64_t pages, uintptr_t *ret_rx)
{
    pageheap *heap = code->heap;
    if (pages > PH_REGION_PAGES_MAX(heap))
        return PAGEHEAP_ERANGE;
    uintptr_t run = pages <= heap->block_pages ? ph_run_alloc(heap, (unsigned)pages, 1)
                                               : ph_large_alloc(heap, pages, 0, PH_LARGE_LIVE);
    return run == 0 ? PAGEHEAP_ENOMEM : ph_code_finish(code, run, pages, ret_rx);
}

/* ---- free --------------------------------------------------------------------------------- */

/* It may hold something else than traps; it is ours alone. */
static bool needs_fill(const pageheap_exec *code, uintptr_t rx, uint64_t pages)
{
    return code->fills && (ph_bits_any(code->written, ph_code_page(code, rx), pages) ||
                           *(const volatile uint64_t *)rx != PH_TRAP_INSTRUCTIONS);
}

int ph_code_free_pages(pageheap_exec *code, uintptr_t rx, uint64_t pages)
{
    int error = ph_run_claim(code->heap, rx, pages);
    if (error != 0)
        return error;
    size_t bytes = (size_t)pages << code->page_log2;
    bool is_clean = false;
    ph_code_tell_freed(code, rx, bytes);
    if (needs_fill(code, rx, pages)) {
        bool is_filled = ph_code_fill(code, rx, bytes) == 0;
        is_clean = !is_filled && ph_code_discard_pages(code, rx, bytes) == 0;
        if (is_filled || is_clean)
            ph_bits_clear(code->written, ph_code_page(code, rx), pages);
    }
    ph_run_return(code->heap, rx, pages, is_clean);
    return 0;
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
