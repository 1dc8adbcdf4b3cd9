/* SPDX-License-Identifier: MIT */
/* slabs.c -- runs of pages become slabs, are given pieces back, by others too, and become pages again. */
#include "exec/pieces.h"

#include "map/meta.h"

static size_t slab_pages(const pageheap_exec *exec)
{
    return (size_t)1 << (exec->slab_log2 - exec->page_log2);
}

/* ---- slabs come and go -------------------------------------------------------------------- */

/* The record of this place, made if it has none (C5).  The place is the caller's alone. */
static ph_slab *slab_record(pageheap_exec *exec, uintptr_t rx)
{
    _Atomic(ph_slab *) *slot = &exec->slabs[(rx - exec->rx_base) >> exec->slab_log2];
    ph_slab *slab = ph_load_acquire(slot); /* pairs with the release below, by who had the place before */
    if (slab != NULL)
        return slab;
    slab = ph_meta_alloc(sizeof *slab);
    if (slab == NULL)
        return NULL;
    slab->rx = rx;
    ph_store_release(slot, slab); /* pairs with ph_slab_at */
    return slab;
}

int ph_slab_open(pageheap_exec *exec, ph_front *mine)
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
    ph_block_place_tags(&slab->block, slab->tags, slab->tags + PH_BLOCK_WORDS);
    ph_block_init(&slab->block, 0, PH_PAGE_LOG2_MIN, false);
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

/* An empty slab is no slab any more: onto the caller's list (front held).  One that is pending stays; one may
 * still become so after this (ph_remote_notify). */
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

void ph_slabs_close_empty(ph_pieces *pieces, ph_slab **closed)
{
    ph_slab *next;
    for (ph_slab *slab = pieces->slabs; slab != NULL; slab = next) {
        next = slab->next;
        close_empty(pieces, slab, closed);
    }
}

void ph_slabs_return(pageheap_exec *exec, ph_slab *closed)
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

void ph_slabs_end(pageheap_exec *exec)
{
    for (size_t i = 0; i < exec->reserved_bytes >> exec->slab_log2; i++) {
        ph_slab *slab = ph_load_relaxed(&exec->slabs[i]);
        if (slab != NULL)
            ph_meta_free(slab, sizeof *slab);
    }
}

/* ---- pieces come back --------------------------------------------------------------------- */

void ph_slab_give(ph_pieces *pieces, ph_slab *slab, unsigned granule, unsigned granules, ph_slab **closed)
{
    ph_block_give(&slab->block, granule, granules, false);
    ph_index_update(&pieces->index, &slab->block);
    close_if_spare(pieces, slab, closed);
}

static _Atomic(ph_block *) *stack_of(const ph_block *block)
{
    ph_front *owner = ph_load_acquire(&ph_slab_of(block)->owner); /* pairs with ph_slab_open */
    return owner != NULL ? &owner->pieces->pending : NULL;
}

void ph_slab_give_remote(ph_front *owner, ph_slab *slab, unsigned granule)
{
    if (ph_remote_set(&slab->block, granule))
        ph_remote_notify(&slab->block, stack_of);
    ph_front_note_freed_into(owner);
}

static void collect_slab(ph_pieces *pieces, ph_slab *slab, ph_slab **closed)
{
    ph_block *block = &slab->block;
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++) {
        for (uint64_t freed = ph_remote_take(block, w); freed != 0; freed &= freed - 1) {
            unsigned granule = 64 * w + ph_lowest_bit(freed);
            ph_block_give(block, granule, ph_block_run_pages(block, granule), false);
        }
    }
    ph_index_update(&pieces->index, block);
    close_if_spare(pieces, slab, closed);
}

/* As ph_front_collect. */
void ph_slabs_collect(ph_front *front, ph_slab **closed)
{
    ph_block *next;
    for (ph_block *block = ph_remote_pop_all(&front->pieces->pending); block != NULL; block = next) {
        next = ph_remote_take_down(block);
        ph_slab *slab = ph_slab_of(block);
        if (ph_load_relaxed(&slab->owner) == front)
            collect_slab(front->pieces, slab, closed);
        else if (ph_remote_has_bits(block))
            ph_remote_notify(block, stack_of); /* it has gone to another front since */
    }
}
