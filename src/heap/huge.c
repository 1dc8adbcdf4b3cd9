/* SPDX-License-Identifier: MIT */
/* huge.c -- runs longer than a region: each is a mapping of its own, registered and checked like all.
 *
 * The first block has a record of kind LARGE.  The blocks behind it have none of their own: there may be
 * many thousands.  An address inside is found through its window instead: at most one such run enters a
 * window from below and at most one leaves it above, and the window names both.  Such a run is longer than a
 * window, so it never begins and ends in the same one.
 */
#include "heap/heap.h"

#include <errno.h>

#include "map/meta.h"

/* The slot is read twice: a run that is freed meanwhile has left it before its numbers become others'. */
static ph_block *covering(_Atomic(ph_block *) *slot, uintptr_t address)
{
    ph_block *head = ph_load_acquire(slot); /* pairs with the release in set_windows */
    if (head == NULL || ph_load_acquire(&head->kind) != PH_BLOCK_LARGE)
        return NULL;
    uint64_t pages = ph_load_acquire(&head->large.pages); /* both before the slot is read again */
    uint64_t mapped_bytes = ph_align_up(pages << head->page_log2, PH_BLOCK_BYTES);
    if (address - ph_block_base(head) >= mapped_bytes || ph_load_relaxed(slot) != head)
        return NULL;
    return head;
}

ph_block *ph_huge_head(uintptr_t address)
{
    ph_window *window = ph_window_of(address);
    if (window == NULL)
        return NULL;
    ph_block *head = covering(&window->enters, address);
    return head != NULL ? head : covering(&window->leaves, address);
}

static void set_windows(const ph_huge *huge, ph_block *value)
{
    uintptr_t first = huge->base >> PH_WINDOW_LOG2;
    uintptr_t last = (huge->base + huge->mapped_bytes - 1) >> PH_WINDOW_LOG2;
    for (uintptr_t index = first; index <= last; index++) {
        ph_window *window = ph_load_acquire(&ph_windows[index]);
        if (index > first)
            ph_store_release(&window->enters, value); /* pairs with covering */
        if (index < last)
            ph_store_release(&window->leaves, value); /* the same */
    }
}

/* Map at the asked alignment, at least a block's. */
static int map_aligned(pageheap *heap, ph_huge *huge, uint64_t align_bytes)
{
    void *base;
    huge->mapped_bytes = ph_align_up(huge->pages << heap->page_log2, PH_BLOCK_BYTES);
    int error = ph_heap_note(heap, ph_os_reserve_aligned(huge->mapped_bytes, align_bytes, &base));
    if (error != 0)
        return error;
    huge->base = (uintptr_t)base;
    error = ph_windows_prepare(huge->base, huge->mapped_bytes);
    if (error == 0)
        error = ph_heap_note(heap, ph_os.use(base, huge->mapped_bytes));
    if (error != 0)
        (void)ph_heap_note(heap, ph_os.unmap(base, huge->mapped_bytes));
    return error;
}

static void register_run(pageheap *heap, ph_huge *huge, uint32_t state)
{
    ph_block *head = ph_block_of_ours(huge->base);
    ph_block_reset(huge->base, heap->page_log2, false);
    ph_store_relaxed(&head->large.pages, huge->pages);
    head->large.clean = 0;
    ph_store_relaxed(&head->large.state, state);
    ph_store_relaxed(&head->kind, PH_BLOCK_LARGE);
    ph_store_release(ph_owner_of(head), &heap->special); /* pairs with ph_owner_at */
    huge->head = head;
    set_windows(huge, head);
    ph_mutex_lock(&heap->lock);
    huge->serial = ++heap->newest_huge_serial;
    huge->next = heap->huge_runs;
    heap->huge_runs = huge;
    ph_mutex_unlock(&heap->lock);
    ph_fetch_add_relaxed(&heap->reserved_bytes, huge->mapped_bytes);
    ph_fetch_add_relaxed(&heap->committed_bytes, huge->mapped_bytes);
    ph_fetch_add_relaxed(&heap->region_count, 1);
    ph_fetch_add_relaxed(&heap->large_live_pages, huge->pages);
}

