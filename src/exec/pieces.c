/* SPDX-License-Identifier: MIT */
/* pieces.c -- take and give pieces.  What they are is told in pieces.h. */
#include "exec/fast.h"

#include "map/meta.h"

/* Pieces cut at a miss. */
#define REFILL_PIECES 8

static ph_slab *slab_of_block(ph_block *block)
{
    return (ph_slab *)(void *)block; /* its first member */
}

static uintptr_t piece_address(const pageheap_exec *exec, const ph_slab *slab, unsigned granule)
{
    return slab->rx + ((uintptr_t)granule << exec->granule_log2);
}

static size_t slab_pages(const pageheap_exec *exec)
{
    return (size_t)1 << (exec->slab_log2 - exec->page_log2);
}

/* ---- slabs come and go -------------------------------------------------------------------- */

/* The record of this place, made if it has none (C5). */
static ph_slab *slab_record(pageheap_exec *exec, uintptr_t rx)
{
    _Atomic(ph_slab *) *slot = &exec->slabs[(rx - exec->rx_base) >> exec->slab_log2];
    ph_slab *slab = ph_load_acquire(slot);
    if (slab != NULL)
        return slab;
    slab = ph_meta_alloc(sizeof *slab);
    if (slab == NULL)
        return NULL;
    slab->rx = rx;
    ph_store_release(slot,
                     slab); /* pairs with ph_slab_at; the place is ours alone: its run has just been taken */
    return slab;
}

/* A new slab for the calling thread's front.  Nothing is held. */
static int open_slab(pageheap_exec *exec, ph_front *mine)
{
    uintptr_t rx;
    unsigned pages = (unsigned)slab_pages(exec);
    uintptr_t run = ph_code_take_run(exec, pages, pages);
    int code = run == 0 ? PAGEHEAP_ENOMEM : ph_code_finish(exec, run, pages, &rx);
    if (code != 0)
        return code;
    ph_slab *slab = slab_record(exec, rx);
    if (slab == NULL) {
        ph_run_return(exec->heap, rx, pages, false);
        return PAGEHEAP_ENOMEM;
    }
    ph_block_init(&slab->block, slab->tags, 0, PH_PAGE_LOG2_MIN, false);
    slab->block.bin_index = PH_NO_BIN;
    if (ph_bits_any(exec->executed, ph_code_page(exec, rx), pages))
        ph_bits_set(slab->executed, 0, PH_SLAB_GRANULES); /* as pages, or as another slab's pieces */
    ph_fetch_add_relaxed(&exec->slab_count, 1);
    ph_front_enter(mine);
    slab->prev = NULL;
    slab->next = mine->pieces->slabs;
    if (slab->next != NULL)
        slab->next->prev = slab;
    mine->pieces->slabs = slab;
    ph_index_update(&mine->pieces->index, &slab->block);
    ph_store_release(&slab->owner, mine); /* pairs with ph_slab_at */
    ph_front_leave(mine);
    return 0;
}

/* An empty slab is no slab any more: onto the caller's list (front held).  One that hangs on the pending
 * stack stays; one may still be hung there after this (notify). */
static void close_empty(ph_pieces *pieces, ph_slab *slab, ph_slab **closed)
{
    if (slab->block.unused_pages != PH_SLAB_GRANULES || ph_load_relaxed(&slab->block.pending) != 0)
        return;
    if (slab->prev != NULL)
        slab->prev->next = slab->next;
    else
        pieces->slabs = slab->next;
    if (slab->next != NULL)
        slab->next->prev = slab->prev;
    ph_index_remove(&pieces->index, &slab->block);
    ph_store_relaxed(&slab->owner, NULL);
    slab->next = *closed;
    *closed = slab;
}

/* The same, but a front keeps its last slab, so that a program at the edge of one does not bounce. */
static void close_if_spare(ph_pieces *pieces, ph_slab *slab, ph_slab **closed)
{
    if (slab->next != NULL || slab->prev != NULL)
        close_empty(pieces, slab, closed);
}

