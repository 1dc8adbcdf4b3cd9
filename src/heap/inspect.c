/* SPDX-License-Identifier: MIT */
/* inspect.c -- find the run at an address, walk all runs and blocks. */
#include "heap/inspect.h"

#include "block/runsearch.h"
#include "heap/heap.h"

/* ---- find ------------------------------------------------------------------------------ */

static void describe(pageheap *heap, uintptr_t start, uint64_t pages, pageheap_run *ret_run)
{
    *ret_run = (pageheap_run){ .heap = heap, .start = (void *)start, .pages = pages };
}

/* The block may have gone back to the system by now: its heap is who the caller saw, not what it says. */
static bool find_long(pageheap *heap, const ph_block *head, uintptr_t address, pageheap_run *ret_run)
{
    uintptr_t base = ph_block_base(head);
    uint64_t pages = ph_load_relaxed(&head->large.pages);
    if (ph_load_acquire(&head->large.state) != PH_LARGE_LIVE) /* pairs with enliven */
        return false;
    if (address - base >= pages << heap->page_log2)
        return false;
    describe(heap, base, pages, ret_run);
    return true;
}

static bool find_short(const ph_front *owner, const ph_block *block, uintptr_t address, pageheap_run *ret_run)
{
    pageheap *heap = owner->heap;
    int first = ph_block_run_start(block, ph_block_page(block, address));
    if (first < 0)
        return false;
    uintptr_t start = ph_block_address(block, (unsigned)first);
    unsigned pages = ph_block_run_pages(block, (unsigned)first);
    if (ph_front_is_hot(owner, start))
        return false;
    describe(heap, start, pages, ret_run);
    ret_run->tag = ph_label_of(block, (unsigned)first);
    return true;
}

/* The one at `address` that is not special.  *ret_special: the heap that may have one that is, or NULL. */
static bool find_plain(uintptr_t address, pageheap_run *ret_run, pageheap **ret_special)
{
    ph_block *head = ph_huge_head(address);
    ph_block *block = head != NULL ? head : ph_block_of(address);
    ph_front *owner = ph_owner_at(head != NULL ? ph_block_base(head) : address);
    *ret_special = NULL;
    if (owner == NULL)
        return false;
    unsigned kind = ph_load_acquire(&block->kind); /* pairs with form_run */
    bool is_special = owner == &owner->heap->special;
    if (is_special && kind != PH_BLOCK_EMPTY)
        *ret_special = owner->heap;
    if (kind == PH_BLOCK_BODY)
        block = ph_load_relaxed(&block->head); /* NULL, perhaps: the run was freed this moment */
    if (ph_block_is_long(kind) && block != NULL)
        return find_long(owner->heap, block, address, ret_run);
    return kind == PH_BLOCK_PAGES && !is_special && head == NULL &&
           find_short(owner, block, address, ret_run);
}

int ph_run_find_plain(uintptr_t address, pageheap_run *ret_run)
{
    pageheap *special;
    return find_plain(address, ret_run, &special) ? 0 : PAGEHEAP_ENOTOURS;
}

int ph_run_find(uintptr_t address, pageheap_run *ret_run)
{
    pageheap_run run;
    pageheap *special;
    bool found = find_plain(address, &run, &special);
    if (!found && special != NULL)
        found = ph_special_find(special, address, &run);
    if (!found)
        return PAGEHEAP_ENOTOURS;
    *ret_run = run;
    return 0;
}

/* ---- walks ----------------------------------------------------------------------------- */

/* One region's base and size, by number; false when there are no more.  No lock is held between two. */
static bool region_at(pageheap *heap, uint64_t number, uintptr_t *ret_base, unsigned *ret_blocks)
{
    ph_mutex_lock(&heap->lock);
    const ph_region *region = heap->regions;
    while (region != NULL && number-- > 0)
        region = region->next;
    if (region != NULL) {
        *ret_base = region->base;
        *ret_blocks = region->committed_blocks;
    }
    ph_mutex_unlock(&heap->lock);
    return region != NULL;
}

/* The live run that begins here, guard included; false if it is gone by now. */
static bool describe_at(pageheap *heap, uintptr_t whole_start, bool is_special, pageheap_run *ret_run)
{
    if (is_special)
        return ph_special_describe(heap, whole_start, ret_run);
    return ph_run_find(whole_start, ret_run) == 0;
}

