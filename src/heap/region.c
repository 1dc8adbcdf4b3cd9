/* SPDX-License-Identifier: MIT */
/* region.c -- address space is reserved, made usable, and given back.
 *
 * A region is reserved whole and made usable from the bottom, in steps that double, so that address space,
 * not memory and not commit charge, is what a new heap takes.  Whose its blocks are is pool.c's affair.
 */
#include "heap/heap.h"

#include <errno.h>

#include "map/meta.h"

/* The most blocks made usable beyond what is asked for: 64 MiB of address space. */
#define COMMIT_AHEAD_BLOCKS_MAX 32

/* ---- reserved -------------------------------------------------------------------------- */

static void advise_huge_pages(pageheap *heap, uintptr_t base, size_t bytes)
{
    if (heap->huge_pages == PAGEHEAP_HUGE_DEFAULT || heap->exec != NULL)
        return;
    bool wanted = heap->huge_pages == PAGEHEAP_HUGE_ALWAYS;
    (void)ph_heap_note(heap, ph_os.advise((void *)base, bytes, wanted ? PH_ADVICE_HUGE : PH_ADVICE_NOHUGE));
}

/* Reserve a region that holds at least `blocks`: the usual size, then smaller, then no more than needed. */
static int reserve_region(pageheap *heap, unsigned blocks, unsigned align_blocks, uintptr_t *ret_base,
                          size_t *ret_bytes)
{
    static const uint64_t smaller_bytes[] = { UINT64_C(64) << 20, PH_BLOCK_BYTES };
    uint64_t needed = (uint64_t)blocks * PH_BLOCK_BYTES;
    uint64_t align = (uint64_t)align_blocks * PH_BLOCK_BYTES;
    uint64_t bytes = ph_max_u64(heap->reserve_bytes, needed);
    void *base;
    int error = heap->backing->reserve(heap, bytes, align, &base);
    for (unsigned i = 0; error != 0 && i < 2; i++) {
        uint64_t less = ph_max_u64(smaller_bytes[i], needed);
        if (less >= bytes)
            continue;
        bytes = less;
        error = heap->backing->reserve(heap, bytes, align, &base);
    }
    if (error != 0)
        return error;
    *ret_base = (uintptr_t)base;
    *ret_bytes = bytes;
    return 0;
}

int ph_region_add(pageheap *heap, unsigned blocks, unsigned align_blocks)
{
    uintptr_t base;
    size_t bytes;
    ph_region *region = ph_meta_alloc(sizeof *region);
    if (region == NULL)
        return -ENOMEM;
    int error = reserve_region(heap, blocks, align_blocks, &base, &bytes);
    if (error != 0)
        goto undo_record;
    error = ph_windows_prepare(base, bytes);
    if (error != 0)
        goto undo_reservation;
    advise_huge_pages(heap, base, bytes);
    region->base = base;
    region->blocks = (uint32_t)(bytes / PH_BLOCK_BYTES);
    region->serial = ++heap->newest_region_serial;
    ph_range_set(region->map.untaken, 0, region->blocks);
    ph_fetch_add_relaxed(&heap->reserved_bytes, bytes);
    ph_fetch_add_relaxed(&heap->region_count, 1);
    ph_mutex_lock(&heap->lock);
    region->next = heap->regions;
    heap->regions = region;
    ph_mutex_unlock(&heap->lock);
    return 0;

undo_reservation:
    (void)heap->backing->unmap(heap, (void *)base, bytes);
undo_record:
    ph_meta_free(region, sizeof *region);
    return error;
}

/* ---- usable ---------------------------------------------------------------------------- */

int ph_region_commit(pageheap *heap, ph_region *region, unsigned end)
{
    unsigned committed = region->committed_blocks;
    if (committed >= end)
        return 0;
    unsigned ahead = committed < COMMIT_AHEAD_BLOCKS_MAX ? committed : COMMIT_AHEAD_BLOCKS_MAX;
    unsigned goal = end + ahead > region->blocks ? region->blocks : end + ahead;
    uintptr_t from = ph_region_address(region, committed);
    size_t bytes = (size_t)(goal - committed) * PH_BLOCK_BYTES;
    int error = heap->backing->use(heap, (void *)from, bytes);
    if (error != 0 && goal > end) {
        goal = end; /* ask for no more than is needed */
        bytes = (size_t)(goal - committed) * PH_BLOCK_BYTES;
        error = heap->backing->use(heap, (void *)from, bytes);
    }
    if (error != 0)
        return error;
    for (unsigned b = committed; b < goal; b++) {
        ph_block *block = ph_block_of_ours(ph_region_address(region, b));
        ph_block_reset(ph_region_address(region, b), heap->page_log2, true);
        ph_block_become_empty(heap, block);
    }
    ph_mutex_lock(&heap->lock);
    region->committed_blocks = goal;
    ph_mutex_unlock(&heap->lock);
    ph_fetch_add_relaxed(&heap->committed_bytes, bytes);
    return 0;
}

/* ---- given back ------------------------------------------------------------------------ */

static void forget_records(const ph_region *region)
{
    for (unsigned b = 0; b < region->committed_blocks; b++) {
        ph_block *block = ph_block_of_ours(ph_region_address(region, b));
        ph_store_relaxed(ph_owner_of(block), NULL);
        ph_store_relaxed(&block->kind, PH_BLOCK_NONE);
    }
}

/* Records first: once unmapped, the addresses may become somebody else's at any moment. */
bool ph_region_unmap(pageheap *heap, ph_region *region)
{
    size_t bytes = (size_t)region->blocks * PH_BLOCK_BYTES;
    forget_records(region);
    if (heap->backing->unmap(heap, (void *)region->base, bytes) != 0) {
        for (unsigned b = 0; b < region->committed_blocks; b++)
            ph_block_become_empty(heap, ph_block_of_ours(ph_region_address(region, b)));
        return false;
    }
    ph_fetch_sub_relaxed(&heap->reserved_bytes, bytes);
    ph_fetch_sub_relaxed(&heap->region_count, 1);
    ph_fetch_sub_relaxed(&heap->committed_bytes, (uint64_t)region->committed_blocks * PH_BLOCK_BYTES);
    return true;
}

void ph_regions_unmap_all(pageheap *heap)
{
    while (heap->regions != NULL) {
        ph_region *region = heap->regions;
        heap->regions = region->next;
        if (!ph_region_unmap(heap, region)) {
            /* The limit of mappings: the address space is lost, the memory is not. */
            (void)heap->backing->discard(heap, (void *)region->base,
                                         (size_t)region->committed_blocks * PH_BLOCK_BYTES);
            forget_records(region);
        }
        ph_meta_free(region, sizeof *region);
    }
}
