/* SPDX-License-Identifier: MIT */
/* pool.c -- a heap's blocks that are nobody's: taken, put back, purged.
 *
 * Blocks are handed out lowest first, those that still hold memory before those that do not.  One of several
 * threads that has a few blocks takes more of them apart (stretch.h).  Regions come and go in region.c.
 */
#include "heap/heap.h"

#include <string.h>

#include "base/assert.h"
#include "block/runsearch.h"
#include "heap/stretch.h"
#include "map/meta.h"

/* The region that holds `base`, or NULL (heap's lock held). */
static ph_region *region_of(pageheap *heap, uintptr_t base)
{
    ph_region *region = heap->regions;
    while (region != NULL && base - region->base >= (uint64_t)region->blocks * PH_BLOCK_BYTES)
        region = region->next;
    return region;
}

/* ---- taking (heap's lock held, but for claim_anywhere) --------------------------------- */

/* What somebody wants: adjacent blocks, or one block apart from those of others. */
typedef struct wish {
    unsigned blocks, align_blocks;
    ph_apart *apart; /* NULL, or where the last ones came from: claim_anywhere changes it */
    unsigned stretch_blocks_most;
} wish;

static int find_blocks(const ph_region *region, unsigned blocks, unsigned align_blocks)
{
    if (blocks > region->blocks)
        return PH_NO_RUN;
    if (blocks == 1 && align_blocks == 1) {
        int dirty = ph_runsearch_first(region->map.dirty, PH_REGION_WORDS, 0, 1);
        if (dirty != PH_NO_RUN)
            return dirty;
    }
    if (align_blocks > 1) {
        unsigned first = (unsigned)((0 - region->base / PH_BLOCK_BYTES) % align_blocks);
        return ph_runsearch_stepped(region->map.untaken, PH_REGION_WORDS, first, align_blocks, blocks);
    }
    return ph_runsearch_first(region->map.untaken, PH_REGION_WORDS, 0, blocks);
}

/* A short region has no room for several; and in one that does not begin at a multiple of the longest, the
 * marks of a stretch lie in more pieces of 4 KiB than they must. */
static bool has_stretches(const ph_region *region)
{
    return region->blocks >= 4 * PH_STRETCH_BLOCKS_MAX &&
           region->base % (PH_STRETCH_BLOCKS_MAX * PH_BLOCK_BYTES) == 0;
}

static int find_apart(const ph_region *region, const wish *wanted, ph_stretch *ret_stretch)
{
    if (!has_stretches(region) || ph_runsearch_first(region->map.untaken, PH_REGION_WORDS, 0, 1) == PH_NO_RUN)
        return PH_NO_RUN;
    if (region->serial == wanted->apart->region_serial)
        *ret_stretch = wanted->apart->stretch;
    return ph_stretch_pick(&region->map, region->committed_blocks, wanted->stretch_blocks_most, ret_stretch);
}

/* The blocks change hands: out of the pool's numbers.  True if they count as clean: if all of their pages
 * are, or some, where that is enough (ph_backing). */
static bool claim(pageheap *heap, ph_region *region, unsigned first, unsigned blocks)
{
    uint64_t dirty_pages = 0;
    for (unsigned b = first; b < first + blocks; b++) {
        if (!ph_bit_is_set(region->map.dirty, b))
            continue;
        const ph_block *block = ph_block_of_ours(ph_region_address(region, b));
        dirty_pages += ph_block_dirty_pages(block);
    }
    ph_range_clear(region->map.untaken, first, blocks);
    ph_range_clear(region->map.dirty, first, blocks);
    if (dirty_pages != 0)
        ph_fetch_sub_relaxed(&heap->pool_dirty_pages, dirty_pages);
    return dirty_pages <= (heap->backing->mixed_is_clean ? (uint64_t)blocks * heap->block_pages - 1 : 0);
}

/* Adjacent blocks that the caller has claimed: where they begin, and whether all of them read zero. */
typedef struct place {
    ph_region *region;
    unsigned first;
    bool is_clean;
} place;