/* The live runs of one block: their starts, told from copies of its words. */
static int walk_block_runs(pageheap *heap, const ph_block *block, pageheap_run_fn *fn, void *ctx)
{
    bool is_special = ph_load_relaxed(ph_owner_of(block)) == &heap->special;
    for (unsigned w = 0; w < ph_block_words(block); w++) {
        uint64_t starts = ph_load_relaxed(&block->tags[w].mark);
        for (; starts != 0; starts &= starts - 1) {
            pageheap_run run;
            unsigned page = 64 * w + ph_lowest_bit(starts);
            if (!describe_at(heap, ph_block_address(block, page), is_special, &run))
                continue;
            int answer = fn(ctx, &run);
            if (answer != 0)
                return answer;
        }
    }
    return 0;
}

static int walk_one(pageheap *heap, const ph_block *block, pageheap_run_fn *fn, void *ctx)
{
    unsigned kind = ph_load_acquire(&block->kind); /* pairs with form_run */
    pageheap_run run;
    if (kind == PH_BLOCK_PAGES)
        return walk_block_runs(heap, block, fn, ctx);
    if (kind != PH_BLOCK_LARGE)
        return 0;
    bool is_special = ph_load_acquire(&block->large.state) == PH_LARGE_SPECIAL;
    return describe_at(heap, ph_block_base(block), is_special, &run) ? fn(ctx, &run) : 0;
}

static ph_block *huge_head_at(pageheap *heap, uint64_t number)
{
    ph_mutex_lock(&heap->lock);
    const ph_huge *huge = heap->huge_runs;
    while (huge != NULL && number-- > 0)
        huge = huge->next;
    ph_block *head = huge == NULL ? NULL : huge->head;
    ph_mutex_unlock(&heap->lock);
    return head;
}

int ph_heap_each_run(pageheap *heap, pageheap_run_fn *fn, void *ctx)
{
    uintptr_t base;
    unsigned blocks;
    int answer = 0;
    for (uint64_t number = 0; answer == 0 && region_at(heap, number, &base, &blocks); number++) {
        for (unsigned b = 0; b < blocks && answer == 0; b++)
            answer = walk_one(heap, ph_block_of_ours(base + b * PH_BLOCK_BYTES), fn, ctx);
    }
    ph_block *head;
    for (uint64_t number = 0; answer == 0 && (head = huge_head_at(heap, number)) != NULL; number++)
        answer = walk_one(heap, head, fn, ctx);
    return answer;
}

static unsigned count_all(const uint64_t bits[PH_BLOCK_WORDS])
{
    unsigned count = 0;
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        count += ph_count_bits(bits[w]);
    return count;
}

/* Told from copies of its words: the record's own numbers are for who holds the front. */
static void describe_block(const pageheap *heap, const ph_block *block, pageheap_block *ret_block)
{
    unsigned kind = ph_load_acquire(&block->kind);
    bool is_long = ph_block_is_long(kind);
    uint64_t unused[PH_BLOCK_WORDS], dirty[PH_BLOCK_WORDS];
    unsigned first = 0;
    ph_block_unused_bits(block, unused);
    ph_block_dirty_bits(block, dirty);
    *ret_block = (pageheap_block){
        .start = (void *)ph_block_base(block),
        .pages = heap->block_pages,
        .unused_pages = is_long ? 0 : count_all(unused),
        .resident_pages = is_long ? 0 : count_all(dirty),
        .longest_pages =
            is_long ? 0 : ph_runsearch_longest(unused, PH_BLOCK_WORDS, PH_BLOCK_PAGES_MAX, 0, &first),
    };
}

int ph_heap_each_block(pageheap *heap, pageheap_block_fn *fn, void *ctx)
{
    uintptr_t base;
    unsigned blocks;
    int answer = 0;
    for (uint64_t number = 0; answer == 0 && region_at(heap, number, &base, &blocks); number++) {
        for (unsigned b = 0; b < blocks && answer == 0; b++) {
            pageheap_block described;
            describe_block(heap, ph_block_of_ours(base + b * PH_BLOCK_BYTES), &described);
            answer = fn(ctx, &described);
        }
    }
    return answer;
}
