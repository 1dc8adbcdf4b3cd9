/* SPDX-License-Identifier: MIT */
/* stretch.c -- pick a block for who is to be apart from others.
 *
 * A stretch begins at a multiple of its length, which divides 64: so it lies in one word of each bitmap.
 * Nothing here is guarded: the caller holds what guards the region's map.
 */
#include "heap/stretch.h"

#include "base/bits.h"
#include "base/units.h"
#include "block/runsearch.h"

static int first_within(const uint64_t *bits, const ph_stretch *stretch)
{
    int first = ph_runsearch_first(bits, PH_REGION_WORDS, stretch->first, 1);
    return first != PH_NO_RUN && (unsigned)first < stretch->first + stretch->blocks ? first : PH_NO_RUN;
}

/* Of a length that divides 64, at a multiple of that. */
static inline uint64_t bits_at(const uint64_t *bits, unsigned first, unsigned blocks)
{
    return (bits[first / 64] >> first % 64) & ph_low_mask(blocks);
}

static bool has_all(const uint64_t *bits, unsigned first, unsigned blocks)
{
    return bits_at(bits, first, blocks) == ph_low_mask(blocks);
}

/* The longest, and of those the lowest, of nobody's below block `end` that has one of `wanted` and none of
 * `not_wanted`, if that is not NULL; of no block if there is none. */
static ph_stretch find_stretch(const ph_stretch_map *map, unsigned end, unsigned blocks_most,
                               const uint64_t *wanted, const uint64_t *not_wanted)
{
    for (unsigned blocks = blocks_most; blocks >= PH_STRETCH_BLOCKS_MIN; blocks /= 2) {
        for (unsigned first = 0; first + blocks <= end; first += blocks) {
            if (has_all(map->untaken, first, blocks) && bits_at(wanted, first, blocks) != 0 &&
                (not_wanted == NULL || bits_at(not_wanted, first, blocks) == 0))
                return (ph_stretch){ first, blocks };
        }
    }
    return (ph_stretch){ 0, 0 };
}

/* The one that begins less than the shortest stretch above `usable`. */
static ph_stretch next_stretch(const ph_stretch_map *map, unsigned usable, unsigned blocks_most)
{
    unsigned first = (usable + PH_STRETCH_BLOCKS_MIN - 1) / PH_STRETCH_BLOCKS_MIN * PH_STRETCH_BLOCKS_MIN;
    for (unsigned blocks = blocks_most; blocks >= PH_STRETCH_BLOCKS_MIN; blocks /= 2) {
        if (first % blocks == 0 && first < PH_REGION_BLOCKS_MAX && has_all(map->untaken, first, blocks) &&
            bits_at(map->kept, first, blocks) == 0)
            return (ph_stretch){ first, blocks };
    }
    return (ph_stretch){ 0, 0 };
}

static int enter(const uint64_t *bits, ph_stretch found, ph_stretch *stretch)
{
    if (found.blocks == 0)
        return PH_NO_RUN;
    *stretch = found;
    return first_within(bits, stretch);
}

int ph_stretch_pick(const ph_stretch_map *map, unsigned usable, unsigned blocks_most, ph_stretch *stretch)
{
    int block = first_within(map->dirty, stretch);
    if (block == PH_NO_RUN)
        block = enter(map->dirty, find_stretch(map, usable, blocks_most, map->dirty, NULL), stretch);
    if (block == PH_NO_RUN)
        block = ph_runsearch_first(map->dirty, PH_REGION_WORDS, 0, 1);
    if (block == PH_NO_RUN)
        block = first_within(map->untaken, stretch);
    if (block == PH_NO_RUN)
        block = enter(map->untaken, find_stretch(map, usable, blocks_most, map->untaken, map->kept), stretch);
    if (block == PH_NO_RUN)
        block = enter(map->untaken, next_stretch(map, usable, blocks_most), stretch);
    return block;
}

void ph_stretch_keep(ph_stretch_map *map, ph_stretch stretch, bool is_kept)
{
    if (is_kept)
        ph_range_set(map->kept, stretch.first, stretch.blocks);
    else
        ph_range_clear(map->kept, stretch.first, stretch.blocks);
}
