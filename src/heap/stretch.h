/* SPDX-License-Identifier: MIT */
/* stretch.h -- which block a thread takes, so that the blocks of several threads lie apart.
 *
 * A processor fetches ahead not only what is used but also what lies near, within 4 KiB.  Where two threads'
 * blocks lie in turn, so do the marks of these, and the processors take them from each other all the time,
 * though no thread touches the other's.  So a thread has, as far as possible, 32 adjacent blocks to itself,
 * or 16, or 8: a stretch.  The marks of 32 fill half of such a piece of memory; more at once would be more to
 * make usable (docs/design/pool.md).
 */
#ifndef PH_HEAP_STRETCH_H
#define PH_HEAP_STRETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

#define PH_STRETCH_BLOCKS_MIN 8
#define PH_STRETCH_BLOCKS_MAX 32

/* Blocks of a region: `blocks` of them from a multiple of that on; none if 0. */
typedef struct ph_stretch {
    uint32_t first, blocks;
} ph_stretch;

/* A region's blocks. */
typedef struct ph_stretch_map {
    uint64_t untaken[PH_REGION_WORDS]; /* nobody's */
    uint64_t dirty[PH_REGION_WORDS];   /* those of them that still hold memory */
    uint64_t kept[PH_REGION_WORDS];    /* in somebody's stretch: others take them only where they must */
} ph_stretch_map;

/* How long a stretch is for who has so many blocks: no longer than what there is, or much would lie idle. */
static inline unsigned ph_stretch_blocks_for(uint64_t has_blocks)
{
    return has_blocks >= 32 ? PH_STRETCH_BLOCKS_MAX : has_blocks >= 16 ? 16 : PH_STRETCH_BLOCKS_MIN;
}

/* For regions that are longer than a few stretches and begin at a multiple of the longest.
 * The best of the untaken blocks for who has *stretch, or PH_NO_RUN if none would be apart.  Blocks below
 * `usable` can be used at once.  In this order:
 *
 *     a dirty block of *stretch
 *     a dirty block of another stretch of which nobody has a block, whoever keeps that: what holds memory is
 *         used again before more does
 *     any dirty block
 *     any block of *stretch
 *     one of another stretch of which nobody has a block, and that nobody keeps
 *     the first of the stretch that begins at `usable`, or next to it
 *
 * Other stretches are of `blocks_most` at most.  If the block is of one, that becomes *stretch, and is the
 * caller's to keep. */
int ph_stretch_pick(const ph_stretch_map *map, unsigned usable, unsigned blocks_most, ph_stretch *stretch);

/* Somebody keeps it from now on, or nobody. */
void ph_stretch_keep(ph_stretch_map *map, ph_stretch stretch, bool is_kept);

#endif
