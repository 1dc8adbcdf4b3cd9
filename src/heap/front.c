/* SPDX-License-Identifier: MIT */
/* front.c -- the blocks of a front.  Every function here wants the front held. */
#include "heap/heap.h"

static bool is_on_dirty_list(const ph_front *front, const ph_block *block)
{
    return block->dirty.prev != NULL || front->dirty_first == block;
}

static void dirty_list_append(ph_front *front, ph_block *block)
{
    block->dirty.next = NULL;
    block->dirty.prev = front->dirty_last;
    if (front->dirty_last != NULL)
        front->dirty_last->dirty.next = block;
    else
        front->dirty_first = block;
    front->dirty_last = block;
}

static void dirty_list_remove(ph_front *front, ph_block *block)
{
    if (block->dirty.prev != NULL)
        block->dirty.prev->dirty.next = block->dirty.next;
    else
        front->dirty_first = block->dirty.next;
    if (block->dirty.next != NULL)
        block->dirty.next->dirty.prev = block->dirty.prev;
    else
        front->dirty_last = block->dirty.prev;
    block->dirty.prev = NULL;
    block->dirty.next = NULL;
}

void ph_front_refile(ph_front *front, ph_block *block)
{
    ph_index_update(&front->index, block);
    bool wanted = ph_block_dirty_pages(block) != 0;
    if (wanted == is_on_dirty_list(front, block))
        return;
    if (wanted)
        dirty_list_append(front, block);
    else
        dirty_list_remove(front, block);
}

void ph_front_rotate_dirty(ph_front *front, ph_block *block)
{
    if (!is_on_dirty_list(front, block))
        return;
    dirty_list_remove(front, block);
    dirty_list_append(front, block);
}

void ph_front_attach(ph_front *front, ph_block *block)
{
    unsigned pages = ph_block_pages(block);
    block->bin_index = PH_NO_BIN;
    block->dirty.prev = NULL;
    block->dirty.next = NULL;
    ph_store_relaxed(&block->kind, PH_BLOCK_PAGES);
    ph_store_release(ph_owner_of(block), front); /* pairs with ph_owner_at: kind first */
    ph_bump_relaxed(&front->block_count, 1);
    front->near_first_page = ph_block_base(block) / PH_WINDOW_BYTES * PH_WINDOW_PAGES;
    front->near_window = ph_window_of(ph_block_base(block));
    front->empty_blocks += block->unused_pages == pages;
    ph_bump_relaxed(&front->used_pages, pages - block->unused_pages);
    ph_bump_relaxed(&front->dirty_pages, ph_block_dirty_pages(block));
    ph_front_refile(front, block);
}

void ph_front_detach(ph_front *front, ph_block *block)
{
    unsigned pages = ph_block_pages(block);
    ph_index_remove(&front->index, block);
    if (is_on_dirty_list(front, block))
        dirty_list_remove(front, block);
    ph_drop_relaxed(&front->block_count, 1);
    front->empty_blocks -= block->unused_pages == pages;
    ph_drop_relaxed(&front->used_pages, pages - block->unused_pages);
    ph_drop_relaxed(&front->dirty_pages, ph_block_dirty_pages(block));
}

unsigned ph_front_take(ph_front *front, ph_block *block, unsigned first, unsigned pages)
{
    front->empty_blocks -= block->unused_pages == ph_block_pages(block);
    unsigned clean = ph_block_take(block, first, pages);
    ph_bump_relaxed(&front->used_pages, pages);
    ph_drop_relaxed(&front->dirty_pages, pages - clean);
    ph_bump_relaxed(&front->grown_pages, clean);
    ph_front_refile(front, block);
    return clean;
}

uintptr_t ph_front_cut_aligned(ph_front *front, unsigned pages, unsigned align_pages)
{
    /* A hole of pages + align - 1 surely has an aligned place; a shorter one may by luck. */
    unsigned safe = pages + align_pages - 1;
    unsigned ask = safe < front->block_pages ? safe : front->block_pages;
    ph_block *block = ph_index_best(&front->index, ask);
    if (block == NULL)
        return 0;
    int first = ph_block_find_aligned(block, pages, align_pages);
    if (first < 0)
        return 0;
    unsigned clean = ph_front_take(front, block, (unsigned)first, pages);
    return ph_block_address(block, (unsigned)first) | ph_front_clean_flag(front, clean, pages);
}

