/* SPDX-License-Identifier: MIT */
/* special.c -- runs that have flags which must be undone when they are freed, and long ones with a label.
 *
 * They are rare, so they live apart: in blocks of the heap's special front, where locks in RAM, dump advice
 * and guards do not cut up the mappings that everybody shares, and their records in a hash table.
 *
 * T1  A run of the special front, and a long run whose state is SPECIAL, has exactly one attribute record
 *     from before its address escapes until one thread has unlinked the record to free the run.
 */
#include "heap/heap.h"

#include <errno.h>

#include "map/meta.h"

static ph_attribute **bucket_of(pageheap *heap, uintptr_t address)
{
    uint64_t hash = (address >> PH_PAGE_LOG2_MIN) * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing */
    return &heap->attributes.buckets[(hash >> 32) & (heap->attributes.bucket_count - 1)];
}

/* Where the run that holds `address` begins, its guard included; 0 if no run does. */
static uintptr_t whole_start_of(uintptr_t address)
{
    const ph_block *head = ph_huge_head(address);
    if (head != NULL)
        return ph_block_base(head);
    const ph_block *block = ph_block_of(address);
    unsigned kind = block == NULL ? PH_BLOCK_NONE : ph_load_acquire(&block->kind); /* pairs with form_run */
    if (kind == PH_BLOCK_LARGE)
        return ph_block_base(block);
    if (kind == PH_BLOCK_BODY)
        block = ph_load_relaxed(&block->head); /* NULL, perhaps: the run was freed this moment */
    if (kind == PH_BLOCK_BODY)
        return block == NULL ? 0 : ph_block_base(block);
    if (kind != PH_BLOCK_PAGES)
        return 0;
    int first = ph_block_run_start(block, ph_block_page(block, address));
    return first < 0 ? 0 : ph_block_address(block, (unsigned)first);
}

/* With attributes.lock held: the link that points to the record of that run, or to NULL. */
static ph_attribute **link_of(pageheap *heap, uintptr_t whole_start)
{
    ph_attribute **link = bucket_of(heap, whole_start);
    while (*link != NULL && (*link)->whole_start != whole_start)
        link = &(*link)->next;
    return link;
}

/* ---- the pages ------------------------------------------------------------------------- */

static uintptr_t cut_small(pageheap *heap, unsigned pages, unsigned align_pages)
{
    ph_front_lock(&heap->special);
    uintptr_t run = ph_front_cut_aligned(&heap->special, pages, align_pages);
    if (run != 0)
        ph_front_enliven(&heap->special, run, NULL);
    ph_front_unlock(&heap->special);
    return ph_run_address(run);
}

static uintptr_t take_small(pageheap *heap, unsigned pages, unsigned align_pages)
{
    if (!ph_heap_charge(heap, pages))
        return 0;
    uintptr_t run = cut_small(heap, pages, align_pages);
    for (unsigned round = 0; run == 0 && round < 3; round++) {
        bool is_clean;
        uintptr_t base = ph_pool_take(heap, 1, 1, &is_clean);
        if (base == 0)
            base = ph_need_blocks(heap, 1, 1, &is_clean);
        if (base == 0)
            break;
        ph_front_lock(&heap->special);
        ph_front_attach(&heap->special, ph_block_of_ours(base));
        ph_front_unlock(&heap->special);
        run = cut_small(heap, pages, align_pages);
    }
    if (run == 0)
        ph_heap_uncharge(heap, pages);
    return run;
}

static void give_small(pageheap *heap, uintptr_t run, unsigned pages)
{
    ph_block *block = ph_block_of_ours(run);
    unsigned first = ph_block_page(block, run);
    ph_front_lock(&heap->special);
    (void)ph_block_unmark(block, first, false);
    ph_front_count_free(&heap->special);
    ph_front_give(&heap->special, block, first, pages, false);
    ph_front_unlock(&heap->special);
}

static uintptr_t take_pages(pageheap *heap, uint64_t pages, uint64_t align_bytes)
{
    if (pages <= heap->block_pages && align_bytes <= PH_BLOCK_BYTES) {
        uint64_t align_pages = ph_max_u64(align_bytes >> heap->page_log2, 1);
        return take_small(heap, (unsigned)pages, (unsigned)align_pages);
    }
    bool is_huge = pages > PH_REGION_PAGES_MAX(heap);
    uintptr_t run = is_huge ? ph_huge_alloc(heap, pages, align_bytes, PH_LARGE_SPECIAL)
                            : ph_large_alloc(heap, pages, align_bytes, PH_LARGE_SPECIAL);
    return ph_run_address(run);
}

static void give_pages(pageheap *heap, uintptr_t run, uint64_t pages)
{
    ph_block *block = ph_block_of_ours(run);
    if (ph_load_relaxed(&block->kind) == PH_BLOCK_PAGES) {
        give_small(heap, run, (unsigned)pages);
        return;
    }
    /* Never LIVE in between: another thread that frees it too would find it so, and succeed as well. */
    ph_store_release(&block->large.state, PH_LARGE_CACHED); /* pairs with the compare-and-swap in free */
    ph_large_retire(heap, block);
}