/* Nobody keeps it any more. */
static void leave_apart(pageheap *heap, ph_apart *apart)
{
    for (ph_region *region = heap->regions; region != NULL; region = region->next) {
        if (region->serial == apart->region_serial)
            ph_stretch_keep(&region->map, apart->stretch, false);
    }
    apart->region_serial = 0;
}

/* The one who took blocks from *apart has taken one from this stretch. */
static void move_apart(pageheap *heap, ph_apart *apart, ph_region *region, ph_stretch stretch)
{
    leave_apart(heap, apart);
    ph_stretch_keep(&region->map, stretch, true);
    apart->region_serial = region->serial;
    apart->stretch = stretch;
}

/* *ret_stretch is the one that they are out of, if that matters. */
static int find_wanted(const ph_region *region, const wish *wanted, ph_stretch *ret_stretch)
{
    *ret_stretch = (ph_stretch){ 0, 0 };
    return wanted->apart != NULL ? find_apart(region, wanted, ret_stretch)
                                 : find_blocks(region, wanted->blocks, wanted->align_blocks);
}

/* Find and claim.  With `ready` only blocks that are usable count. */
static bool claim_anywhere(pageheap *heap, const wish *wanted, bool ready, place *ret_place)
{
    bool found = false;
    ph_mutex_lock(&heap->lock);
    for (ph_region *region = heap->regions; region != NULL && !found; region = region->next) {
        ph_stretch stretch;
        int first = find_wanted(region, wanted, &stretch);
        if (first == PH_NO_RUN || (ready && (unsigned)first + wanted->blocks > region->committed_blocks))
            continue;
        if (stretch.blocks != 0)
            move_apart(heap, wanted->apart, region, stretch);
        ret_place->region = region;
        ret_place->first = (unsigned)first;
        ret_place->is_clean = claim(heap, region, (unsigned)first, wanted->blocks);
        found = true;
    }
    ph_mutex_unlock(&heap->lock);
    return found;
}

/* Blocks come back into the pool's numbers (heap's lock held). */
static void put_back(pageheap *heap, ph_region *region, unsigned first, unsigned blocks)
{
    uint64_t dirty_pages = 0;
    for (unsigned b = first; b < first + blocks && b < region->committed_blocks; b++) {
        const ph_block *block = ph_block_of_ours(ph_region_address(region, b));
        unsigned dirty = ph_block_dirty_pages(block);
        if (dirty != 0)
            ph_range_set(region->map.dirty, b, 1);
        dirty_pages += dirty;
    }
    ph_range_set(region->map.untaken, first, blocks);
    if (dirty_pages != 0)
        ph_fetch_add_relaxed(&heap->pool_dirty_pages, dirty_pages);
}

static void unclaim(pageheap *heap, const place *where, unsigned blocks)
{
    ph_mutex_lock(&heap->lock);
    put_back(heap, where->region, where->first, blocks);
    ph_mutex_unlock(&heap->lock);
}

/* ---- the calls ------------------------------------------------------------------------- */

/* From the regions that there are, and then from a new one (grow_turn held). */
static bool claim_growing(pageheap *heap, const wish *wanted, place *ret_place)
{
    /* Whoever had the turn before us may have made what we need, or given it back. */
    if (claim_anywhere(heap, wanted, true, ret_place))
        return true;
    if (!claim_anywhere(heap, wanted, false, ret_place) &&
        (ph_region_add(heap, wanted->blocks, wanted->align_blocks) != 0 ||
         !claim_anywhere(heap, wanted, false, ret_place)))
        return false;
    if (ph_region_commit(heap, ret_place->region, ret_place->first + wanted->blocks) == 0)
        return true;
    unclaim(heap, ret_place, wanted->blocks);
    return claim_anywhere(heap, wanted, true, ret_place); /* given back while the system was asked */
}

uintptr_t ph_pool_take(pageheap *heap, unsigned blocks, unsigned align_blocks, bool *ret_clean)
{
    const wish wanted = { .blocks = blocks, .align_blocks = align_blocks };
    place where;
    bool found = claim_anywhere(heap, &wanted, true, &where);
    if (!found) {
        ph_mutex_lock(&heap->grow_turn);
        found = claim_growing(heap, &wanted, &where);
        ph_mutex_unlock(&heap->grow_turn);
    }
    if (!found)
        return 0;
    *ret_clean = where.is_clean;
    return ph_region_address(where.region, where.first);
}

