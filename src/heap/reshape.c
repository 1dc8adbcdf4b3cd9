/* SPDX-License-Identifier: MIT */
/* reshape.c -- cut a run in two, make one of two, change a run's length where it stands.
 *
 * Runs of up to a block only: a longer one is whole blocks, and is copied by whoever wants to change it.
 */
#include "heap/heap.h"

#include "block/runsearch.h"

/* A live run in its owner's front, which is held while `owner` is not NULL. */
typedef struct held_run {
    ph_front *owner;
    ph_block *block;
    unsigned first, pages;
} held_run;

/* What free would say of this run: 0 and the owner held, or a code and nothing held.  Who frees into a shared
 * front does not hold it: its run is taken from the caller until let_go, like one that is being freed. */
static int hold_run(pageheap *heap, ph_front *mine, uintptr_t run, uint64_t pages, held_run *ret_held)
{
    if (run % ph_heap_page_bytes(heap) != 0)
        return PAGEHEAP_EINVAL;
    ph_block *block = ph_block_of(run);
    for (;;) {
        ph_front *owner = ph_owner_at(run);
        if (owner == NULL || owner->heap != heap)
            return PAGEHEAP_ENOTOURS;
        if (owner == &heap->special)
            return PAGEHEAP_EBUSY; /* a long or special run, or none */
        ph_front_hold(owner, mine);
        unsigned first = ph_block_page(block, run);
        if (ph_load_relaxed(ph_owner_of(block)) == owner) {
            bool shared = ph_front_is_shared(owner);
            if (pages != 0 && ph_block_live_pages(block, first) == pages && !ph_front_is_hot(owner, run) &&
                (!shared || ph_block_claim(block, first, (unsigned)pages, true))) {
                ph_front_cool(owner); /* it may be the hot run that changes */
                *ret_held = (held_run){ owner, block, first, (unsigned)pages };
                return 0;
            }
            ph_front_release(owner, mine);
            return PAGEHEAP_EBADRUN;
        }
        ph_front_release(owner, mine);
    }
}

static void let_go(const held_run *held, ph_front *mine)
{
    if (ph_front_is_shared(held->owner))
        ph_block_mark(held->block, held->first, true);
    ph_front_release(held->owner, mine);
}

/* The first part keeps the mark; the second gets its own, and is called the same. */
int ph_run_split(pageheap *heap, uintptr_t run, uint64_t pages, uint64_t head_pages)
{
    ph_front *mine = ph_front_mine(heap);
    held_run held;
    int code = hold_run(heap, mine, run, pages, &held);
    if (code != 0)
        return code;
    unsigned second = held.first + (unsigned)head_pages;
    (void)ph_label_set(held.block, second, ph_label_of(held.block, held.first));
    ph_block_cut_after(held.block, second - 1);
    ph_block_mark(held.block, second, ph_front_is_shared(held.owner));
    ph_front_count_alloc(held.owner); /* one live run more */
    let_go(&held, mine);
    return 0;
}

int ph_run_join(pageheap *heap, uintptr_t head, uint64_t head_pages, uintptr_t tail, uint64_t tail_pages)
{
    ph_front *mine = ph_front_mine(heap);
    held_run held;
    if (tail != head + (head_pages << heap->page_log2) || (head >> PH_BLOCK_LOG2) != (tail >> PH_BLOCK_LOG2))
        return PAGEHEAP_EBADRUN;
    int code = hold_run(heap, mine, head, head_pages, &held);
    if (code != 0)
        return code;
    unsigned second = ph_block_page(held.block, tail);
    /* Clearing the mark makes the second run ours, whoever else may be freeing it this moment. */
    bool is_run = tail_pages != 0 && ph_block_live_pages(held.block, second) == tail_pages &&
                  ph_block_unmark(held.block, second, ph_front_is_shared(held.owner));
    if (is_run) {
        ph_block_uncut_after(held.block, second - 1);
        ph_front_count_free(held.owner); /* one live run less */
    }
    let_go(&held, mine);
    return is_run ? 0 : PAGEHEAP_EBADRUN;
}

/* Take the pages behind the run (its front held); false if they are not there. */
static bool extend(held_run *held, unsigned more_pages, bool *ret_clean)
{
    unsigned end = held->first + held->pages;
    uint64_t unused[PH_BLOCK_WORDS];
    if (end + more_pages > ph_block_pages(held->block))
        return false;
    ph_block_unused_bits(held->block, unused);
    if (ph_runsearch_upward(unused, ph_block_words(held->block), end) < more_pages)
        return false;
    *ret_clean = ph_front_take(held->owner, held->block, end, more_pages) == more_pages;
    ph_block_uncut_after(held->block, end - 1);
    return true;
}

int ph_run_resize(pageheap *heap, uintptr_t run, uint64_t pages, uint64_t new_pages, bool *ret_tail_clean)
{
    ph_front *mine = ph_front_mine(heap);
    held_run held;
    if (new_pages > pages && !ph_heap_charge(heap, new_pages - pages))
        return PAGEHEAP_ENOMEM;
    int code = hold_run(heap, mine, run, pages, &held);
    bool is_extended = false;
    *ret_tail_clean = false;
    if (code == 0) {
        if (new_pages < pages) {
            unsigned cut = held.first + (unsigned)new_pages;
            ph_block_cut_after(held.block, cut - 1);
            ph_front_give(held.owner, held.block, cut, (unsigned)(pages - new_pages), false);
        } else if (new_pages > heap->block_pages) {
            code = PAGEHEAP_ENOMEM;
        } else {
            is_extended = extend(&held, (unsigned)(new_pages - pages), ret_tail_clean);
            code = is_extended ? 0 : PAGEHEAP_ENOMEM;
        }
        let_go(&held, mine);
    }
    if (new_pages > pages && !is_extended)
        ph_heap_uncharge(heap, new_pages - pages);
    return code;
}
