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

/* Whose the block at any address is, or NULL.  Where nobody keeps a run alive nobody keeps its heap: the
 * records of fronts and heaps that we read may be others' by now.  They are the arena's, so they can be read;
 * and a block has lost its owner (forget_records, ph_huge_release) before that goes, so who finds the same
 * one again has read what it said. */
static pageheap *heap_at(uintptr_t address, ph_front **ret_owner)
{
    ph_front *owner = ph_owner_at(address);
    for (;;) {
        pageheap *heap = owner == NULL ? NULL : owner->heap;
        atomic_thread_fence(memory_order_acquire); /* the heap, then the owner again */
        ph_front *again = ph_owner_at(address);
        *ret_owner = owner;
        if (again == owner)
            return heap;
        owner = again;
    }
}

/* The block may have gone back to the system by now: its heap is who the caller saw, not what it says. */
static bool find_long(pageheap *heap, const ph_block *head, uintptr_t address, pageheap_run *ret_run)
{
    uintptr_t base = ph_block_base(head);
    uint64_t pages = ph_load_relaxed(&head->large.pages);
    if (ph_load_acquire(&head->large.state) != PH_LARGE_LIVE) /* pairs with enliven */
        return false;
    if (address - base >= pages << head->page_log2)
        return false;
    describe(heap, base, pages, ret_run);
    return true;
}

static bool find_short(pageheap *heap, const ph_front *owner, const ph_block *block, uintptr_t address,
                       pageheap_run *ret_run)
{
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
    ph_front *owner;
    pageheap *heap = heap_at(head != NULL ? ph_block_base(head) : address, &owner);
    *ret_special = NULL;
    if (heap == NULL)
        return false;
    unsigned kind = ph_load_acquire(&block->kind); /* pairs with form_run */
    bool is_special = owner == &heap->special;
    if (is_special && kind != PH_BLOCK_EMPTY)
        *ret_special = heap;
    if (kind == PH_BLOCK_BODY)
        block = ph_load_relaxed(&block->head); /* NULL, perhaps: the run was freed this moment */
    if (ph_block_is_long(kind) && block != NULL)
        return find_long(heap, block, address, ret_run);
    return kind == PH_BLOCK_PAGES && !is_special && head == NULL &&
           find_short(heap, owner, block, address, ret_run);
}

int ph_run_find_plain(uintptr_t address, pageheap_run *ret_run)
{
    pageheap *special;
    return find_plain(address, ret_run, &special) ? 0 : PAGEHEAP_ENOTOURS;
}

/* Special runs are found with a lock, for which their heap must not go. */
int ph_run_find(uintptr_t address, pageheap_run *ret_run)
{
    pageheap *special;
    bool found = find_plain(address, ret_run, &special);
    if (!found && special != NULL && ph_heap_pin(special)) {
        found = ph_special_find(special, address, ret_run);
        ph_heap_unpin(special);
    }
    return found ? 0 : PAGEHEAP_ENOTOURS;
}

int ph_run_find_in(pageheap *heap, uintptr_t address, pageheap_run *ret_run)
{
    pageheap *special;
    bool found = find_plain(address, ret_run, &special);
    if (!found && special == heap)
        found = ph_special_find(heap, address, ret_run);
    return found && ret_run->heap == heap ? 0 : PAGEHEAP_ENOTOURS;
}

/* ---- walks ----------------------------------------------------------------------------- */

/* What a walk knows of a region.  No lock is held between two, and what is known may be untrue by then: the
 * region gone, and its addresses another heap's. */
typedef struct region_copy {
    uint64_t serial;
    uintptr_t base;
    unsigned blocks;
} region_copy;

#define BEFORE_THE_FIRST UINT64_MAX

/* The newest region that is older than *region, which becomes that one; false when there are no more.
 * Regions come, go and change their places in the list between two calls: their serials stay. */
static bool next_region(pageheap *heap, region_copy *region)
{
    const ph_region *next = NULL;
    ph_mutex_lock(&heap->lock);
    for (const ph_region *other = heap->regions; other != NULL; other = other->next) {
        if (other->serial < region->serial && (next == NULL || other->serial > next->serial))
            next = other;
    }
    if (next != NULL)
        *region = (region_copy){ next->serial, next->base, next->committed_blocks };
    ph_mutex_unlock(&heap->lock);
    return next != NULL;
}

/* True if what was read of the block until now was the heap's. */
static bool was_of(const pageheap *heap, const ph_block *block)
{
    /* Behind what was read: a block has lost its owner (forget_records, ph_huge_release) before another heap
     * writes there. */
    atomic_thread_fence(memory_order_acquire);
    ph_front *owner;
    return heap_at(ph_block_base(block), &owner) == heap;
}