/* Their pages go back to the heap, full of traps (P4).  Nothing is held. */
static void return_slabs(pageheap_exec *exec, ph_slab *closed)
{
    while (closed != NULL) {
        ph_slab *next = closed->next;
        uintptr_t rx = closed->rx;
        if (ph_bits_any(closed->executed, 0, PH_SLAB_GRANULES))
            ph_bits_set(exec->executed, ph_code_page(exec, rx), slab_pages(exec));
        ph_fetch_sub_relaxed(&exec->slab_count, 1);
        (void)ph_run_free(exec->heap, rx, slab_pages(exec));
        closed = next;
    }
}

/* ---- giving back to slabs (front held) ---------------------------------------------------- */

static void give_to_slab(ph_pieces *pieces, ph_slab *slab, unsigned granule, unsigned granules,
                         ph_slab **closed)
{
    ph_block_give(&slab->block, granule, granules, false);
    ph_index_update(&pieces->index, &slab->block);
    close_if_spare(pieces, slab, closed);
}

static void give_kept(const pageheap_exec *exec, ph_pieces *pieces, unsigned granules, uint32_t keep,
                      ph_slab **closed)
{
    while (pieces->tops[granules] > &pieces->kept[granules][1 + keep]) {
        ph_kept_piece piece = *--pieces->tops[granules];
        give_to_slab(pieces, piece.slab, ph_slab_granule(exec, piece.rx), granules, closed);
    }
}

/* A piece whose mark is clear and that holds traps. */
static void keep_piece(const pageheap_exec *exec, ph_pieces *pieces, ph_slab *slab, uintptr_t rx,
                       unsigned granules, ph_slab **closed)
{
    if (granules > PH_KEPT_GRANULES_MAX) {
        give_to_slab(pieces, slab, ph_slab_granule(exec, rx), granules, closed);
        return;
    }
    if (pieces->tops[granules]->rx == PH_KEPT_END)
        give_kept(exec, pieces, granules, PH_KEPT_EACH / 2, closed);
    *pieces->tops[granules]++ = (ph_kept_piece){ rx, slab };
}

/* Sequentially consistent, as is the clearing of `pending` before it. */
static bool has_remote_bits(const ph_block *block)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        any |= atomic_load(&block->remote[w]);
    return any != 0;
}

/* Hang the slab up for its owner to collect.  As ph_front_notify: another's notice may have had our piece
 * collected meanwhile, and the slab closed, or closed and opened again elsewhere. */
static void notify(ph_slab *slab)
{
    ph_block *block = &slab->block;
    while (atomic_exchange(&block->pending, 1) == 0) {
        ph_front *owner = ph_load_acquire(&slab->owner); /* pairs with open_slab */
        if (owner != NULL) {
            ph_block *top = ph_load_relaxed(&owner->pieces->pending);
            do {
                ph_store_relaxed(&block->pending_next, top);
            } while (!ph_cas_weak_release(&owner->pieces->pending, &top, block)); /* pairs with collect */
            return;
        }
        atomic_exchange(&block->pending, 0);
        if (!has_remote_bits(block))
            return;
    }
}

/* The slab's remote bits go back to it (front held). */
static void collect_slab(ph_pieces *pieces, ph_slab *slab, ph_slab **closed)
{
    ph_block *block = &slab->block;
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++) {
        uint64_t freed = atomic_exchange(&block->remote[w], 0); /* pairs with give_remote */
        for (; freed != 0; freed &= freed - 1) {
            unsigned granule = 64 * w + ph_lowest_bit(freed);
            ph_block_give(block, granule, ph_block_run_pages(block, granule), false);
        }
    }
    ph_index_update(&pieces->index, block);
    close_if_spare(pieces, slab, closed);
}

