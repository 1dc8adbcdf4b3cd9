/* SPDX-License-Identifier: MIT */
/* runs.c -- take and give runs of up to a block: what the hot path (fast.h) leaves over. */
#include "heap/heap.h"

/* A thread that has this many blocks takes the next ones apart from those of other threads. */
#define APART_BLOCKS_MIN 4

/* ---- alloc ----------------------------------------------------------------------------- */

static bool is_vacant_and_useful(const ph_front *front, unsigned pages)
{
    return ph_load_relaxed(&front->has_owner) == 0 &&
           (!ph_remote_is_empty(&front->pending) || ph_load_relaxed(&front->dirty_pages) >= pages);
}

/* A block from a front that its thread has left.  If foreign frees may be under way there, they will go
 * on with locked instructions, so ours must too from now on. */
static bool inherit_from(ph_front *from, ph_front *mine, unsigned pages)
{
    ph_front_lock(from);
    ph_front_collect(from);
    ph_front_drain(from, 0); /* after fork a vacant front may still keep runs of its blocks */
    ph_block *block = ph_index_best(&from->index, pages);
    if (block != NULL) {
        ph_front_detach(from, block);
        ph_front_enter(mine);
        if (ph_front_is_shared(from))
            ph_front_share(mine);
        if (from->has_labels)
            ph_front_begin_labels(mine);
        ph_front_attach(mine, block);
        ph_front_leave(mine);
    }
    ph_front_unlock(from);
    return block != NULL;
}

static bool inherit_block(pageheap *heap, ph_front *mine, unsigned pages)
{
    bool done = false;
    /* It lets us hold two fronts, since ph_fronts_lock_all stays out, and what is vacant stays so (adopt). */
    ph_mutex_lock(&heap->fronts_lock);
    for (PH_EACH_FRONT(from, heap)) {
        done = from != mine && is_vacant_and_useful(from, pages) && inherit_from(from, mine, pages);
        if (done)
            break;
    }
    ph_mutex_unlock(&heap->fronts_lock);
    return done;
}

/* No other thread uses the heap. */
static bool is_alone(pageheap *heap, const ph_front *mine)
{
    for (PH_EACH_FRONT(front, heap)) {
        if (front != mine && ph_load_relaxed(&front->has_owner) != 0)
            return false;
    }
    return true;
}

static bool fetch_block(pageheap *heap, ph_front *front)
{
    bool clean;
    uint64_t blocks = ph_load_relaxed(&front->block_count);
    uintptr_t base = blocks < APART_BLOCKS_MIN || is_alone(heap, front)
                         ? ph_pool_take(heap, 1, 1, &clean)
                         : ph_pool_take_apart(heap, &front->apart, blocks, &clean);
    if (base == 0)
        return false;
    ph_labels_clear(ph_block_of_ours(base));
    ph_front_enter(front);
    ph_front_attach(front, ph_block_of_ours(base));
    ph_front_leave(front);
    return true;
}

bool ph_run_supply(pageheap *heap, ph_front *front, unsigned pages)
{
    atomic_fetch_add(&heap->blocks_sent_for, 1); /* pairs with ph_need_run, like the other */
    bool is_supplied = (ph_load_relaxed(&heap->front_count) > 1 && inherit_block(heap, front, pages)) ||
                       fetch_block(heap, front);
    atomic_fetch_add(&heap->blocks_arrived, 1);
    return is_supplied;
}

uintptr_t ph_run_take_kept(ph_front *front, unsigned pages, const char *label)
{
    ph_front_enter(front);
    uintptr_t run = 0;
    if (ph_front_hot_pages(front) == pages) {
        run = ph_load_relaxed(&front->hot_run);
        ph_store_relaxed(&front->hot_pages, pages | PH_HOT_OUT);
        ph_front_count_alloc(front);
    } else if ((run = ph_front_take_kept(front, pages)) != 0) {
        ph_front_enliven(front, run, label);
    }
    ph_front_leave(front);
    return run;
}

static uintptr_t live_from_block(ph_front *front, unsigned pages, unsigned align_pages, const char *label)
{
    ph_front_enter(front);
    uintptr_t run =
        align_pages == 1 ? ph_front_cut(front, pages) : ph_front_cut_aligned(front, pages, align_pages);
    if (run != 0)
        ph_front_enliven(front, run, label);
    ph_front_leave(front);
    return run;
}

