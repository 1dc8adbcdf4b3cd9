/* SPDX-License-Identifier: MIT */
/* block_check.c -- recount what block.c keeps, by the dullest means. */
#include "block/block.h"

static bool bit_at(const _Atomic uint64_t *word, unsigned page)
{
    return (ph_load_relaxed(word) >> (page % 64)) & 1;
}

typedef struct recount {
    unsigned unused, clean, longest, hole;
} recount;

/* One page's share; returns the invariant that it breaks, or NULL. */
static const char *count_page(const ph_block *block, unsigned page, recount *sum)
{
    bool used = bit_at(&block->used[page / 64], page);
    bool mark = bit_at(&ph_block_marks(block)[page / 64], page);
    bool last = bit_at(&ph_block_lasts(block)[page / 64], page);
    bool remote = bit_at(&block->remote[page / 64], page);
    if (remote && (!used || mark))
        return "B5: a remote bit is not at a freed run";
    if (used) {
        sum->hole = 0;
        return NULL;
    }
    if (mark)
        return "B4: an unused page is marked";
    sum->unused++;
    sum->clean += last;
    sum->hole++;
    if (sum->hole > sum->longest)
        sum->longest = sum->hole;
    return NULL;
}

const char *ph_block_check(const ph_block *block)
{
    recount sum = { 0, 0, 0, 0 };
    unsigned pages = ph_block_pages(block);
    for (unsigned page = 0; page < pages; page++) {
        const char *broken = count_page(block, page, &sum);
        if (broken != NULL)
            return broken;
    }
    for (unsigned page = pages; page < PH_BLOCK_PAGES_MAX; page++) {
        if (!ph_block_is_used(block, page) || ph_block_is_marked(block, page) ||
            bit_at(&ph_block_lasts(block)[page / 64], page))
            return "B6: pages beyond the end of the block are not plainly used";
    }
    if (sum.unused != block->unused_pages)
        return "B1: unused_pages is not the number of unused pages";
    if (sum.longest != block->longest_pages)
        return "B2: longest_pages is not the longest hole";
    for (unsigned page = block->longest_first; page < block->longest_first + sum.longest; page++) {
        if (ph_block_is_used(block, page))
            return "B2: no longest hole begins at longest_first";
    }
    if (sum.clean != block->clean_pages)
        return "B3: clean_pages is not the number of clean pages";
    return NULL;
}