/* What other threads have freed goes back to the slabs.  As ph_front_collect. */
static void collect(ph_front *front, ph_slab **closed)
{
    ph_pieces *pieces = front->pieces;
    if (ph_load_relaxed(&pieces->pending) == NULL)
        return;
    ph_block *block = ph_exchange_acq_rel(&pieces->pending, NULL); /* pairs with notify */
    while (block != NULL) {
        ph_block *next = ph_load_relaxed(&block->pending_next);
        ph_slab *slab = slab_of_block(block);
        /* Cleared before the bits are read: whoever sets one after that hangs the slab up again. */
        atomic_exchange(&block->pending, 0);
        if (ph_load_relaxed(&slab->owner) == front)
            collect_slab(pieces, slab, closed);
        else if (has_remote_bits(block))
            notify(slab); /* it has gone to another front since */
        block = next;
    }
}

/* ---- alloc -------------------------------------------------------------------------------- */

/* The front's pieces, made if it has none; front not held, only its thread calls. */
static ph_pieces *pieces_of(pageheap_exec *exec, ph_front *mine)
{
    if (mine->pieces != NULL)
        return mine->pieces;
    ph_pieces *pieces = ph_meta_alloc(sizeof *pieces);
    if (pieces == NULL)
        return NULL;
    ph_fetch_add_relaxed(&exec->heap->metadata_bytes, sizeof *pieces);
    for (unsigned granules = 0; granules <= PH_KEPT_GRANULES_MAX; granules++) {
        pieces->tops[granules] = &pieces->kept[granules][1];
        pieces->kept[granules][1 + PH_KEPT_EACH].rx = PH_KEPT_END;
    }
    ph_front_enter(mine);
    mine->pieces = pieces;
    ph_front_leave(mine);
    return pieces;
}

static void enliven(const pageheap_exec *exec, ph_front *mine, const ph_kept_piece *piece)
{
    ph_block_mark(&piece->slab->block, ph_slab_granule(exec, piece->rx), ph_front_is_shared(mine));
}

/* Cut a few pieces from the best slab; the first is the answer, the others are kept (front held). */
static bool cut(const pageheap_exec *exec, ph_pieces *pieces, unsigned granules, ph_kept_piece *ret_piece)
{
    uint16_t starts[REFILL_PIECES];
    unsigned clean;
    ph_block *block = ph_index_best(&pieces->index, granules);
    if (block == NULL)
        return false;
    unsigned count = granules > PH_KEPT_GRANULES_MAX ? 1 : REFILL_PIECES;
    ph_slab *slab = slab_of_block(block);
    unsigned taken = ph_block_take_many(block, granules, count, starts, &clean);
    ph_index_update(&pieces->index, block);
    for (unsigned i = taken; i-- > 1;)
        *pieces->tops[granules]++ =
            (ph_kept_piece){ piece_address(exec, slab, starts[i] & PH_START_MASK), slab };
    *ret_piece = (ph_kept_piece){ piece_address(exec, slab, starts[0] & PH_START_MASK), slab };
    return true;
}

/* The newest kept piece, or one that is cut, live. */
static bool take(pageheap_exec *exec, ph_front *mine, unsigned granules, ph_kept_piece *ret_piece)
{
    ph_slab *closed = NULL;
    ph_front_enter(mine);
    collect(mine, &closed);
    ph_kept_piece **top = granules <= PH_KEPT_GRANULES_MAX ? &mine->pieces->tops[granules] : NULL;
    bool is_taken = top != NULL && (*top)[-1].rx != 0;
    if (is_taken)
        *ret_piece = *--*top;
    else
        is_taken = cut(exec, mine->pieces, granules, ret_piece);
    if (is_taken)
        enliven(exec, mine, ret_piece);
    ph_front_leave(mine);
    return_slabs(exec, closed);
    return is_taken;
}

int ph_piece_alloc(pageheap_exec *exec, unsigned granules, ph_kept_piece *ret_piece)
{
    ph_front *mine = ph_front_mine(exec->heap);
    if (mine == NULL || pieces_of(exec, mine) == NULL)
        return PAGEHEAP_ENOMEM;
    bool is_taken = take(exec, mine, granules, ret_piece);
    for (unsigned attempt = 0; !is_taken && attempt < 2; attempt++) {
        int code = open_slab(exec, mine);
        if (code != 0)
            return code;
        is_taken = take(exec, mine, granules, ret_piece);
    }
    return is_taken ? 0 : PAGEHEAP_ENOMEM;
}