/* To be apart is worth growing, but neither a wait for another thread's system call, nor a region, nor a
 * second refusal (grow_turn held). */
static bool claim_growing_apart(pageheap *heap, const wish *wanted, place *ret_place)
{
    if (!claim_anywhere(heap, wanted, false, ret_place))
        return false;
    if (ph_region_commit(heap, ret_place->region, ret_place->first + 1) == 0)
        return true;
    unclaim(heap, ret_place, 1);
    ph_pool_leave_apart(heap, wanted->apart);
    wanted->apart->is_refused = true;
    return false;
}

uintptr_t ph_pool_take_apart(pageheap *heap, ph_apart *apart, uint64_t has_blocks, bool *ret_clean)
{
    const wish wanted = { .blocks = 1,
                          .align_blocks = 1,
                          .apart = apart,
                          .stretch_blocks_most = ph_stretch_blocks_for(has_blocks) };
    place where;
    bool found = claim_anywhere(heap, &wanted, true, &where);
    if (!found && !apart->is_refused && ph_mutex_try_lock(&heap->grow_turn)) {
        found = claim_growing_apart(heap, &wanted, &where);
        ph_mutex_unlock(&heap->grow_turn);
    }
    if (!found)
        return ph_pool_take(heap, 1, 1, ret_clean);
    *ret_clean = where.is_clean;
    return ph_region_address(where.region, where.first);
}

void ph_pool_leave_apart(pageheap *heap, ph_apart *apart)
{
    ph_mutex_lock(&heap->lock);
    leave_apart(heap, apart);
    ph_mutex_unlock(&heap->lock);
    apart->is_refused = false;
}

/* Both turns are held, so EMPTY blocks that are not here were in the hands of threads that are no more. */
void ph_pool_after_fork(pageheap *heap)
{
    ph_store_relaxed(&heap->blocks_arrived, ph_load_relaxed(&heap->blocks_sent_for));
    for (ph_region *region = heap->regions; region != NULL; region = region->next) {
        memset(region->map.kept, 0, sizeof region->map.kept);
        for (unsigned b = 0; b < region->committed_blocks; b++) {
            const ph_block *block = ph_block_of_ours(ph_region_address(region, b));
            if (!ph_bit_is_set(region->map.untaken, b) && ph_load_relaxed(&block->kind) == PH_BLOCK_EMPTY)
                put_back(heap, region, b, 1);
        }
    }
}

/* 1: claimed.  0: somebody has it.  -1: no region holds it. */
static int claim_at(pageheap *heap, uintptr_t base, place *ret_place)
{
    ph_mutex_lock(&heap->lock);
    ph_region *region = region_of(heap, base);
    int result = region == NULL ? -1 : 0;
    if (region != NULL) {
        unsigned b = (unsigned)((base - region->base) / PH_BLOCK_BYTES);
        result = ph_bit_is_set(region->map.untaken, b);
        if (result != 0)
            *ret_place = (place){ region, b, claim(heap, region, b, 1) };
    }
    ph_mutex_unlock(&heap->lock);
    return result;
}

bool ph_pool_take_at(pageheap *heap, uintptr_t base)
{
    place where;
    ph_mutex_lock(&heap->grow_turn);
    int claimed = claim_at(heap, base, &where);
    while (claimed < 0 && ph_region_add(heap, 1, 1) == 0)
        claimed = claim_at(heap, base, &where);
    if (claimed > 0 && ph_region_commit(heap, where.region, where.first + 1) != 0) {
        unclaim(heap, &where, 1);
        claimed = 0;
    }
    ph_mutex_unlock(&heap->grow_turn);
    return claimed > 0;
}

void ph_pool_give(pageheap *heap, uintptr_t base, unsigned blocks)
{
    for (unsigned i = 0; i < blocks; i++) {
        ph_block *block = ph_block_of_ours(base + i * PH_BLOCK_BYTES);
        PH_ASSERT(block->unused_pages == heap->block_pages);
        ph_block_become_empty(heap, block);
    }
    ph_mutex_lock(&heap->lock);
    ph_region *region = region_of(heap, base);
    put_back(heap, region, (unsigned)((base - region->base) / PH_BLOCK_BYTES), blocks);
    ph_mutex_unlock(&heap->lock);
}