static uintptr_t live_from_anywhere(pageheap *heap, ph_front *front, unsigned pages, unsigned align_pages,
                                    const char *label)
{
    if (!ph_heap_charge(heap, pages))
        return 0;
    uintptr_t run = live_from_block(front, pages, align_pages, label);
    /* Who gives memory back may have the new hole in hand before we do: then another. */
    unsigned hole_pages = (unsigned)ph_min_u64(pages + align_pages - 1, front->block_pages);
    for (unsigned round = 0; run == 0 && round < 3 && ph_run_supply(heap, front, hole_pages); round++)
        run = live_from_block(front, pages, align_pages, label);
    if (run == 0)
        run = ph_need_run(heap, front, pages, align_pages, label);
    if (run == 0)
        ph_heap_uncharge(heap, pages);
    return run;
}

/* How much a front may grow before the balance is looked at: a part of the heap, so that the look is rare. */
static uint64_t growth_step(pageheap *heap)
{
    return ph_max_u64(16, ph_load_relaxed(&heap->peak_live_pages) / 128);
}

static void begin_labels(ph_front *front)
{
    if (front->has_labels)
        return;
    ph_front_enter(front);
    ph_front_begin_labels(front);
    ph_front_leave(front);
}

/* False: the run's block had no table of labels when it was taken. */
static bool is_called(uintptr_t run, const char *label)
{
    const ph_block *block = ph_block_of_ours(run);
    return ph_label_of(block, ph_block_page(block, run)) == label;
}

/* The label of a block's first labelled run is written nowhere yet: another thread that has such a run in the
 * same block (need.c) may have made the table by now.  The run, or 0: it is gone, for want of a table. */
static uintptr_t label_first(pageheap *heap, uintptr_t run, unsigned pages, const char *label)
{
    const ph_block *block = ph_block_of_ours(run);
    int made_bytes = ph_labels_make(block);
    if (made_bytes < 0) {
        (void)ph_run_free(heap, ph_run_address(run), pages);
        return 0;
    }
    ph_fetch_add_relaxed(&heap->metadata_bytes, (unsigned)made_bytes);
    (void)ph_label_set(block, ph_block_page(block, run), label); /* live, and nobody's but the caller's */
    return run;
}

uintptr_t ph_run_alloc(pageheap *heap, unsigned pages, unsigned align_pages, const char *label)
{
    ph_front *front = ph_front_mine(heap);
    if (front == NULL)
        return 0;
    if (label != NULL)
        begin_labels(front);
    uintptr_t run = align_pages == 1 ? ph_run_take_kept(front, pages, label) : 0;
    if (run == 0) {
        ph_front_restock(front, pages);
        run = live_from_anywhere(heap, front, pages, align_pages, label);
    }
    if (run != 0 && label != NULL && !is_called(run, label))
        run = label_first(heap, run, pages, label);
    if (ph_load_relaxed(&front->grown_pages) > growth_step(heap))
        ph_heap_grown(heap, front);
    if (ph_front_is_tick_due(front))
        ph_heap_tick(heap, front);
    return run;
}

/* ---- free ------------------------------------------------------------------------------ */

/* Length of the live run that begins at `page` if that is `pages` (0: whatever it is); else 0. */
static unsigned length_of(const ph_block *block, unsigned page, size_t pages)
{
    if (pages == 0)
        return ph_block_live_pages(block, page);
    return ph_block_has_run(block, page, pages) ? (unsigned)pages : 0;
}

/* The live run of that length (0: any) that begins there is the caller's alone from now on (owner held).
 * Returns its length, 0 if there is no such run. */
static unsigned claim_held(ph_front *owner, ph_block *block, uintptr_t address, size_t pages)
{
    unsigned page = ph_block_page(block, address);
    unsigned length = length_of(block, page, pages);
    if (length == 0 || ph_front_is_hot(owner, address) ||
        !ph_block_claim(block, page, length, ph_front_is_shared(owner)))
        return 0;
    if (ph_load_relaxed(&owner->hot_run) == address)
        ph_front_forget_hot(owner);
    return length;
}

/* Enter our own front, which keeps `owner` shared (F6).  False, and not entered: the block has moved, or its
 * owner was private and is shared now.  Look again. */
static inline bool enter_beside(ph_front *mine, ph_front *owner, const ph_block *block)
{
    ph_front_enter(mine);
    /* Pairs with ph_front_share: its owner's plain stores to marks come before our locked instructions. */
    bool is_shared = ph_load_acquire(&owner->shared) != 0;
    if (is_shared && ph_load_relaxed(ph_owner_of(block)) == owner)
        return true;
    ph_front_leave(mine);
    if (!is_shared)
        ph_front_make_shared(owner, block);
    return false;
}