/* ---- the flags ------------------------------------------------------------------------- */

/* Make one page unreadable; without a mapping of its own where the kernel can (Linux 6.13). */
static int guard_page(pageheap *heap, ph_attribute *a, uintptr_t page)
{
    void *base = (void *)page;
    size_t bytes = ph_heap_page_bytes(heap);
    if (!a->guards_are_mappings) {
        if (ph_heap_note(heap, ph_os.advise(base, bytes, PH_ADVICE_GUARD)) == 0)
            return 0;
        a->guards_are_mappings = page == a->start - bytes; /* both guards are of one kind */
    }
    return a->guards_are_mappings ? ph_heap_note(heap, ph_os.forbid(base, bytes)) : -ENOMEM;
}

static int unguard_page(pageheap *heap, const ph_attribute *a, uintptr_t page)
{
    void *base = (void *)page;
    size_t bytes = ph_heap_page_bytes(heap);
    return ph_heap_note(heap, a->guards_are_mappings ? ph_os.use(base, bytes)
                                                     : ph_os.advise(base, bytes, PH_ADVICE_UNGUARD));
}

static uintptr_t guard_below(const pageheap *heap, const ph_attribute *a)
{
    return a->start - ph_heap_page_bytes(heap);
}

static uintptr_t guard_above(const pageheap *heap, const ph_attribute *a)
{
    return a->start + (a->pages << heap->page_log2);
}

/* 0, or an error; *ret_is_plain is false if one guard is in effect all the same. */
static int apply_guards(pageheap *heap, ph_attribute *a, bool *ret_is_plain)
{
    int error = guard_page(heap, a, guard_below(heap, a));
    if (error != 0)
        return error;
    error = guard_page(heap, a, guard_above(heap, a));
    if (error != 0)
        *ret_is_plain = unguard_page(heap, a, guard_below(heap, a)) == 0;
    return error;
}

/* Locks and dump advice are requests: the record tells which the system granted. */
static int apply_flags(pageheap *heap, ph_attribute *a, uint32_t flags, bool *ret_is_plain)
{
    void *start = (void *)a->start;
    size_t bytes = (size_t)a->pages << heap->page_log2;
    if (flags & PAGEHEAP_GUARD) {
        int error = apply_guards(heap, a, ret_is_plain);
        if (error != 0)
            return error;
        a->flags |= PAGEHEAP_GUARD;
    }
    if ((flags & PAGEHEAP_LOCKED) && ph_heap_note(heap, ph_os.lock(start, bytes)) == 0)
        a->flags |= PAGEHEAP_LOCKED;
    if ((flags & PAGEHEAP_NODUMP) && ph_heap_note(heap, ph_os.advise(start, bytes, PH_ADVICE_NODUMP)) == 0)
        a->flags |= PAGEHEAP_NODUMP;
    return 0;
}

/* False if the pages are not again like any others. */
static bool undo_flags(pageheap *heap, const ph_attribute *a)
{
    void *start = (void *)a->start;
    size_t bytes = (size_t)a->pages << heap->page_log2;
    bool is_plain = true;
    if (a->flags & PAGEHEAP_NODUMP)
        (void)ph_heap_note(heap, ph_os.advise(start, bytes, PH_ADVICE_DODUMP));
    if (a->flags & PAGEHEAP_LOCKED)
        (void)ph_heap_note(heap, ph_os.unlock(start, bytes));
    if (a->flags & PAGEHEAP_GUARD) {
        is_plain = unguard_page(heap, a, guard_below(heap, a)) == 0;
        is_plain = unguard_page(heap, a, guard_above(heap, a)) == 0 && is_plain;
    }
    return is_plain;
}

/* ---- the calls ------------------------------------------------------------------------- */

/* With attributes.lock held: put the record into its bucket. */
static void insert(pageheap *heap, ph_attribute *a)
{
    ph_attribute **bucket = bucket_of(heap, a->whole_start);
    a->next = *bucket;
    *bucket = a;
}

static size_t table_bytes(uint64_t buckets)
{
    return buckets * sizeof(ph_attribute *);
}

/* The longest chains are to stay short: move to eight times the buckets (no lock held).  Without memory for
 * them the old ones serve on. */
static void grow_table(pageheap *heap, uint64_t old_count)
{
    ph_attribute **fresh = ph_meta_alloc(table_bytes(old_count * 8));
    if (fresh == NULL)
        return;
    ph_mutex_lock(&heap->attributes.lock);
    ph_attribute **old = heap->attributes.buckets;
    bool is_first = heap->attributes.bucket_count == old_count; /* no other thread has done it meanwhile */
    if (is_first) {
        heap->attributes.buckets = fresh;
        heap->attributes.bucket_count = old_count * 8;
        for (uint64_t b = 0; b < old_count; b++) {
            for (ph_attribute *a = old[b], *next; a != NULL; a = next) {
                next = a->next;
                insert(heap, a);
            }
        }
    }
    ph_mutex_unlock(&heap->attributes.lock);
    if (!is_first)
        ph_meta_free(fresh, table_bytes(old_count * 8));
    else if (old != heap->attributes.first_buckets)
        ph_meta_free(old, table_bytes(old_count));
}

