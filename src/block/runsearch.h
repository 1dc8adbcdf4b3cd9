/* SPDX-License-Identifier: MIT */
/* runsearch.h -- runs of set bits in up to 512 of them.
 *
 * One search serves the pages of a block and the blocks of a region.  A set bit is an unused page or block;
 * bit i of word w stands for number 64 * w + i.  All functions are pure.
 */
#ifndef PH_BLOCK_RUNSEARCH_H
#define PH_BLOCK_RUNSEARCH_H

#include <stdint.h>

#define PH_NO_RUN (-1)

/* First position of the lowest run of at least `length` bits that begins at or after bit `from`, or
 * PH_NO_RUN.  length 1 .. 64 * words. */
int ph_runsearch_first(const uint64_t *bits, unsigned words, unsigned from, unsigned length);

/* The same for a run that begins at `from` or a multiple of `step` above it. */
int ph_runsearch_stepped(const uint64_t *bits, unsigned words, unsigned from, unsigned step, unsigned length);

/* Length of the longest run, and where one such begins.  No run is longer than `bound`: the search may stop
 * at one of that length.  A run of `known` bits, 0 if none is known, begins at *first: it spares the search
 * all shorter ones. */
unsigned ph_runsearch_longest(const uint64_t *bits, unsigned words, unsigned bound, unsigned known,
                              unsigned *first);

/* How many set bits lie from `position` upward without a gap. */
unsigned ph_runsearch_upward(const uint64_t *bits, unsigned words, unsigned position);

#endif
