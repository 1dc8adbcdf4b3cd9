/* SPDX-License-Identifier: MIT */
/* recount.c -- recount the heap: every front's F1 to F5, every block's B1 to B6, every region's G1 and G2.
 *
 * All fronts are held meanwhile, so the counts must agree exactly.  Each mismatch is one line on stderr with
 * both numbers.
 */
#include "heap/heap.h"

#include <string.h>

typedef struct recount {
    uint64_t blocks, empty, used, dirty, unfiled;
} recount;

static unsigned complain_number(char *text, uint64_t number)
{
    char digits[20];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    for (unsigned i = 0; i < count; i++)
        text[i] = digits[count - 1 - i];
    return count;
}

static int mismatch(const char *what, uint64_t kept, uint64_t counted)
{
    char line[160] = "pageheap: check: ";
    size_t at = strlen(line);
    size_t length = strlen(what) < 80 ? strlen(what) : 80;
    memcpy(line + at, what, length);
    at += length;
    memcpy(line + at, " kept ", 6);
    at += 6;
    at += complain_number(line + at, kept);
    memcpy(line + at, " counted ", 9);
    at += 9;
    at += complain_number(line + at, counted);
    line[at++] = '\n';
    ph_os_complain(line, at);
    return PAGEHEAP_EBADRUN;
}

static int compare(const char *what, uint64_t kept, uint64_t counted)
{
    return kept == counted ? 0 : mismatch(what, kept, counted);
}

/* ---- blocks ---------------------------------------------------------------------------- */

static int check_block(const pageheap *heap, const ph_block *block)
{
    unsigned kind = ph_load_relaxed(&block->kind);
    if (ph_block_is_long(kind))
        return 0;
    const char *broken = ph_block_check(block);
    if (broken != NULL)
        return mismatch(broken, block->number, kind);
    if (ph_remote_has_bits(block) && ph_load_relaxed(&block->pending) == 0)
        return mismatch("R1: pending flag of a block with remote bits", 0, 1);
    if (kind == PH_BLOCK_EMPTY)
        return compare("empty block's unused pages", block->unused_pages, heap->block_pages);
    return compare("block's bin", block->bin_index, ph_index_bin_of(block));
}

static void count_block(const ph_block *block, const ph_front *front, recount *sum)
{
    if (ph_load_relaxed(&block->kind) != PH_BLOCK_PAGES || ph_load_relaxed(ph_owner_of(block)) != front)
        return;
    unsigned pages = ph_block_pages(block);
    bool is_filed = block->dirty.prev != NULL || front->dirty_first == block;
    bool is_dirty = ph_block_dirty_pages(block) != 0;
    sum->blocks++;
    sum->empty += block->unused_pages == pages;
    sum->used += pages - block->unused_pages;
    sum->dirty += ph_block_dirty_pages(block);
    sum->unfiled += is_filed != is_dirty;
}

/* ---- fronts ---------------------------------------------------------------------------- */

static uint64_t count_kept(const ph_front *front)
{
    uint64_t kept = 0;
    for (unsigned pages = 1; pages <= front->block_pages; pages++) {
        ph_magazine_walk walk;
        for (bool more = ph_magazine_first(front->tops[pages], pages, &walk); more;
             more = ph_magazine_next(&walk))
            kept += (uint64_t)walk.count * pages;
    }
    return kept;
}

/* F4: a kept run is used, its mark as it should be, its length as filed. */
static bool is_kept_right(const ph_front *front, uintptr_t run, unsigned pages, bool mark)
{
    const ph_block *block = ph_block_of_ours(run);
    unsigned page = ph_block_page(block, run);
    return ph_load_relaxed(ph_owner_of(block)) == front && ph_block_is_used(block, page) &&
           ph_block_is_marked(block, page) == mark && ph_block_run_pages(block, page) == pages;
}

/* The same of a place in a magazine, which also says where the mark is. */
static bool is_place_right(const ph_front *front, const ph_kept *kept, unsigned pages)
{
    const ph_block *block = ph_block_of_ours(kept->run);
    unsigned page = ph_block_page(block, kept->run);
    return is_kept_right(front, kept->run, pages, false) && kept->mark == ph_block_mark_of(block, page) &&
           (kept->run & PH_RUN_BIT) == page % 8;
}