/* As claim_held, beside the owner: another thread may free the same run at this moment. */
static inline unsigned claim_beside(ph_block *block, unsigned page, size_t pages)
{
    unsigned length = length_of(block, page, pages);
    return length != 0 && ph_block_claim(block, page, length, true) ? length : 0;
}

/* A claimed run of this front: give it to the magazines, or to its block (front held). */
static void retire(ph_front *front, ph_block *block, uintptr_t address, unsigned pages)
{
    ph_front_count_free(front);
    if (ph_front_keep(front, block, address, pages))
        return;
    ph_front_drain_half(front, pages); /* which leaves a spare record, if there was a full one */
    if (!ph_front_keep(front, block, address, pages))
        ph_front_give(front, block, ph_block_page(block, address), pages, false);
}

static int free_own(pageheap *heap, ph_front *front, ph_block *block, uintptr_t address, size_t pages,
                    bool *ret_moved)
{
    unsigned length = 0;
    if (pages != 0 && pages <= front->block_pages)
        ph_front_restock(front, (unsigned)pages);
    ph_front_enter(front);
    *ret_moved = ph_load_relaxed(ph_owner_of(block)) != front;
    if (!*ret_moved)
        length = claim_held(front, block, address, pages);
    if (length != 0)
        retire(front, block, address, length);
    bool is_over = ph_front_cached_pages(front) > front->cache_limit_pages;
    ph_front_leave(front);
    if (is_over)
        ph_front_relimit(heap, front);
    return length != 0 ? 0 : PAGEHEAP_EBADRUN;
}

/* The owner is to have this run back, whose mark we have cleared.  We are inside our own front (F6). */
static void give_remote(ph_front *mine, ph_front *owner, ph_block *block, unsigned page, unsigned pages)
{
    if (ph_remote_set(block, page))
        ph_front_notify(block);
    ph_bump_relaxed(&mine->outward_free_calls, 1);
    ph_bump_relaxed(&mine->outward_free_pages, pages);
    ph_front_note_freed_into(owner);
}

static int free_foreign(ph_front *mine, ph_front *owner, ph_block *block, uintptr_t address, size_t pages,
                        bool *ret_moved)
{
    unsigned page = ph_block_page(block, address);
    *ret_moved = !enter_beside(mine, owner, block);
    if (*ret_moved)
        return PAGEHEAP_EBADRUN;
    unsigned length = claim_beside(block, page, pages);
    if (length != 0)
        give_remote(mine, owner, block, page, length);
    ph_front_leave(mine);
    return length != 0 ? 0 : PAGEHEAP_EBADRUN;
}

bool ph_run_free_foreign(ph_front *mine, ph_front *owner, uintptr_t address, size_t pages)
{
    bool has_moved;
    return owner->heap == mine->heap && ph_front_is_shared(owner) &&
           free_foreign(mine, owner, ph_block_of_ours(address), address, pages, &has_moved) == 0;
}

/* There was no memory for a front of our own.  A valid free succeeds all the same, by the slow way. */
static int free_as_stranger(ph_front *owner, ph_block *block, uintptr_t address, size_t pages,
                            bool *ret_moved)
{
    unsigned length = 0;
    ph_front_lock(owner);
    *ret_moved = ph_load_relaxed(ph_owner_of(block)) != owner;
    if (!*ret_moved)
        length = claim_held(owner, block, address, pages);
    if (length != 0) {
        ph_front_count_free(owner);
        ph_front_give(owner, block, ph_block_page(block, address), length, false);
    }
    ph_front_unlock(owner);
    return length != 0 ? 0 : PAGEHEAP_EBADRUN;
}

/* Long runs, special runs, and everything that is not a run. */
static int free_unowned(pageheap *heap, ph_block *block, uintptr_t address, size_t pages)
{
    if (ph_load_relaxed(&block->kind) == PH_BLOCK_LARGE &&
        ph_load_relaxed(&block->large.state) != PH_LARGE_SPECIAL)
        return ph_large_free(heap, block, address, pages);
    return ph_special_free(heap, address, pages);
}

/* Nobody owns this block, so it is not a run's first, but a huge run may have it.  With guards, what its
 * holder has begins an alignment unit above: here, perhaps. */
