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
    ph_store_release(ph_owner_of(block), front); /* pairs with the acquire in ph_run_free: kind first */
    ph_bump_relaxed(&front->block_count, 1);
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
 * A block on the pending stack stays: whoever hung it there may still be at it. */
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
    uint64_t singles = freed & ph_load_relaxed(&block->tags[word].last);
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
        if (atomic_load(&block->remote[w]) == 0)
            continue;
        uint64_t freed = atomic_exchange(&block->remote[w], 0); /* pairs with the fetch_or in give_remote */
        pages += collect_word(front, block, w, freed);
    }
    if (pages != 0) {
        ph_front_refile(front, block);
        ph_heap_uncharge(front->heap, pages);
        settle_if_empty(front, block);
    }
    return pages;
}

/* Sequentially consistent, as is the clearing of `pending` before it: see give_remote. */
static bool has_remote_bits(const ph_block *block)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        any |= atomic_load(&block->remote[w]);
    return any != 0;
}

static void push_pending(ph_front *owner, ph_block *block)
{
    ph_block *top = ph_load_relaxed(&owner->pending);
    do {
        ph_store_relaxed(&block->pending_next, top);
    } while (!ph_cas_weak_release(&owner->pending, &top, block)); /* pairs with collect's exchange */
}

void ph_front_notify(ph_block *block)
{
    /* The same order as collect's: whoever clears `pending` looks at the bits afterwards. */
    while (atomic_exchange(&block->pending, 1) == 0) {
        ph_front *owner = ph_load_acquire(ph_owner_of(block)); /* pairs with attach */
        if (owner != NULL && owner != &owner->heap->special) {
            push_pending(owner, block);
            return;
        }
        /* Another thread's notice had it collected, and it has left its front since: nothing to tell, unless
         * it has found a new owner and somebody kept quiet because of us. */
        atomic_exchange(&block->pending, 0);
        if (!has_remote_bits(block))
            return;
    }
}

uint64_t ph_front_collect(ph_front *front)
{
    if (ph_load_relaxed(&front->pending) == NULL)
        return 0;
    uint64_t pages = 0;
    ph_block *block = ph_exchange_acq_rel(&front->pending, NULL); /* pairs with ph_front_notify */
    while (block != NULL) {
        ph_block *next = ph_load_relaxed(&block->pending_next);
        /* Cleared before the bits are read: whoever sets one after that hangs the block up again. */
        atomic_exchange(&block->pending, 0);
        if (ph_load_relaxed(ph_owner_of(block)) == front)
            pages += collect_block(front, block);
        else if (has_remote_bits(block))
            ph_front_notify(block); /* the block has gone to another front since */
        block = next;
    }
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
