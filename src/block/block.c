/* SPDX-License-Identifier: MIT */
/* block.c -- one 2 MiB block: the moment a page changes hands.
 *
 * This file knows no heap, no thread and no system: the caller brings the lock and the record, so every
 * path here is tested by itself.  The invariants stand in block.h.
 *
 * longest_pages is exact after every call.  Taking from a hole that is not the longest leaves it alone;
 * giving back measures only the hole that grew; only cutting the longest hole recounts the block.
 */
#include "block/block.h"

#include "base/assert.h"
#include "block/runsearch.h"

void ph_block_place_tags(ph_block *block, _Atomic uint64_t *marks, _Atomic uint64_t *lasts)
{
    int32_t marks_at = (int32_t)((intptr_t)marks - (intptr_t)block);
    int32_t lasts_at = (int32_t)((intptr_t)lasts - (intptr_t)block);
    PH_ASSERT((intptr_t)block + marks_at == (intptr_t)marks && (intptr_t)block + lasts_at == (intptr_t)lasts);
    /* Others may be reading where a block lies while it changes hands: write only what is new. */
    if (block->marks_at != marks_at)
        block->marks_at = marks_at;
    if (block->lasts_at != lasts_at)
        block->lasts_at = lasts_at;
}

void ph_block_init(ph_block *block, uintptr_t base, unsigned page_log2, bool clean)
{
    uint32_t number = (base >> PH_BLOCK_LOG2) & ((1u << 27) - 1);
    /* As above. */
    if (block->number != number)
        block->number = number & ((1u << 27) - 1);
    if (block->page_log2 != page_log2)
        block->page_log2 = page_log2 & 31;
    unsigned pages = ph_block_pages(block);
    block->unused_pages = (uint16_t)pages;
    block->longest_pages = (uint16_t)pages;
    block->longest_first = 0;
    block->clean_pages = (uint16_t)(clean ? pages : 0);
    uint64_t present = ph_low_mask(pages);
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++) {
        uint64_t here = w < ph_block_words(block) ? present : 0;
        ph_store_relaxed(&block->used[w], ~here);
        ph_store_relaxed(&ph_block_marks(block)[w], 0);
        ph_store_relaxed(&ph_block_lasts(block)[w], clean ? here : 0);
        ph_store_relaxed(&block->remote[w], 0);
    }
}

void ph_block_unused_bits(const ph_block *block, uint64_t ret_bits[PH_BLOCK_WORDS])
{
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        ret_bits[w] = ~ph_load_relaxed(&block->used[w]);
}

void ph_block_dirty_bits(const ph_block *block, uint64_t ret_bits[PH_BLOCK_WORDS])
{
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        ret_bits[w] = ~(ph_load_relaxed(&block->used[w]) | ph_load_relaxed(&ph_block_lasts(block)[w]));
}

int ph_block_find_aligned(const ph_block *block, unsigned pages, unsigned align_pages)
{
    uint64_t unused[PH_BLOCK_WORDS];
    ph_block_unused_bits(block, unused);
    return ph_runsearch_stepped(unused, ph_block_words(block), 0, align_pages, pages);
}

static inline void word_change(_Atomic uint64_t *word, uint64_t clear, uint64_t set)
{
    ph_store_relaxed(word, (ph_load_relaxed(word) & ~clear) | set);
}

static inline unsigned last_word_of(unsigned first, unsigned pages)
{
    return (first + pages - 1) / 64;
}

/* Mark the pages used and not clean; returns how many were clean. */
static unsigned occupy(ph_block *block, unsigned first, unsigned pages)
{
    unsigned clean = 0;
    for (unsigned w = first / 64; w <= last_word_of(first, pages); w++) {
        uint64_t range = ph_range_in_word(w, first, pages);
        uint64_t used = ph_load_relaxed(&block->used[w]);
        PH_ASSERT((used & range) == 0);
        clean += ph_count_bits(ph_load_relaxed(&ph_block_lasts(block)[w]) & range);
        word_change(&ph_block_lasts(block)[w], range, 0);
        ph_store_relaxed(&block->used[w], used | range);
    }
    ph_block_cut_after(block, first + pages - 1);
    block->unused_pages = (uint16_t)(block->unused_pages - pages);
    block->clean_pages = (uint16_t)(block->clean_pages - clean);
    return clean;
}

