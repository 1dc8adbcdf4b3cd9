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

/* The longest, and of those the lowest, of nobody's below block `end` that has a block of `bits`. */
static ph_stretch find_stretch(const uint64_t *bits, const ph_stretch_map *map, unsigned end)
{
    for (unsigned blocks = PH_STRETCH_BLOCKS_MAX; blocks >= PH_STRETCH_BLOCKS_MIN; blocks /= 2) {
        uint64_t all = (UINT64_C(1) << blocks) - 1;
        for (unsigned first = 0; first + blocks <= end; first += blocks) {
            uint64_t free = map->untaken[first / 64] & ~map->kept[first / 64];
            if (((free >> first % 64) & all) == all && ((bits[first / 64] >> first % 64) & all) != 0)
                return (ph_stretch){ first, blocks };
        }
    }
    return (ph_stretch){ 0, 0 };
}

static int first_elsewhere(const uint64_t *bits, const ph_stretch_map *map, unsigned end, ph_stretch *stretch)
{
    ph_stretch found = find_stretch(bits, map, end);
    if (found.blocks == 0)
        return PH_NO_RUN;
    *stretch = found;
    return first_within(bits, stretch);
}

int ph_stretch_pick(const ph_stretch_map *map, unsigned usable, ph_stretch *stretch)
{
    int block = first_within(map->dirty, stretch);
    if (block == PH_NO_RUN)
        block = first_elsewhere(map->dirty, map, usable, stretch);
    if (block == PH_NO_RUN)
        block = first_within(map->untaken, stretch);
    if (block == PH_NO_RUN)
        block = ph_runsearch_first(map->dirty, PH_REGION_WORDS, 0, 1);
    if (block == PH_NO_RUN)
        block = first_elsewhere(map->untaken, map, usable, stretch);
    if (block == PH_NO_RUN)
        block = first_elsewhere(map->untaken, map, PH_REGION_BLOCKS_MAX, stretch);
    return block;
}

void ph_stretch_keep(ph_stretch_map *map, ph_stretch stretch, bool is_kept)
{
    for (unsigned b = stretch.first; b < stretch.first + stretch.blocks; b++) {
        uint64_t bit = UINT64_C(1) << b % 64;
        map->kept[b / 64] = is_kept ? map->kept[b / 64] | bit : map->kept[b / 64] & ~bit;
    }
}
