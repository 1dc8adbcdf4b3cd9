/* SPDX-License-Identifier: MIT */
/* large.c -- runs longer than a block: whole blocks, adjacent, from one region.
 *
 * The end of the last block stays unused: it is address space, never memory.  Why not give it to small
 * runs: docs/design/heap.md.
 *
 * L1  The first block's `large.state` decides, by a compare-and-swap from LIVE, who has a run: to CACHED who
 *     frees it, to CLAIMED who does so in two steps (ph_large_return or ph_large_cut ends that).
 * L2  A run that is CACHED is in exactly one front's `large` slots, or in nobody's hands but one thread's.
 */
#include "heap/heap.h"

#include "map/meta.h"

static unsigned blocks_of(const pageheap *heap, uint64_t pages)
{
    return (unsigned)ph_div_ceil(pages, heap->block_pages);
}

/* ---- kept runs ------------------------------------------------------------------------- */

/* Take a kept run of exactly this length (front held); NULL if there is none. */
static ph_block *take_kept(ph_front *front, uint64_t pages)
{
    for (uint32_t i = front->large_count; i-- > 0;) {
        if (front->large[i].pages != pages)
            continue;
        ph_block *head = front->large[i].head;
        front->large_count--;
        for (uint32_t j = i; j < front->large_count; j++)
            front->large[j] = front->large[j + 1];
        ph_drop_relaxed(&front->large_cached_pages, pages);
        return head;
    }
    return NULL;
}

/* Keep a run; false if there is no room for it. */
static bool keep(ph_front *front, ph_block *head, uint64_t pages)
{
    if (front->large_count == PH_LARGE_SLOTS)
        return false;
    front->large[front->large_count].head = head;
    front->large[front->large_count].pages = pages;
    front->large_count++;
    ph_bump_relaxed(&front->large_cached_pages, pages);
    return true;
}

/* Of the last block's pages only these have been handed out: those behind them are clean, as whoever made
 * the run ready has left them. */
static void keep_end_clean(pageheap *heap, uintptr_t base, unsigned used_pages)
{
    if (used_pages == 0)
        return;
    ph_block_reset(base, heap->page_log2, true);
    (void)ph_block_take(ph_block_of_ours(base), 0, used_pages);
    ph_block_give(ph_block_of_ours(base), 0, used_pages, false);
}

void ph_large_release(pageheap *heap, ph_block *head)
{
    uint64_t pages = ph_load_relaxed(&head->large.pages);
    bool is_clean = head->large.clean != 0;
    uintptr_t base = ph_block_base(head);
    unsigned blocks = blocks_of(heap, pages);
    for (unsigned b = 0; b < blocks; b++) {
        uintptr_t address = base + b * PH_BLOCK_BYTES;
        ph_block_reset(address, heap->page_log2, is_clean);
    }
    if (heap->backing->mixed_is_clean && !is_clean)
        keep_end_clean(heap, base + (blocks - 1) * PH_BLOCK_BYTES, (unsigned)(pages % heap->block_pages));
    ph_pool_give(heap, base, blocks);
    ph_heap_uncharge(heap, pages);
}

void ph_large_drain(ph_front *front, uint64_t keep_pages)
{
    uint32_t given = 0;
    while (given < front->large_count && ph_load_relaxed(&front->large_cached_pages) > keep_pages) {
        ph_drop_relaxed(&front->large_cached_pages, front->large[given].pages);
        ph_large_release(front->heap, front->large[given].head);
        given++; /* the oldest first */
    }
    front->large_count -= given;
    for (uint32_t i = 0; i < front->large_count; i++)
        front->large[i] = front->large[i + given];
}

unsigned ph_large_pages_in(const ph_block *block)
{
    unsigned all = ph_block_pages(block);
    const ph_block *head = block;
    if (ph_load_relaxed(&block->kind) == PH_BLOCK_BODY)
        head = ph_load_relaxed(&block->head);
    if (head == NULL || ph_load_relaxed(&head->kind) != PH_BLOCK_LARGE)
        return all;
    uint64_t before = (uint64_t)(block->number - head->number) * all;
    uint64_t pages = ph_load_relaxed(&head->large.pages);
    return pages > before && pages - before < all ? (unsigned)(pages - before) : all;
}

/* ---- alloc ----------------------------------------------------------------------------- */

static void form_run(pageheap *heap, uintptr_t base, uint64_t pages, bool is_clean)
{
    ph_block *head = ph_block_of_ours(base);
    ph_store_relaxed(&head->large.pages, pages);
    head->large.clean = is_clean;
    for (unsigned b = 1; b < blocks_of(heap, pages); b++) {
        ph_block *body = ph_block_of_ours(base + b * PH_BLOCK_BYTES);
        ph_store_relaxed(&body->head, head);
        ph_store_release(&body->kind, PH_BLOCK_BODY); /* pairs with the acquire in ph_run_find */
    }
    ph_store_release(&head->kind, PH_BLOCK_LARGE); /* the same */
}

/* The run becomes live: address | PH_RUN_CLEAN. */
static uintptr_t enliven(pageheap *heap, ph_block *head, uint64_t pages, uint32_t state)
{
    uintptr_t run = ph_block_base(head) | (head->large.clean ? PH_RUN_CLEAN : 0);
    head->large.clean = 0;
    ph_fetch_add_relaxed(&heap->large_live_pages, pages);
    ph_store_release(&head->large.state, state); /* pairs with the compare-and-swap in free */
    return run;
}