static int free_within_huge(pageheap *heap, uintptr_t address, size_t pages)
{
    const ph_block *head = ph_huge_head(address);
    const ph_front *owner = head == NULL ? NULL : ph_owner_at(ph_block_base(head));
    if (owner == NULL || owner->heap != heap)
        return PAGEHEAP_ENOTOURS;
    return ph_special_free(heap, address, pages);
}

static int free_run(pageheap *heap, ph_front *mine, uintptr_t address, size_t pages)
{
    if (address % ph_heap_page_bytes(heap) != 0)
        return PAGEHEAP_EINVAL;
    ph_block *block = ph_block_of(address);
    for (;;) {
        bool moved = false;
        int code;
        ph_front *owner = ph_owner_at(address);
        if (owner == NULL)
            return free_within_huge(heap, address, pages);
        if (owner->heap != heap)
            return PAGEHEAP_ENOTOURS;
        if (owner == mine)
            code = free_own(heap, mine, block, address, pages, &moved);
        else if (owner == &heap->special)
            return free_unowned(heap, block, address, pages);
        else if (mine == NULL)
            code = free_as_stranger(owner, block, address, pages, &moved);
        else
            code = free_foreign(mine, owner, block, address, pages, &moved);
        if (!moved)
            return code;
    }
}

int ph_run_free(pageheap *heap, uintptr_t address, size_t pages)
{
    return free_run(heap, ph_front_mine(heap), address, pages);
}

/* ---- a free in two steps --------------------------------------------------------------- */

int ph_run_claim(pageheap *heap, uintptr_t address, uint64_t pages)
{
    ph_front *mine = ph_front_mine(heap);
    if (address % ph_heap_page_bytes(heap) != 0 || pages == 0)
        return PAGEHEAP_EINVAL;
    ph_block *block = ph_block_of(address);
    for (;;) {
        bool moved;
        unsigned length = 0;
        ph_front *owner = ph_owner_at(address);
        if (owner == NULL || owner->heap != heap)
            return PAGEHEAP_ENOTOURS;
        if (owner == &heap->special)
            return ph_large_claim(block, address, pages);
        if (owner != mine && mine != NULL) {
            moved = !enter_beside(mine, owner, block);
            if (!moved) {
                length = claim_beside(block, ph_block_page(block, address), pages);
                ph_front_leave(mine);
            }
        } else {
            ph_front_hold(owner, mine);
            moved = ph_load_relaxed(ph_owner_of(block)) != owner;
            if (!moved)
                length = claim_held(owner, block, address, pages);
            ph_front_release(owner, mine);
        }
        if (!moved)
            return length != 0 ? 0 : PAGEHEAP_EBADRUN;
    }
}

static bool return_foreign(ph_front *mine, ph_front *owner, ph_block *block, uintptr_t address, size_t pages)
{
    if (!enter_beside(mine, owner, block))
        return false;
    give_remote(mine, owner, block, ph_block_page(block, address), (unsigned)pages);
    ph_front_leave(mine);
    return true;
}

static bool return_held(ph_front *mine, ph_front *owner, ph_block *block, uintptr_t address, size_t pages,
                        bool clean)
{
    ph_front_hold(owner, mine);
    bool is_done = ph_load_relaxed(ph_owner_of(block)) == owner;
    if (is_done && owner == mine && !clean) {
        retire(owner, block, address, (unsigned)pages);
    } else if (is_done) {
        ph_front_count_free(owner);
        ph_front_give(owner, block, ph_block_page(block, address), (unsigned)pages, clean);
    }
    ph_front_release(owner, mine);
    return is_done;
}

void ph_run_return(pageheap *heap, uintptr_t address, uint64_t pages, bool clean)
{
    ph_front *mine = ph_front_mine(heap);
    ph_block *block = ph_block_of_ours(address);
    bool is_done = false;
    if (ph_load_relaxed(&block->kind) == PH_BLOCK_LARGE) {
        ph_large_return(heap, block, clean);
        return;
    }
    if (mine != NULL)
        ph_front_restock(mine, (unsigned)pages);
    while (!is_done) {
        ph_front *owner = ph_load_acquire(ph_owner_of(block)); /* pairs with ph_front_attach */
        if (owner == mine || mine == NULL || clean)
            is_done = return_held(mine, owner, block, address, pages, clean);
        else
            is_done = return_foreign(mine, owner, block, address, pages);
    }
    if (mine != NULL && ph_front_cached_pages(mine) > mine->cache_limit_pages)
        ph_front_relimit(heap, mine);
}
