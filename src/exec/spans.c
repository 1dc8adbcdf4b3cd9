/* SPDX-License-Identifier: MIT */
/* spans.c -- spans of whole pages: taken from the heap and made ready, filled and given back. */
#include "exec/fast.h"

int ph_code_finish_clean(pageheap_exec *exec, uintptr_t run, uint64_t pages, uintptr_t *ret_rx)
{
    uintptr_t rx = ph_run_address(run);
    if (ph_code_ready(exec, rx, (size_t)pages << exec->page_log2) != 0) {
        if (ph_run_claim(exec->heap, rx, pages) == 0)
            ph_run_return(exec->heap, rx, pages, true);
        return PAGEHEAP_ENOMEM;
    }
    *ret_rx = rx;
    return 0;
}

uintptr_t ph_code_take_run(pageheap_exec *exec, uint64_t pages, unsigned align_pages)
{
    pageheap *heap = exec->heap;
    return pages <= heap->block_pages ? ph_run_alloc(heap, (unsigned)pages, align_pages, NULL)
                                      : ph_large_alloc(heap, pages, 0, PH_LARGE_LIVE);
}

int ph_code_alloc_pages(pageheap_exec *exec, uint64_t pages, uintptr_t *ret_rx)
{
    if (pages > PH_REGION_PAGES_MAX(exec->heap))
        return PAGEHEAP_ERANGE;
    uintptr_t run = ph_code_take_run(exec, pages, 1);
    return run == 0 ? PAGEHEAP_ENOMEM : ph_code_finish(exec, run, pages, ret_rx);
}

/* ---- free --------------------------------------------------------------------------------- */

/* It may hold something else than traps; it is ours alone.  Read where nothing is guarded, if there is such a
 * view: a wild free may have named a run that another thread has just taken and not yet made ready. */
static bool needs_fill(const pageheap_exec *exec, uintptr_t rx, uint64_t pages)
{
    if (!exec->fills || !ph_code_is_mapped(exec, rx))
        return false;
    const void *view = exec->rw_delta != 0 ? ph_code_rw(exec, rx) : (const void *)rx;
    return ph_bits_any(exec->written, ph_code_page(exec, rx), pages) ||
           *(const volatile uint64_t *)view != PH_TRAP_INSTRUCTIONS;
}

int ph_code_free_pages(pageheap_exec *exec, uintptr_t rx, uint64_t pages)
{
    int code = ph_run_claim(exec->heap, rx, pages);
    if (code != 0)
        return code;
    size_t bytes = (size_t)pages << exec->page_log2;
    bool is_clean = false;
    ph_code_tell_freed(exec, rx, bytes);
    if (needs_fill(exec, rx, pages)) {
        bool is_filled = ph_code_fill(exec, rx, bytes) == 0;
        is_clean = !is_filled && ph_code_discard_pages(exec, rx, bytes) == 0;
        if (is_filled || is_clean)
            ph_bits_clear(exec->written, ph_code_page(exec, rx), pages);
    }
    ph_run_return(exec->heap, rx, pages, is_clean);
    return 0;
}

/* The end of a long run goes back as whole blocks, and as pages of the block that is the last one now. */
static int shrink_long(pageheap_exec *exec, uintptr_t rx, uint64_t pages, uint64_t new_pages)
{
    uintptr_t new_end = rx + ((uintptr_t)new_pages << exec->page_log2);
    size_t bytes = (size_t)(pages - new_pages) << exec->page_log2;
    int code = ph_run_claim(exec->heap, rx, pages);
    if (code != 0)
        return code;
    if (new_pages != pages) {
        ph_code_tell_freed(exec, new_end, bytes);
        ph_code_discard_end(exec, new_end, bytes);
        ph_bits_clear(exec->written, ph_code_page(exec, new_end), pages - new_pages);
    }
    ph_large_cut(exec->heap, ph_block_of_ours(rx), new_pages);
    return 0;
}

int ph_code_shrink_pages(pageheap_exec *exec, uintptr_t rx, uint64_t pages, uint64_t new_pages)
{
    const ph_block *block = ph_block_of(rx);
    if (block != NULL && ph_load_acquire(&block->kind) == PH_BLOCK_LARGE) /* pairs with form_run */
        return shrink_long(exec, rx, pages, new_pages);
    if (new_pages == pages) {
        pageheap_run run;
        int code = ph_run_find_plain(rx, &run);
        if (code != 0)
            return code;
        return (uintptr_t)run.start == rx && run.pages == pages ? 0 : PAGEHEAP_EBADRUN;
    }
    int code = ph_run_split(exec->heap, rx, pages, new_pages);
    if (code != 0)
        return code;
    return ph_code_free_pages(exec, rx + ((uintptr_t)new_pages << exec->page_log2), pages - new_pages);
}