/* ---- free --------------------------------------------------------------------------------- */

/* True if a live piece of this length begins there. */
static bool is_piece(const ph_slab *slab, unsigned granule, size_t granules)
{
    if (granules - 1 < 64)
        return ph_tags_have_run(slab->tags, granule, granules);
    return ph_block_live_pages(&slab->block, granule) == granules;
}

/* Clear the mark: the piece is the caller's alone. */
static int claim(ph_front *mine, ph_slab *slab, unsigned granule, size_t granules)
{
    for (;;) {
        ph_front *owner = ph_load_acquire(&slab->owner); /* pairs with open_slab */
        if (owner == NULL)
            return PAGEHEAP_EBADRUN;
        bool by_holding = owner == mine || mine == NULL;
        if (by_holding)
            ph_front_hold(owner, mine);
        else
            ph_front_enter(mine);
        bool is_shared = ph_load_acquire(&owner->shared) != 0; /* pairs with ph_front_share */
        bool is_settled = ph_load_relaxed(&slab->owner) == owner && (by_holding || is_shared);
        bool is_claimed = is_settled && is_piece(slab, granule, granules) &&
                          ph_block_claim(&slab->block, granule, (unsigned)granules, is_shared);
        if (by_holding)
            ph_front_release(owner, mine);
        else
            ph_front_leave(mine);
        if (is_settled)
            return is_claimed ? 0 : PAGEHEAP_EBADRUN;
        if (!by_holding && !is_shared)
            ph_front_make_shared(owner, NULL);
    }
}

static void give_remote(ph_front *owner, ph_slab *slab, unsigned granule)
{
    /* Sequentially consistent, as is collect: either it sees the bit, or we see that it took the slab off. */
    atomic_fetch_or(&slab->block.remote[granule / 64], UINT64_C(1) << (granule % 64));
    if (atomic_load(&slab->block.pending) == 0)
        notify(slab);
    if (ph_load_relaxed(&owner->was_freed_into) == 0)
        ph_store_relaxed(&owner->was_freed_into, 1);
}

/* A claimed piece goes back to whose it is. */
static void give_back(pageheap_exec *exec, ph_front *mine, ph_slab *slab, uintptr_t rx, size_t granules)
{
    ph_front *owner = ph_load_acquire(&slab->owner); /* it stays: our piece is not back yet */
    unsigned granule = ph_slab_granule(exec, rx);
    ph_slab *closed = NULL;
    if (owner != mine && mine != NULL) {
        give_remote(owner, slab, granule);
        return;
    }
    ph_front_hold(owner, mine);
    keep_piece(exec, owner->pieces, slab, rx, (unsigned)granules, &closed);
    ph_front_release(owner, mine);
    return_slabs(exec, closed);
}

/* It may hold something else than traps; it is ours alone. */
static bool needs_fill(const pageheap_exec *exec, const ph_slab *slab, uintptr_t rx, unsigned granule,
                       size_t granules)
{
    return exec->fills && (ph_bits_any(slab->written, granule, granules) ||
                           *(const volatile uint64_t *)rx != PH_TRAP_INSTRUCTIONS);
}

int ph_piece_free(pageheap_exec *exec, ph_slab *slab, uintptr_t rx, size_t granules)
{
    unsigned granule = ph_slab_granule(exec, rx);
    ph_front *mine = ph_front_mine(exec->heap);
    if ((rx & exec->granule_mask) != 0)
        return PAGEHEAP_EINVAL;
    int code = claim(mine, slab, granule, granules);
    if (code != 0)
        return code;
    ph_code_tell_freed(exec, rx, granules << exec->granule_log2);
    if (needs_fill(exec, slab, rx, granule, granules) &&
        ph_code_fill(exec, rx, granules << exec->granule_log2) == 0)
        ph_bits_clear(slab->written, granule, granules);
    give_back(exec, mine, slab, rx, granules);
    return 0;
}