uintptr_t ph_huge_alloc(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t state)
{
    if (!ph_heap_charge(heap, pages))
        return 0;
    ph_huge *huge = ph_meta_alloc(sizeof *huge);
    if (huge == NULL)
        goto undo_charge;
    huge->pages = pages;
    if (map_aligned(heap, huge, ph_max_u64(align_bytes, PH_BLOCK_BYTES)) != 0)
        goto undo_record;
    register_run(heap, huge, state);
    ph_front *front = ph_front_mine(heap);
    if (front != NULL) {
        ph_front_enter(front); /* a split by another thread counts here too */
        ph_front_count_alloc(front);
        ph_front_leave(front);
    }
    return huge->base | PH_RUN_CLEAN;

undo_record:
    ph_meta_free(huge, sizeof *huge);
undo_charge:
    ph_heap_uncharge(heap, pages);
    return 0;
}

static ph_huge *unlink_run(pageheap *heap, const ph_block *head)
{
    ph_mutex_lock(&heap->lock);
    ph_huge **link = &heap->huge_runs;
    while ((*link)->head != head)
        link = &(*link)->next;
    ph_huge *huge = *link;
    *link = huge->next;
    ph_mutex_unlock(&heap->lock);
    return huge;
}

/* True if the mapping is gone, and the record with it.  At the limit of mappings the memory goes, the address
 * space stays with the heap until a trim or destroy. */
static bool unmap_run(pageheap *heap, ph_huge *huge)
{
    if (ph_heap_note(heap, ph_os.unmap((void *)huge->base, huge->mapped_bytes)) != 0) {
        (void)ph_heap_note(heap, ph_os.advise((void *)huge->base, huge->mapped_bytes, PH_ADVICE_DISCARD));
        return false;
    }
    ph_fetch_sub_relaxed(&heap->reserved_bytes, huge->mapped_bytes);
    ph_fetch_sub_relaxed(&heap->committed_bytes, huge->mapped_bytes);
    ph_fetch_sub_relaxed(&heap->region_count, 1);
    ph_fetch_add_relaxed(&heap->given_back_bytes, huge->mapped_bytes);
    ph_meta_free(huge, sizeof *huge);
    return true;
}

static ph_huge *unlink_retained(pageheap *heap)
{
    ph_mutex_lock(&heap->lock);
    ph_huge **link = &heap->huge_runs;
    while (*link != NULL && !(*link)->is_retained)
        link = &(*link)->next;
    ph_huge *huge = *link;
    if (huge != NULL)
        *link = huge->next;
    ph_mutex_unlock(&heap->lock);
    return huge;
}

static void retain(pageheap *heap, ph_huge *huge)
{
    ph_mutex_lock(&heap->lock);
    huge->is_retained = true;
    huge->next = heap->huge_runs;
    heap->huge_runs = huge;
    ph_mutex_unlock(&heap->lock);
}

void ph_huge_shrink(pageheap *heap)
{
    ph_huge *kept = NULL;
    for (ph_huge *huge; (huge = unlink_retained(heap)) != NULL;) {
        if (!unmap_run(heap, huge)) {
            huge->next = kept;
            kept = huge;
        }
    }
    while (kept != NULL) {
        ph_huge *huge = kept;
        kept = huge->next;
        retain(heap, huge);
    }
}

void ph_huge_release(pageheap *heap, ph_block *head)
{
    ph_huge *huge = unlink_run(heap, head);
    ph_heap_uncharge(heap, huge->pages);
    /* Records first: once unmapped, the addresses may become somebody else's at any moment. */
    set_windows(huge, NULL);
    ph_store_relaxed(&huge->head->kind, PH_BLOCK_NONE);
    ph_store_release(ph_owner_of(huge->head), NULL); /* pairs with the walks' acquire (was_of) */
    if (!unmap_run(heap, huge))
        retain(heap, huge);
}

void ph_huge_unmap_all(pageheap *heap)
{
    while (heap->huge_runs != NULL) {
        ph_huge *huge = heap->huge_runs;
        heap->huge_runs = huge->next;
        set_windows(huge, NULL);
        ph_store_relaxed(&huge->head->kind, PH_BLOCK_NONE);
        ph_store_relaxed(ph_owner_of(huge->head), NULL);
        (void)ph_os.unmap((void *)huge->base, huge->mapped_bytes);
        ph_meta_free(huge, sizeof *huge);
    }
}
