/* SPDX-License-Identifier: MIT */
/* index.c -- blocks in their bins.
 *
 * A bin's number is the class of its blocks' longest holes, then how full they are, the fullest first.  So
 * the best block stands in the first bin, from the class asked for on, that is not empty.
 */
#include "heap/index.h"

/* A class's holes have at least CLASS_MIN pages; `pages` belongs to the highest class that it reaches. */
static unsigned class_reached(unsigned pages)
{
    if (pages <= 32)
        return pages - 1;
    if (pages <= 64)
        return 32 + (pages - 33) / 4;
    return 40 + (pages - 65) / 16;
}

static unsigned class_min(unsigned class)
{
    if (class < 32)
        return class + 1;
    if (class < 40)
        return 33 + (class - 32) * 4;
    return 65 + (class - 40) * 16;
}

unsigned ph_index_bin_of(const ph_block *block)
{
    if (block->unused_pages == 0)
        return PH_NO_BIN;
    unsigned fullness = (block->unused_pages - 1u) * PH_FULLNESS / ph_block_pages(block);
    return class_reached(block->longest_pages) * PH_FULLNESS + fullness;
}

unsigned ph_index_bin_of_empty(unsigned block_pages)
{
    return class_reached(block_pages) * PH_FULLNESS + PH_FULLNESS - 1;
}

void ph_index_remove(ph_index *index, ph_block *block)
{
    unsigned bin = block->bin_index;
    if (bin == PH_NO_BIN)
        return;
    ph_block *next = ph_load_relaxed(&block->bin.next);
    ph_block *prev = ph_load_relaxed(&block->bin.prev);
    if (prev != NULL)
        ph_store_relaxed(&prev->bin.next, next);
    else
        index->heads[bin] = next;
    if (next != NULL)
        ph_store_relaxed(&next->bin.prev, prev);
    if (index->heads[bin] == NULL)
        index->filled[bin / 64] &= ~(UINT64_C(1) << (bin % 64));
    block->bin_index = PH_NO_BIN;
}

void ph_index_update(ph_index *index, ph_block *block)
{
    unsigned bin = ph_index_bin_of(block);
    if (bin == block->bin_index)
        return;
    ph_index_remove(index, block);
    if (bin == PH_NO_BIN)
        return;
    ph_block *next = index->heads[bin];
    ph_store_relaxed(&block->bin.prev, NULL);
    ph_store_relaxed(&block->bin.next, next);
    if (next != NULL)
        ph_store_relaxed(&next->bin.prev, block);
    index->heads[bin] = block;
    index->filled[bin / 64] |= UINT64_C(1) << (bin % 64);
    block->bin_index = (uint16_t)bin;
}

static ph_block *first_from(const ph_index *index, unsigned bin)
{
    for (unsigned w = bin / 64; w < PH_BIN_WORDS; w++) {
        uint64_t filled = index->filled[w];
        if (w == bin / 64)
            filled &= ~ph_low_mask(bin % 64);
        if (filled != 0)
            return index->heads[64 * w + ph_lowest_bit(filled)];
    }
    return NULL;
}

ph_block *ph_index_best(const ph_index *index, unsigned pages)
{
    unsigned class = class_reached(pages);
    if (class_min(class) != pages) {
        /* Holes of this class may be shorter than asked for: look at the first of each bin, no further. */
        for (unsigned bin = class * PH_FULLNESS; bin < (class + 1) * PH_FULLNESS; bin++) {
            ph_block *block = index->heads[bin];
            if (block != NULL && block->longest_pages >= pages)
                return block;
        }
        class += 1;
    }
    return first_from(index, class * PH_FULLNESS);
}

ph_block *ph_index_next(const ph_index *index, unsigned pages, const ph_block *block)
{
    if (block == NULL)
        return first_from(index, class_reached(pages) * PH_FULLNESS);
    ph_block *next = ph_load_relaxed(&block->bin.next);
    return next != NULL ? next : first_from(index, block->bin_index + 1u);
}