/* The live run that begins here, guard included; false if it is gone by now. */
static bool describe_at(pageheap *heap, const ph_block *block, uintptr_t whole_start, bool is_special,
                        pageheap_run *ret_run)
{
    if (is_special)
        return ph_special_describe(heap, whole_start, ret_run);
    return ph_run_find_in(heap, whole_start, ret_run) == 0 && (uintptr_t)ret_run->start == whole_start &&
           was_of(heap, block);
}

/* The live runs of one block: their starts, told from copies of its words. */
static int walk_block_runs(pageheap *heap, const ph_block *block, pageheap_run_fn *fn, void *ctx)
{
    bool is_special = ph_load_relaxed(ph_owner_of(block)) == &heap->special;
    for (unsigned w = 0; w < ph_block_words(block); w++) {
        uint64_t starts = ph_load_relaxed(&ph_block_marks(block)[w]);
        for (; starts != 0; starts &= starts - 1) {
            pageheap_run run;
            unsigned page = 64 * w + ph_lowest_bit(starts);
            if (!describe_at(heap, block, ph_block_address(block, page), is_special, &run))
                continue;
            int answer = fn(ctx, &run);
            if (answer != 0)
                return answer;
        }
    }
    return 0;
}

static int walk_long(pageheap *heap, const ph_block *head, pageheap_run_fn *fn, void *ctx)
{
    pageheap_run run;
    bool is_special = ph_load_acquire(&head->large.state) == PH_LARGE_SPECIAL; /* pairs with enliven */
    return describe_at(heap, head, ph_block_base(head), is_special, &run) ? fn(ctx, &run) : 0;
}

static int walk_block(pageheap *heap, const ph_block *block, pageheap_run_fn *fn, void *ctx)
{
    unsigned kind = ph_load_acquire(&block->kind); /* pairs with form_run */
    if (kind == PH_BLOCK_PAGES)
        return walk_block_runs(heap, block, fn, ctx);
    if (kind != PH_BLOCK_LARGE)
        return 0;
    /* A huge run where the region was: its turn comes. */
    if (ph_huge_head(ph_block_base(block)) != NULL)
        return 0;
    return walk_long(heap, block, fn, ctx);
}

/* The head of the newest huge run that is older than *serial, which becomes its; NULL when there are no more.
 * As next_region. */
static ph_block *next_huge_head(pageheap *heap, uint64_t *serial)
{
    const ph_huge *next = NULL;
    ph_mutex_lock(&heap->lock);
    for (const ph_huge *other = heap->huge_runs; other != NULL; other = other->next) {
        if (other->serial < *serial && (next == NULL || other->serial > next->serial))
            next = other;
    }
    ph_block *head = next == NULL ? NULL : next->head;
    if (next != NULL)
        *serial = next->serial;
    ph_mutex_unlock(&heap->lock);
    return head;
}

static int walk_huge(pageheap *heap, const ph_block *head, pageheap_run_fn *fn, void *ctx)
{
    unsigned kind = ph_load_acquire(&head->kind); /* pairs with form_run */
    return kind == PH_BLOCK_LARGE ? walk_long(heap, head, fn, ctx) : 0;
}

int ph_heap_each_run(pageheap *heap, pageheap_run_fn *fn, void *ctx)
{
    region_copy region = { .serial = BEFORE_THE_FIRST };
    uint64_t serial = BEFORE_THE_FIRST;
    int answer = 0;
    while (answer == 0 && next_region(heap, &region)) {
        for (unsigned b = 0; b < region.blocks && answer == 0; b++)
            answer = walk_block(heap, ph_block_of_ours(region.base + b * PH_BLOCK_BYTES), fn, ctx);
    }
    const ph_block *head;
    while (answer == 0 && (head = next_huge_head(heap, &serial)) != NULL)
        answer = walk_huge(heap, head, fn, ctx);
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
    region_copy region = { .serial = BEFORE_THE_FIRST };
    int answer = 0;
    while (answer == 0 && next_region(heap, &region)) {
        for (unsigned b = 0; b < region.blocks && answer == 0; b++) {
            const ph_block *block = ph_block_of_ours(region.base + b * PH_BLOCK_BYTES);
            pageheap_block described;
            describe_block(heap, block, &described);
            answer = was_of(heap, block) ? fn(ctx, &described) : 0;
        }
    }
    return answer;
}