static void link_record(pageheap *heap, ph_attribute *a)
{
    ph_mutex_lock(&heap->attributes.lock);
    insert(heap, a);
    uint64_t buckets = heap->attributes.bucket_count;
    bool is_full = ++heap->attributes.count > buckets * 2;
    ph_mutex_unlock(&heap->attributes.lock);
    if (is_full)
        grow_table(heap, buckets);
}

/* Allocations here age the heap like all others. */
static void look_at_the_clock(pageheap *heap)
{
    if (!ph_front_is_tick_due(&heap->special))
        return;
    ph_front_lock(&heap->special);
    ph_front_tick_done(&heap->special);
    ph_front_unlock(&heap->special);
    ph_heap_look(heap, ph_front_mine(heap));
}

void ph_special_init(pageheap *heap)
{
    heap->attributes.buckets = heap->attributes.first_buckets;
    heap->attributes.bucket_count = PH_ATTRIBUTE_BUCKETS;
}

void ph_special_end(pageheap *heap)
{
    for (uint64_t b = 0; b < heap->attributes.bucket_count; b++) {
        for (ph_attribute *a = heap->attributes.buckets[b], *next; a != NULL; a = next) {
            next = a->next;
            ph_meta_free(a, sizeof *a);
        }
    }
    if (heap->attributes.buckets != heap->attributes.first_buckets)
        ph_meta_free(heap->attributes.buckets, table_bytes(heap->attributes.bucket_count));
}

void *ph_special_alloc(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t flags, const char *tag)
{
    ph_attribute *a = ph_meta_alloc(sizeof *a);
    if (a == NULL)
        return NULL;
    /* With guards the run begins one alignment unit, at least a page, above the start of the whole. */
    uint64_t lead_pages = 0;
    bool is_plain = true;
    if (flags & PAGEHEAP_GUARD)
        lead_pages = ph_max_u64(align_bytes >> heap->page_log2, 1);
    a->pages = pages;
    a->tag = tag;
    a->whole_pages = pages + (lead_pages != 0 ? lead_pages + 1 : 0);
    a->whole_start = take_pages(heap, a->whole_pages, align_bytes);
    if (a->whole_start == 0)
        goto undo_record;
    a->start = a->whole_start + (lead_pages << heap->page_log2);
    if (apply_flags(heap, a, flags, &is_plain) != 0)
        goto undo_pages;
    uintptr_t start = a->start;
    link_record(heap, a);
    look_at_the_clock(heap);
    return (void *)start;

undo_pages:
    if (is_plain) /* else they stay taken, as in ph_special_free */
        give_pages(heap, a->whole_start, a->whole_pages);
undo_record:
    ph_meta_free(a, sizeof *a);
    return NULL;
}

int ph_special_free(pageheap *heap, uintptr_t address, uint64_t pages)
{
    uintptr_t whole_start = whole_start_of(address);
    ph_mutex_lock(&heap->attributes.lock);
    ph_attribute **link = link_of(heap, whole_start);
    ph_attribute *a = *link;
    if (a != NULL && (address != a->start || (pages != 0 && pages != a->pages)))
        a = NULL;
    if (a != NULL)
        *link = a->next; /* whoever unlinks it frees the run */
    heap->attributes.count -= a != NULL;
    ph_mutex_unlock(&heap->attributes.lock);
    if (a == NULL)
        return PAGEHEAP_EBADRUN;
    /* Pages that stayed guarded must never be handed out again: they remain taken until destroy. */
    if (undo_flags(heap, a))
        give_pages(heap, a->whole_start, a->whole_pages);
    ph_meta_free(a, sizeof *a);
    return 0;
}

bool ph_special_describe(pageheap *heap, uintptr_t whole_start, pageheap_run *ret_run)
{
    ph_mutex_lock(&heap->attributes.lock);
    const ph_attribute *a = *link_of(heap, whole_start);
    if (a != NULL) {
        *ret_run = (pageheap_run){
            .heap = heap,
            .start = (void *)a->start,
            .pages = a->pages,
            .tag = a->tag,
            .flags = a->flags,
        };
    }
    ph_mutex_unlock(&heap->attributes.lock);
    return a != NULL;
}

bool ph_special_find(pageheap *heap, uintptr_t address, pageheap_run *ret_run)
{
    pageheap_run run;
    if (!ph_special_describe(heap, whole_start_of(address), &run))
        return false;
    if (address - (uintptr_t)run.start >= run.pages << heap->page_log2)
        return false; /* a guard */
    *ret_run = run;
    return true;
}