/* A front keeps one empty block, so that a program at the edge of one does not bounce; more go to the pool.
 * A block that is pending stays: whoever hung it up may still be at it. */
static void settle_if_empty(ph_front *front, ph_block *block)
{
    if (block->unused_pages != ph_block_pages(block))
        return;
    front->empty_blocks++;
    if (front->empty_blocks > 1 && ph_load_relaxed(&block->pending) == 0) {
        ph_front_detach(front, block);
        ph_pool_give(front->heap, ph_block_base(block), 1);
    }
}

/* So many used pages are unused now, and so many of them dirty. */
static void count_given(ph_front *front, unsigned pages, unsigned dirty_pages)
{
    ph_drop_relaxed(&front->used_pages, pages);
    ph_bump_relaxed(&front->dirty_pages, dirty_pages);
}

void ph_front_put_back(ph_front *front, ph_block *block, unsigned first, unsigned pages, bool clean)
{
    ph_block_give(block, first, pages, clean);
    count_given(front, pages, clean ? 0 : pages);
    ph_front_refile(front, block);
    settle_if_empty(front, block);
}

void ph_front_give(ph_front *front, ph_block *block, unsigned first, unsigned pages, bool clean)
{
    ph_heap_uncharge(front->heap, pages);
    ph_front_put_back(front, block, first, pages, clean);
}

void ph_front_give_singles(ph_front *front, ph_block *block, unsigned word, uint64_t bits)
{
    unsigned pages = ph_count_bits(bits);
    ph_block_give_singles(block, word, bits);
    count_given(front, pages, pages);
    ph_front_refile(front, block);
    ph_heap_uncharge(front->heap, pages);
    settle_if_empty(front, block);
}

/* Give the runs of one word that others have freed back.  Most are single pages: those in one step. */
static unsigned collect_word(ph_front *front, ph_block *block, unsigned word, uint64_t freed)
{
    uint64_t singles = freed & ph_load_relaxed(&ph_block_lasts(block)[word]);
    unsigned pages = ph_count_bits(singles);
    if (singles != 0)
        ph_block_give_singles(block, word, singles);
    count_given(front, pages, pages);
    for (uint64_t rest = freed & ~singles; rest != 0; rest &= rest - 1) {
        unsigned first = 64 * word + ph_lowest_bit(rest);
        unsigned length = ph_block_run_pages(block, first);
        ph_block_give(block, first, length, false);
        count_given(front, length, length);
        pages += length;
    }
    return pages;
}

static uint64_t collect_block(ph_front *front, ph_block *block)
{
    uint64_t pages = 0;
    for (unsigned w = 0; w < ph_block_words(block); w++) {
        uint64_t freed = ph_remote_take(block, w);
        if (freed != 0)
            pages += collect_word(front, block, w, freed);
    }
    if (pages != 0) {
        ph_front_refile(front, block);
        ph_heap_uncharge(front->heap, pages);
        settle_if_empty(front, block);
    }
    return pages;
}

static _Atomic(ph_block *) *stack_of(const ph_block *block)
{
    ph_front *owner = ph_load_acquire(ph_owner_of(block)); /* pairs with ph_front_attach */
    return owner != NULL && owner != &owner->heap->special ? &owner->pending : NULL;
}

void ph_front_notify(ph_block *block)
{
    ph_remote_notify(block, stack_of);
}

uint64_t ph_front_collect(ph_front *front)
{
    uint64_t pages = 0;
    ph_block *next;
    for (ph_block *block = ph_remote_pop_all(&front->pending); block != NULL; block = next) {
        next = ph_remote_take_down(block);
        if (ph_load_relaxed(ph_owner_of(block)) == front)
            pages += collect_block(front, block);
        else if (ph_remote_has_bits(block))
            ph_front_notify(block); /* the block has gone to another front since */
    }
    if (pages != 0)
        ph_bump_relaxed(&front->collected_pages, pages);
    return pages;
}

void ph_front_shed_empty(ph_front *front)
{
    unsigned bin = ph_index_bin_of_empty(front->block_pages);
    ph_block *next;
    for (ph_block *block = front->index.heads[bin]; block != NULL; block = next) {
        next = ph_load_relaxed(&block->bin.next);
        if (block->unused_pages != front->block_pages || ph_load_relaxed(&block->pending) != 0)
            continue;
        ph_front_detach(front, block);
        ph_pool_give(front->heap, ph_block_base(block), 1);
    }
}
