/* SPDX-License-Identifier: MIT */
/* index.h -- which block to cut a run from.
 *
 * The blocks of a front that have unused pages stand in bins, by their longest hole and then by how full
 * they are.  A request takes the block with the shortest hole that suffices, and of those the fullest, so
 * that long holes survive and blocks that are nearly empty become empty.
 */
#ifndef PH_HEAP_INDEX_H
#define PH_HEAP_INDEX_H

#include "block/block.h"

/* Holes of 1..32 pages have a class each, 33..64 one for four lengths, 65..512 one for sixteen. */
#define PH_HOLE_CLASSES 68
#define PH_FULLNESS     4
#define PH_BINS         (PH_HOLE_CLASSES * PH_FULLNESS)
#define PH_BIN_WORDS    ((PH_BINS + 63) / 64)
#define PH_NO_BIN       UINT16_MAX

typedef struct ph_index {
    ph_block *heads[PH_BINS];
    uint64_t filled[PH_BIN_WORDS]; /* bit b: heads[b] != NULL */
} ph_index;

/* Put a block where its numbers say, or take it out if it is full; the block may be in it or not. */
void ph_index_update(ph_index *index, ph_block *block);

/* Take a block out; it may be in it or not. */
void ph_index_remove(ph_index *index, ph_block *block);

/* The best block with a hole of at least `pages`, or NULL. */
ph_block *ph_index_best(const ph_index *index, unsigned pages);

/* All that may have such a hole, one after the other: the one after `block`, the first after NULL. */
ph_block *ph_index_next(const ph_index *index, unsigned pages, const ph_block *block);

/* The bin that the block's numbers ask for, PH_NO_BIN for a full block. */
unsigned ph_index_bin_of(const ph_block *block);

/* The bin that holds, among others, the blocks without a run. */
unsigned ph_index_bin_of_empty(unsigned block_pages);

#endif
