/* SPDX-License-Identifier: MIT */
/* within.c -- a run within given bounds: the blocks there are looked at one after the other, whoever owns
 * them.
 *
 * A front's blocks are searched with the front held; a block that is nobody's is taken from the pool and
 * becomes the caller's.  If that is not enough, what threads keep ready goes back to the blocks, once.
 */
#include "exec/code.h"

#include "block/runsearch.h"

typedef struct bounds {
    uintptr_t lo, hi; /* both within the reservation, at pages */
} bounds;

/* First page of a hole of `pages` of the block that lies within the bounds, or PH_NO_RUN. */
static int hole_in(const ph_block *block, unsigned pages, const bounds *within)
{
    uint64_t unused[PH_BLOCK_WORDS];
    uintptr_t base = ph_block_base(block);
    unsigned all = ph_block_pages(block);
    unsigned from = within->lo > base ? (unsigned)((within->lo - base) >> block->page_log2) : 0;
    unsigned to =
        within->hi - base < PH_BLOCK_BYTES ? (unsigned)((within->hi - base) >> block->page_log2) : all;
    ph_block_unused_bits(block, unused);
    ph_range_clear(unused, to, PH_BLOCK_PAGES_MAX - to);
    return from < to ? ph_runsearch_first(unused, ph_block_words(block), from, pages) : PH_NO_RUN;
}

/* A live run out of this block, which `owner` has, or 0. */
static uintptr_t take_from(ph_front *owner, ph_front *mine, ph_block *block, unsigned pages,
                           const bounds *within)
{
    uintptr_t run = 0;
    ph_front_hold(owner, mine);
    if (ph_load_relaxed(ph_owner_of(block)) == owner) {
        ph_front_collect(owner);
        int first = ph_load_relaxed(ph_owner_of(block)) == owner ? hole_in(block, pages, within) : PH_NO_RUN;
        if (first != PH_NO_RUN) {
            unsigned clean = ph_front_take(owner, block, (unsigned)first, pages);
            ph_block_mark(block, (unsigned)first, ph_front_is_shared(owner));
            ph_front_count_alloc(owner);
            run = ph_block_base(block) + ((uintptr_t)first << block->page_log2);
            run |= ph_front_clean_flag(owner, clean, pages);
        }
    }
    ph_front_release(owner, mine);
    return run;
}

static uintptr_t search(pageheap_exec *exec, ph_front *mine, unsigned pages, const bounds *within)
{
    pageheap *heap = exec->heap;
    uintptr_t run = 0;
    uintptr_t base = within->lo & ~(uintptr_t)(PH_BLOCK_BYTES - 1);
    for (; base < within->hi && run == 0; base += PH_BLOCK_BYTES) {
        ph_front *owner = ph_owner_at(base);
        if ((owner == NULL || owner == &heap->special) && ph_pool_take_at(heap, base)) {
            ph_front_enter(mine);
            ph_front_attach(mine, ph_block_of_ours(base));
            ph_front_leave(mine);
            owner = mine;
        }
        if (owner != NULL && owner != &heap->special)
            run = take_from(owner, mine, ph_block_of_ours(base), pages, within);
    }
    return run;
}

int ph_code_alloc_within(pageheap_exec *exec, uint64_t pages, uintptr_t lo, uintptr_t hi, uintptr_t *ret_rx)
{
    pageheap *heap = exec->heap;
    uintptr_t page_mask = ((uintptr_t)1 << exec->page_log2) - 1;
    uintptr_t end = exec->rx_base + exec->reserved_bytes;
    bounds within = { ph_max_u64(lo, exec->rx_base), ph_min_u64(hi, end) };
    if (lo >= hi || lo > UINTPTR_MAX - page_mask || pages > heap->block_pages)
        return PAGEHEAP_EINVAL;
    within.lo = (within.lo + page_mask) & ~page_mask;
    within.hi &= ~page_mask;
    if (within.lo >= within.hi || (within.hi - within.lo) >> exec->page_log2 < pages)
        return PAGEHEAP_ERANGE;
    ph_front *mine = ph_front_mine(heap);
    if (mine == NULL || !ph_heap_charge(heap, pages))
        return PAGEHEAP_ENOMEM;
    uintptr_t run = search(exec, mine, (unsigned)pages, &within);
    if (run == 0) {
        ph_heap_drain_all(heap);
        run = search(exec, mine, (unsigned)pages, &within);
    }
    if (run == 0) {
        ph_heap_uncharge(heap, pages);
        return PAGEHEAP_ERANGE;
    }
    return ph_code_finish(exec, run, pages, ret_rx);
}
