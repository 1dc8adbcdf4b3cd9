/* SPDX-License-Identifier: MIT */
/* pieces.c -- take and give pieces.  What they are is told in pieces.h. */
#include "exec/fast.h"

#include "map/meta.h"

/* Pieces cut at a miss. */
#define REFILL_PIECES 8

/* ---- keeping (front held) ----------------------------------------------------------------- */

static void give_kept(const pageheap_exec *exec, ph_pieces *pieces, unsigned granules, uint32_t keep,
                      ph_slab **closed)
{
    while (pieces->tops[granules] > &pieces->kept[granules][1 + keep]) {
        ph_kept_piece piece = *--pieces->tops[granules];
        ph_slab_give(pieces, piece.slab, ph_slab_granule(exec, piece.rx), granules, closed);
    }
}

/* A piece whose mark is clear and that holds traps. */
static void keep_piece(const pageheap_exec *exec, ph_pieces *pieces, ph_slab *slab, uintptr_t rx,
                       unsigned granules, ph_slab **closed)
{
    if (granules > PH_KEPT_GRANULES_MAX) {
        ph_slab_give(pieces, slab, ph_slab_granule(exec, rx), granules, closed);
        return;
    }
    if (pieces->tops[granules]->rx == PH_KEPT_END)
        give_kept(exec, pieces, granules, PH_KEPT_EACH / 2, closed);
    *pieces->tops[granules]++ = (ph_kept_piece){ rx, slab };
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
    ph_slab *slab = ph_slab_of(block);
    unsigned taken = ph_block_take_many(block, granules, count, starts, &clean);
    ph_index_update(&pieces->index, block);
    for (unsigned i = taken; i-- > 1;)
        *pieces->tops[granules]++ =
            (ph_kept_piece){ ph_slab_address(exec, slab, starts[i] & PH_START_MASK), slab };
    *ret_piece = (ph_kept_piece){ ph_slab_address(exec, slab, starts[0] & PH_START_MASK), slab };
    return true;
}

/* The newest kept piece, or one that is cut, live. */
static bool take(pageheap_exec *exec, ph_front *mine, unsigned granules, ph_kept_piece *ret_piece)
{
    ph_slab *closed = NULL;
    ph_front_enter(mine);
    ph_slabs_collect(mine, &closed);
    ph_kept_piece **top = granules <= PH_KEPT_GRANULES_MAX ? &mine->pieces->tops[granules] : NULL;
    bool is_taken = top != NULL && (*top)[-1].rx != 0;
    if (is_taken)
        *ret_piece = *--*top;
    else
        is_taken = cut(exec, mine->pieces, granules, ret_piece);
    if (is_taken)
        enliven(exec, mine, ret_piece);
    ph_front_leave(mine);
    ph_slabs_return(exec, closed);
    return is_taken;
}

int ph_piece_alloc(pageheap_exec *exec, unsigned granules, ph_kept_piece *ret_piece)
{
    ph_front *mine = ph_front_mine(exec->heap);
    if (mine == NULL || pieces_of(exec, mine) == NULL)
        return PAGEHEAP_ENOMEM;
    bool is_taken = take(exec, mine, granules, ret_piece);
    for (unsigned attempt = 0; !is_taken && attempt < 2; attempt++) {
        int code = ph_slab_open(exec, mine);
        if (code != 0)
            return code;
        is_taken = take(exec, mine, granules, ret_piece);
    }
    return is_taken ? 0 : PAGEHEAP_ENOMEM;
}

/* ---- free --------------------------------------------------------------------------------- */

/* Clear the mark: the piece is the caller's alone. */
static int claim(ph_front *mine, ph_slab *slab, unsigned granule, size_t granules)
{
    for (;;) {
        ph_front *owner = ph_load_acquire(&slab->owner); /* pairs with ph_slab_open */
        if (owner == NULL)
            return PAGEHEAP_EBADRUN;
        bool by_holding = owner == mine || mine == NULL;
        if (by_holding)
            ph_front_hold(owner, mine);
        else
            ph_front_enter(mine);
        bool is_shared = ph_load_acquire(&owner->shared) != 0; /* pairs with ph_front_share */
        bool is_settled = ph_load_relaxed(&slab->owner) == owner && (by_holding || is_shared);
        bool is_claimed = is_settled && ph_block_has_run(&slab->block, granule, granules) &&
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

/* A claimed piece goes back to whose it is. */
static void give_back(pageheap_exec *exec, ph_front *mine, ph_slab *slab, uintptr_t rx, size_t granules)
{
    ph_front *owner = ph_load_acquire(&slab->owner); /* it stays: our piece is not back yet */
    unsigned granule = ph_slab_granule(exec, rx);
    ph_slab *closed = NULL;
    if (owner != mine && mine != NULL) {
        ph_slab_give_remote(owner, slab, granule);
        return;
    }
    ph_front_hold(owner, mine);
    keep_piece(exec, owner->pieces, slab, rx, (unsigned)granules, &closed);
    ph_front_release(owner, mine);
    ph_slabs_return(exec, closed);
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
        ph_front *owner = ph_load_acquire(&slab->owner); /* pairs with ph_slab_open */
        if (owner == NULL)
            return PAGEHEAP_EBADRUN;
        ph_front_hold(owner, mine);
        bool is_its = ph_load_relaxed(&slab->owner) == owner;
        bool shared = ph_front_is_shared(owner);
        bool is_live = is_its && ph_block_has_run(&slab->block, granule, granules) &&
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
    *ret_start = ph_slab_address(exec, slab, (unsigned)first);
    *ret_granules = ph_block_run_pages(&slab->block, (unsigned)first);
    return *ret_granules != 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

void ph_pieces_trim(pageheap_exec *exec)
{
    ph_slab *closed = NULL;
    ph_fronts_lock_all(exec->heap);
    for (PH_EACH_FRONT(front, exec->heap)) {
        if (front->pieces == NULL)
            continue;
        ph_slabs_collect(front, &closed);
        for (unsigned granules = 1; granules <= PH_KEPT_GRANULES_MAX; granules++)
            give_kept(exec, front->pieces, granules, 0, &closed);
        ph_slabs_close_empty(front->pieces, &closed);
    }
    ph_fronts_unlock_all(exec->heap);
    ph_slabs_return(exec, closed);
}

const char *ph_pieces_check(pageheap_exec *exec)
{
    const char *wrong = NULL;
    ph_fronts_lock_all(exec->heap);
    for (PH_EACH_FRONT(front, exec->heap)) {
        const ph_slab *slab = front->pieces == NULL ? NULL : front->pieces->slabs;
        for (; slab != NULL && wrong == NULL; slab = slab->next)
            wrong = ph_load_relaxed(&slab->owner) != front ? "P1: a front lists a slab that is not its own"
                                                           : ph_block_check(&slab->block);
    }
    ph_fronts_unlock_all(exec->heap);
    return wrong;
}

void ph_pieces_end(pageheap_exec *exec)
{
    for (PH_EACH_FRONT(front, exec->heap)) {
        if (front->pieces != NULL)
            ph_meta_free(front->pieces, sizeof *front->pieces);
        front->pieces = NULL;
    }
    ph_slabs_end(exec);
}