static int check_kept(const ph_front *front)
{
    uint64_t wrong = 0;
    unsigned hot_pages = (unsigned)(ph_load_relaxed(&front->hot_pages) & ~PH_HOT_OUT);
    if (ph_load_relaxed(&front->hot_run) != 0)
        wrong += ph_front_is_shared(front) || front->has_labels ||
                 !is_kept_right(front, ph_load_relaxed(&front->hot_run), hot_pages, true);
    for (unsigned pages = 1; pages <= front->block_pages; pages++) {
        ph_magazine_walk walk;
        for (bool more = ph_magazine_first(front->tops[pages], pages, &walk); more;
             more = ph_magazine_next(&walk)) {
            for (unsigned i = 0; i < walk.count; i++)
                wrong += !is_place_right(front, &walk.runs[i], pages);
        }
    }
    return compare("F4: kept runs that are not", 0, wrong);
}

static bool is_near_right(const ph_front *front)
{
    if (front->near_window == &ph_nobodys_window)
        return front->near_first_page == 0 && ph_load_relaxed(&front->block_count) == 0;
    return ph_load_relaxed(&ph_windows[front->near_first_page / PH_WINDOW_PAGES]) == front->near_window &&
           front->near_first_page % PH_WINDOW_PAGES == 0;
}

static int check_front(const pageheap *heap, const ph_front *front)
{
    recount sum = { 0 };
    for (const ph_region *region = heap->regions; region != NULL; region = region->next) {
        for (unsigned b = 0; b < region->committed_blocks; b++)
            count_block(ph_block_of_ours(ph_region_address(region, b)), front, &sum);
    }
    int code = compare("F1: blocks of a front", ph_load_relaxed(&front->block_count), sum.blocks);
    code = compare("F1: empty blocks of a front", front->empty_blocks, sum.empty) | code;
    code = compare("F2: used pages of a front", ph_load_relaxed(&front->used_pages), sum.used) | code;
    code = compare("F3: dirty pages of a front", ph_load_relaxed(&front->dirty_pages), sum.dirty) | code;
    code = compare("F4: cached pages of a front", ph_front_cached_pages(front), count_kept(front)) | code;
    code = compare("F5: blocks wrongly on or off the dirty list", 0, sum.unfiled) | code;
    code = compare("F8: first page of the window that is near", 1, is_near_right(front)) | code;
    return check_kept(front) | code;
}

/* ---- regions --------------------------------------------------------------------------- */

static int check_region(const pageheap *heap, const ph_region *region, uint64_t *dirty_pages)
{
    int code = 0;
    for (unsigned b = 0; b < region->committed_blocks; b++) {
        const ph_block *block = ph_block_of_ours(ph_region_address(region, b));
        bool is_untaken = ph_bit_is_set(region->map.untaken, b);
        bool is_dirty = ph_bit_is_set(region->map.dirty, b);
        bool is_empty = ph_load_relaxed(&block->kind) == PH_BLOCK_EMPTY;
        /* An empty block outside the pool is in the hands of a thread, on its way to or from there. */
        if (!is_untaken && is_empty) {
            code = compare("G2: dirty bit of a block outside the pool", is_dirty, 0) | code;
            continue;
        }
        code = compare("G1: block's pool bit", is_untaken, is_empty) | code;
        if (is_empty) {
            *dirty_pages += ph_block_dirty_pages(block);
            code = compare("G2: block's dirty bit", is_dirty, ph_block_dirty_pages(block) != 0) | code;
        }
        code = check_block(heap, block) | code;
    }
    return code;
}

/* All fronts are held, so no thread is in the middle of moving a run or a block. */
int ph_heap_check(pageheap *heap)
{
    int code = 0;
    uint64_t dirty_pages = 0;
    ph_fronts_lock_all(heap);
    ph_mutex_lock(&heap->special.lock);
    ph_mutex_lock(&heap->lock);
    for (const ph_region *region = heap->regions; region != NULL; region = region->next)
        code = check_region(heap, region, &dirty_pages) | code;
    code = compare("dirty pages of the pool", ph_load_relaxed(&heap->pool_dirty_pages), dirty_pages) | code;
    code = check_front(heap, &heap->special) | code;
    for (PH_EACH_FRONT(front, heap))
        code = check_front(heap, front) | code;
    ph_mutex_unlock(&heap->lock);
    ph_mutex_unlock(&heap->special.lock);
    ph_fronts_unlock_all(heap);
    return code == 0 ? 0 : PAGEHEAP_EBADRUN;
}