/* Unused pages directly below `page`, and from `page` upward. */
static unsigned unused_below(const ph_block *block, unsigned page)
{
    unsigned length = 0;
    unsigned inside = page % 64;
    for (int w = (int)(page / 64); w >= 0; w--) {
        uint64_t used = ph_load_relaxed(&block->used[w]) & ph_low_mask(inside);
        if (used != 0)
            return length + inside - 1 - ph_highest_bit(used);
        length += inside;
        inside = 64;
    }
    return length;
}

static unsigned unused_upward(const ph_block *block, unsigned page)
{
    unsigned length = 0;
    unsigned from = page % 64;
    for (unsigned w = page / 64; w < PH_BLOCK_WORDS; w++) {
        uint64_t used = ph_load_relaxed(&block->used[w]) >> from;
        if (used != 0)
            return length + ph_lowest_bit(used);
        length += 64 - from;
        from = 0;
    }
    return length;
}

/* A hole of `known` pages begins at `first`. */
static void recount_longest(ph_block *block, unsigned known, unsigned first)
{
    uint64_t unused[PH_BLOCK_WORDS];
    ph_block_unused_bits(block, unused);
    block->longest_pages =
        (uint16_t)ph_runsearch_longest(unused, ph_block_words(block), block->longest_pages, known, &first);
    block->longest_first = (uint16_t)first;
}

unsigned ph_block_take(ph_block *block, unsigned first, unsigned pages)
{
    unsigned below = unused_below(block, first);
    unsigned upward = unused_upward(block, first);
    unsigned above = upward - pages;
    unsigned clean = occupy(block, first, pages);
    if (below + upward == block->longest_pages)
        recount_longest(block, below > above ? below : above, below > above ? first - below : first + pages);
    return clean;
}

/* One-page runs, a word at a time: what a refill of the smallest cache asks for. */
static unsigned take_singles(ph_block *block, unsigned count, uint16_t *ret_starts, unsigned *ret_clean_pages)
{
    unsigned taken = 0;
    for (unsigned w = 0; w < ph_block_words(block) && taken < count; w++) {
        uint64_t used = ph_load_relaxed(&block->used[w]);
        if (~used == 0)
            continue;
        uint64_t clean = ph_load_relaxed(&ph_block_lasts(block)[w]);
        uint64_t range = 0;
        for (uint64_t unused = ~used; unused != 0 && taken < count; unused &= unused - 1) {
            uint64_t bit = unused & -unused;
            range |= bit;
            ret_starts[taken++] =
                (uint16_t)((64 * w + ph_lowest_bit(bit)) | (clean & bit ? PH_START_CLEAN : 0));
        }
        *ret_clean_pages += ph_count_bits(clean & range);
        ph_store_relaxed(&block->used[w], used | range);
        ph_store_relaxed(&ph_block_lasts(block)[w], clean | range);
    }
    block->unused_pages = (uint16_t)(block->unused_pages - taken);
    block->clean_pages = (uint16_t)(block->clean_pages - *ret_clean_pages);
    if (taken == 0)
        return 0;
    unsigned behind = (ret_starts[taken - 1] & PH_START_MASK) + 1u; /* nothing from here on was taken */
    unsigned hole_end = (unsigned)block->longest_first + block->longest_pages;
    if (behind > block->longest_first)
        recount_longest(block, behind < hole_end ? hole_end - behind : 0, behind);
    return taken;
}

