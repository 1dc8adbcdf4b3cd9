/* SPDX-License-Identifier: MIT */
/* purge.c -- give the memory of a front's holes back to the system.
 *
 * The front must not be held across a system call, and nobody may use a page meanwhile: holes are taken out
 * of their blocks as if for a caller, a batch at a time, discarded, and put back, clean where that worked.
 */
#include "heap/heap.h"

#include "block/runsearch.h"

#define EXTENTS_AT_A_TIME 32
#define BLOCKS_AT_A_TIME  16
#define LONG_EXTENT_PAGES 16

typedef struct extent {
    ph_block *block;
    unsigned first, pages;
} extent;

typedef struct batch {
    extent extents[EXTENTS_AT_A_TIME];
    unsigned count;
    uint64_t pages;
} batch;

static bool is_full(const batch *batch, uint64_t want_pages)
{
    return batch->count == EXTENTS_AT_A_TIME || batch->pages >= want_pages;
}

/* Take the block's dirty holes of at least `min_pages` as if for a caller, so that nobody else does. */
static void gather_from(ph_front *front, ph_block *block, unsigned min_pages, uint64_t want_pages,
                        batch *batch)
{
    uint64_t dirty[PH_BLOCK_WORDS];
    ph_block_dirty_bits(block, dirty);
    int first = 0;
    while (!is_full(batch, want_pages)) {
        first = ph_runsearch_first(dirty, ph_block_words(block), (unsigned)first, min_pages);
        if (first < 0)
            break;
        unsigned pages = ph_runsearch_upward(dirty, ph_block_words(block), (unsigned)first);
        (void)ph_front_take(front, block, (unsigned)first, pages);
        batch->extents[batch->count++] = (extent){ block, (unsigned)first, pages };
        batch->pages += pages;
        first += (int)pages;
        if ((unsigned)first >= ph_block_pages(block))
            break;
    }
}

/* A block that may have more stays the first, unless the system would not take what it had. */
static void gather(ph_front *front, unsigned min_pages, uint64_t want_pages, bool goes_on,
                   uint64_t *blocks_left, batch *batch)
{
    batch->count = 0;
    batch->pages = 0;
    for (unsigned i = 0; i < BLOCKS_AT_A_TIME; i++) {
        ph_block *block = front->dirty_first;
        if (block == NULL || *blocks_left == 0)
            break;
        gather_from(front, block, min_pages, want_pages, batch);
        bool has_more = is_full(batch, want_pages);
        if (!has_more || goes_on) {
            --*blocks_left;
            ph_front_rotate_dirty(front, block);
        }
        if (has_more)
            break;
    }
}

/* The block is not empty while we hold part of it, so it is a front's; which one's, may change. */
static void give_extent(const extent *e, bool clean, ph_front *own)
{
    for (;;) {
        ph_front *owner = ph_load_acquire(ph_owner_of(e->block)); /* pairs with ph_front_attach */
        ph_front_hold(owner, own);
        bool is_owner = ph_load_relaxed(ph_owner_of(e->block)) == owner;
        if (is_owner)
            ph_front_put_back(owner, e->block, e->first, e->pages, clean);
        ph_front_release(owner, own);
        if (is_owner)
            return;
    }
}

static uint64_t discard_batch(pageheap *heap, const batch *batch, ph_front *own)
{
    uint64_t given = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        const extent *e = &batch->extents[i];
        uintptr_t base = ph_block_address(e->block, e->first);
        size_t bytes = (size_t)e->pages << heap->page_log2;
        bool clean = heap->backing->discard(heap, (void *)base, bytes) == 0;
        give_extent(e, clean, own);
        given += clean ? e->pages : 0;
    }
    return given;
}

uint64_t ph_front_purge(pageheap *heap, ph_front *front, ph_front *own, uint64_t pages)
{
    uint64_t given = 0;
    for (unsigned min_pages = LONG_EXTENT_PAGES; given < pages; min_pages = 1) {
        uint64_t blocks_left = ph_load_relaxed(&front->block_count);
        bool is_refused = false;
        while (given < pages && blocks_left > 0) {
            batch batch;
            ph_front_hold(front, own);
            gather(front, min_pages, pages - given, is_refused, &blocks_left, &batch);
            bool is_done = front->dirty_first == NULL && batch.count == 0;
            ph_front_release(front, own);
            uint64_t discarded = discard_batch(heap, &batch, own);
            given += discarded;
            is_refused = discarded == 0;
            if (is_done)
                break;
        }
        if (min_pages == 1)
            break;
    }
    ph_fetch_add_relaxed(&heap->given_back_bytes, given << heap->page_log2);
    return given;
}