static ph_block *kept_by(ph_front *front, uint64_t pages)
{
    ph_front_enter(front);
    ph_block *head = take_kept(front, pages);
    if (head != NULL)
        ph_front_count_alloc(front);
    ph_front_leave(front);
    return head;
}

static uintptr_t new_run(pageheap *heap, uint64_t pages, unsigned align_blocks, uint32_t state)
{
    bool is_clean;
    if (!ph_heap_charge(heap, pages))
        return 0;
    uintptr_t base = ph_pool_take(heap, blocks_of(heap, pages), align_blocks, &is_clean);
    if (base == 0)
        base = ph_need_blocks(heap, blocks_of(heap, pages), align_blocks, &is_clean);
    if (base == 0) {
        ph_heap_uncharge(heap, pages);
        return 0;
    }
    /* Where mixed runs are clean, so are all new ones: the last block's end may not be what it should. */
    form_run(heap, base, pages, is_clean || heap->backing->mixed_is_clean);
    return enliven(heap, ph_block_of_ours(base), pages, state);
}

static void count_call(ph_front *front)
{
    ph_front_enter(front);
    ph_front_count_alloc(front);
    ph_front_leave(front);
}

uintptr_t ph_large_alloc(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t state)
{
    ph_front *front = ph_front_mine(heap);
    unsigned align_blocks = align_bytes <= PH_BLOCK_BYTES ? 1 : (unsigned)(align_bytes / PH_BLOCK_BYTES);
    uintptr_t run;
    if (front == NULL)
        return new_run(heap, pages, align_blocks, state);
    ph_block *head = align_blocks == 1 ? kept_by(front, pages) : NULL;
    if (head != NULL) {
        run = enliven(heap, head, pages, state);
    } else {
        run = new_run(heap, pages, align_blocks, state);
        if (run == 0)
            return 0;
        count_call(front);
        if (run & PH_RUN_CLEAN)
            ph_heap_grown(heap, front);
    }
    if (PH_UNLIKELY(ph_front_is_tick_due(front)))
        ph_heap_tick(heap, front);
    return run;
}

/* ---- free ------------------------------------------------------------------------------ */

void ph_large_retire(pageheap *heap, ph_block *head)
{
    uint64_t length = ph_load_relaxed(&head->large.pages);
    ph_fetch_sub_relaxed(&heap->large_live_pages, length);
    bool is_huge = length > PH_REGION_PAGES_MAX(heap);
    ph_front *front = ph_front_mine(heap);
    bool is_kept = false;
    bool is_over = false;
    if (front != NULL) {
        ph_front_enter(front);
        ph_front_count_free(front);
        is_kept = !is_huge && length > heap->block_pages && keep(front, head, length);
        is_over = ph_load_relaxed(&front->large_cached_pages) + ph_front_cached_pages(front) >
                  front->cache_limit_pages;
        ph_front_leave(front);
    }
    if (is_huge)
        ph_huge_release(heap, head);
    else if (!is_kept)
        ph_large_release(heap, head);
    if (is_over)
        ph_front_relimit(heap, front);
}

/* The run is the caller's from now on, in this state. */
static int take_from_caller(ph_block *head, uintptr_t address, uint64_t pages, uint32_t state)
{
    uint32_t expected = PH_LARGE_LIVE;
    if (address % PH_BLOCK_BYTES != 0 || (pages != 0 && pages != ph_load_relaxed(&head->large.pages)))
        return PAGEHEAP_EBADRUN;
    bool is_taken = ph_cas_acq_rel(&head->large.state, &expected, state); /* pairs with enliven */
    return is_taken ? 0 : PAGEHEAP_EBADRUN;
}

int ph_large_free(pageheap *heap, ph_block *head, uintptr_t address, uint64_t pages)
{
    int code = take_from_caller(head, address, pages, PH_LARGE_CACHED);
    if (code == 0)
        ph_large_retire(heap, head);
    return code;
}

int ph_large_claim(ph_block *block, uintptr_t address, uint64_t pages)
{
    if (ph_load_acquire(&block->kind) != PH_BLOCK_LARGE) /* pairs with form_run */
        return PAGEHEAP_EBADRUN;
    return take_from_caller(block, address, pages, PH_LARGE_CLAIMED);
}

void ph_large_cut(pageheap *heap, ph_block *head, uint64_t new_pages)
{
    uint64_t pages = ph_load_relaxed(&head->large.pages);
    unsigned blocks = blocks_of(heap, pages);
    unsigned kept = blocks_of(heap, new_pages);
    uintptr_t base = ph_block_base(head);
    ph_store_relaxed(&head->large.pages, new_pages);
    for (unsigned b = kept; b < blocks; b++)
        ph_block_reset(base + b * PH_BLOCK_BYTES, heap->page_log2, true);
    if (kept < blocks)
        ph_pool_give(heap, base + kept * PH_BLOCK_BYTES, blocks - kept);
    ph_fetch_sub_relaxed(&heap->large_live_pages, pages - new_pages);
    ph_heap_uncharge(heap, pages - new_pages);
    ph_store_release(&head->large.state, PH_LARGE_LIVE); /* pairs with the compare-and-swap in free */
}

void ph_large_return(pageheap *heap, ph_block *head, bool clean)
{
    head->large.clean = clean;
    ph_store_release(&head->large.state, PH_LARGE_CACHED); /* pairs with the compare-and-swap in free */
    ph_large_retire(heap, head);
}