/* ---- giving memory back (purge_turn held) ---------------------------------------------- */

/* Claim adjacent blocks that hold memory, enough for `pages` if there are that many.  Returns how many. */
static unsigned claim_dirty(pageheap *heap, uint64_t pages, place *ret_place)
{
    uint64_t wanted = ph_div_ceil(pages, heap->block_pages);
    if (heap->backing->discard_blocks_max != 0)
        wanted = ph_min_u64(wanted, heap->backing->discard_blocks_max);
    unsigned blocks = 0;
    ph_mutex_lock(&heap->lock);
    for (ph_region *region = heap->regions; region != NULL && blocks == 0; region = region->next) {
        int first = ph_runsearch_first(region->map.dirty, PH_REGION_WORDS, 0, 1);
        if (first == PH_NO_RUN)
            continue;
        blocks = ph_runsearch_upward(region->map.dirty, PH_REGION_WORDS, (unsigned)first);
        blocks = (unsigned)ph_min_u64(blocks, wanted);
        ret_place->region = region;
        ret_place->first = (unsigned)first;
        (void)claim(heap, region, (unsigned)first, blocks);
    }
    ph_mutex_unlock(&heap->lock);
    return blocks;
}

uint64_t ph_pool_purge(pageheap *heap, uint64_t pages)
{
    uint64_t purged = 0;
    while (purged < pages) {
        place where = { NULL, 0, false };
        unsigned blocks = claim_dirty(heap, pages - purged, &where);
        if (blocks == 0)
            break;
        uintptr_t base = ph_region_address(where.region, where.first);
        size_t bytes = (size_t)blocks * PH_BLOCK_BYTES;
        int error = heap->backing->discard(heap, (void *)base, bytes);
        for (unsigned i = 0; i < blocks && error == 0; i++) {
            uintptr_t address = base + i * PH_BLOCK_BYTES;
            ph_block *block = ph_block_of_ours(address);
            purged += ph_block_dirty_pages(block);
            ph_block_reset(address, heap->page_log2, true);
        }
        for (unsigned i = 0; i < blocks && error != 0; i++) /* half done, perhaps: contents unknown */
            ph_block_reset(base + i * PH_BLOCK_BYTES, heap->page_log2, false);
        ph_pool_give(heap, base, blocks);
        if (error != 0)
            break; /* it will be tried again at the next tick or trim */
    }
    ph_fetch_add_relaxed(&heap->given_back_bytes, purged << heap->page_log2);
    return purged;
}

/* Unlink a region of which nobody uses a block. */
static ph_region *unlink_unused_region(pageheap *heap)
{
    ph_mutex_lock(&heap->lock);
    ph_region **link = &heap->regions;
    while (*link != NULL && ph_runsearch_upward((*link)->map.untaken, PH_REGION_WORDS, 0) < (*link)->blocks)
        link = &(*link)->next;
    ph_region *region = *link;
    if (region != NULL) {
        *link = region->next;
        (void)claim(heap, region, 0, region->blocks); /* a failed discard has left it dirty, perhaps */
        memset(region->map.kept, 0, sizeof region->map.kept); /* who keeps a part will not find it here */
    }
    ph_mutex_unlock(&heap->lock);
    return region;
}

void ph_pool_shrink(pageheap *heap)
{
    ph_region *kept = NULL; /* regions that the system would not unmap */
    if (heap->backing->keeps_regions)
        return;
    ph_mutex_lock(&heap->grow_turn);
    for (ph_region *region; (region = unlink_unused_region(heap)) != NULL;) {
        if (ph_region_unmap(heap, region)) {
            ph_meta_free(region, sizeof *region);
        } else {
            region->next = kept;
            kept = region;
        }
    }
    ph_mutex_lock(&heap->lock);
    while (kept != NULL) {
        ph_region *region = kept;
        kept = region->next;
        region->next = heap->regions;
        heap->regions = region;
        put_back(heap, region, 0, region->blocks);
    }
    ph_mutex_unlock(&heap->lock);
    ph_mutex_unlock(&heap->grow_turn);
}