/* ---- shrink, find ------------------------------------------------------------------------- */

int ph_piece_shrink(pageheap_exec *exec, ph_slab *slab, uintptr_t rx, size_t granules, size_t new_granules)
{
    ph_front *mine = ph_front_mine(exec->heap);
    unsigned granule = ph_slab_granule(exec, rx);
    if ((rx & exec->granule_mask) != 0)
        return PAGEHEAP_EINVAL;
    for (;;) {
        ph_front *owner = ph_load_acquire(&slab->owner); /* pairs with open_slab */
        if (owner == NULL)
            return PAGEHEAP_EBADRUN;
        ph_front_hold(owner, mine);
        bool is_its = ph_load_relaxed(&slab->owner) == owner;
        bool shared = ph_front_is_shared(owner);
        bool is_live = is_its && is_piece(slab, granule, granules) &&
                       ph_block_claim(&slab->block, granule, (unsigned)granules, shared);
        if (is_live && new_granules < granules) {
            ph_block_cut_after(&slab->block, granule + (unsigned)new_granules - 1);
            ph_block_mark(&slab->block, granule + (unsigned)new_granules, shared);
        }
        if (is_live)
            ph_block_mark(&slab->block, granule, shared);
        ph_front_release(owner, mine);
        if (is_its && !is_live)
            return PAGEHEAP_EBADRUN;
        if (is_live)
            break;
    }
    if (new_granules == granules)
        return 0;
    return ph_piece_free(exec, slab, rx + ((uintptr_t)new_granules << exec->granule_log2),
                         granules - new_granules);
}

bool ph_piece_find(const pageheap_exec *exec, const ph_slab *slab, uintptr_t rx, uintptr_t *ret_start,
                   unsigned *ret_granules)
{
    int first = ph_block_run_start(&slab->block, ph_slab_granule(exec, rx));
    if (first < 0)
        return false;
    *ret_start = piece_address(exec, slab, (unsigned)first);
    *ret_granules = ph_block_run_pages(&slab->block, (unsigned)first);
    return *ret_granules != 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

void ph_pieces_trim(pageheap_exec *exec)
{
    ph_slab *closed = NULL;
    ph_fronts_lock_all(exec->heap);
    for (ph_front *front = ph_load_acquire(&exec->heap->fronts); front != NULL; front = front->next) {
        if (front->pieces == NULL)
            continue;
        collect(front, &closed);
        for (unsigned granules = 1; granules <= PH_KEPT_GRANULES_MAX; granules++)
            give_kept(exec, front->pieces, granules, 0, &closed);
        ph_slab *next;
        for (ph_slab *slab = front->pieces->slabs; slab != NULL; slab = next) {
            next = slab->next;
            close_empty(front->pieces, slab, &closed);
        }
    }
    ph_fronts_unlock_all(exec->heap);
    return_slabs(exec, closed);
}

const char *ph_pieces_check(pageheap_exec *exec)
{
    const char *wrong = NULL;
    ph_fronts_lock_all(exec->heap);
    for (ph_front *front = ph_load_acquire(&exec->heap->fronts); front != NULL; front = front->next) {
        const ph_slab *slab = front->pieces == NULL ? NULL : front->pieces->slabs;
        for (; slab != NULL && wrong == NULL; slab = slab->next)
            wrong = ph_load_relaxed(&slab->owner) != front ? "P1" : ph_block_check(&slab->block);
    }
    ph_fronts_unlock_all(exec->heap);
    return wrong;
}

void ph_pieces_end(pageheap_exec *exec)
{
    for (ph_front *front = ph_load_acquire(&exec->heap->fronts); front != NULL; front = front->next) {
        if (front->pieces != NULL)
            ph_meta_free(front->pieces, sizeof *front->pieces);
        front->pieces = NULL;
    }
    for (size_t i = 0; i < exec->reserved_bytes >> exec->slab_log2; i++) {
        ph_slab *slab = ph_load_relaxed(&exec->slabs[i]);
        if (slab != NULL)
            ph_meta_free(slab, sizeof *slab);
    }
}