unsigned ph_block_take_many(ph_block *block, unsigned pages, unsigned count, uint16_t *ret_starts,
                            unsigned *ret_clean_pages)
{
    *ret_clean_pages = 0;
    if (pages == 1)
        return take_singles(block, count, ret_starts, ret_clean_pages);
    unsigned taken = 0;
    unsigned first = block->longest_first;
    unsigned fitting = block->longest_pages / pages;
    bool is_mixed = false;
    for (; taken < count && taken < fitting && !is_mixed; taken++, first += pages) {
        unsigned clean = occupy(block, first, pages);
        *ret_clean_pages += clean;
        is_mixed = clean != 0 && clean != pages;
        ret_starts[taken] =
            (uint16_t)(first | (clean == pages ? PH_START_CLEAN : 0) | (is_mixed ? PH_START_MIXED : 0));
    }
    if (taken != 0)
        recount_longest(block, block->longest_pages - taken * pages, first);
    return taken;
}

void ph_block_give(ph_block *block, unsigned first, unsigned pages, bool clean)
{
    for (unsigned w = first / 64; w <= last_word_of(first, pages); w++) {
        uint64_t range = ph_range_in_word(w, first, pages);
        uint64_t used = ph_load_relaxed(&block->used[w]);
        PH_ASSERT((used & range) == range);
        PH_ASSERT((ph_load_relaxed(&ph_block_marks(block)[w]) & range) == 0);
        word_change(&ph_block_lasts(block)[w], range, clean ? range : 0);
        ph_store_relaxed(&block->used[w], used & ~range);
    }
    block->unused_pages = (uint16_t)(block->unused_pages + pages);
    if (clean)
        block->clean_pages = (uint16_t)(block->clean_pages + pages);
    unsigned below = unused_below(block, first);
    unsigned hole = below + unused_upward(block, first);
    if (hole > block->longest_pages) {
        block->longest_pages = (uint16_t)hole;
        block->longest_first = (uint16_t)(first - below);
    }
}

void ph_block_give_singles(ph_block *block, unsigned word, uint64_t bits)
{
    _Atomic uint64_t *last = &ph_block_lasts(block)[word];
    ph_store_relaxed(last, ph_load_relaxed(last) & ~bits);
    ph_store_relaxed(&block->used[word], ph_load_relaxed(&block->used[word]) & ~bits);
    block->unused_pages = (uint16_t)(block->unused_pages + ph_count_bits(bits));
    unsigned known = block->longest_pages;
    block->longest_pages = PH_BLOCK_PAGES_MAX; /* any bound that holds */
    recount_longest(block, known, block->longest_first);
}

unsigned ph_block_run_pages(const ph_block *block, unsigned page)
{
    for (unsigned w = page / 64; w < ph_block_words(block); w++) {
        uint64_t last = ph_load_relaxed(&ph_block_lasts(block)[w]);
        if (w == page / 64)
            last &= ~ph_low_mask(page % 64);
        if (last != 0)
            return 64 * w + ph_lowest_bit(last) + 1 - page;
    }
    return 0;
}

int ph_block_run_start(const ph_block *block, unsigned page)
{
    for (int w = (int)(page / 64); w >= 0; w--) {
        uint64_t reach = w == (int)(page / 64) ? ph_low_mask(page % 64 + 1) : ~UINT64_C(0);
        uint64_t first = ph_load_relaxed(&ph_block_marks(block)[w]) & reach;
        if (first != 0) {
            int start = 64 * w + (int)ph_highest_bit(first);
            return (unsigned)start + ph_block_run_pages(block, (unsigned)start) > page ? start : -1;
        }
    }
    return -1;
}

void ph_block_cut_after(ph_block *block, unsigned page)
{
    _Atomic uint64_t *last = &ph_block_lasts(block)[page / 64];
    ph_store_relaxed(last, ph_load_relaxed(last) | UINT64_C(1) << (page % 64));
}

void ph_block_uncut_after(ph_block *block, unsigned page)
{
    _Atomic uint64_t *last = &ph_block_lasts(block)[page / 64];
    ph_store_relaxed(last, ph_load_relaxed(last) & ~(UINT64_C(1) << (page % 64)));
}
