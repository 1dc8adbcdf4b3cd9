/* SPDX-License-Identifier: MIT */
/* pieces.h -- code smaller than a page: pieces of granules, packed in slabs.
 *
 * A slab is a run of pages cut into 512 granules, of 64 bytes unless asked otherwise: 32 KiB.  Its record is
 * a block's record (block/block.h) with granules for pages: the same bitmaps, the same search, the same
 * check of a free.  Each front has slabs of its own, and keeps freed pieces by their length, so that its
 * thread takes and gives pieces as it takes and gives runs; other threads free as they free runs, by the
 * mark, once the front is SHARED (heap/front.h).
 *
 * P1  A slab's record stays with its place for good: who looks at it late sees no other slab's.  `owner` is
 *     NULL while the place is no slab.
 * P2  The slab's pages are one live run of the heap while `owner` is not NULL.
 * P3  What is kept are pieces of the front's own slabs, used, their marks clear, full of traps.
 * P4  Granules that are not live hold traps, and their `written` bit is clear.
 */
#ifndef PH_EXEC_PIECES_H
#define PH_EXEC_PIECES_H

#include "exec/code.h"

#define PH_SLAB_GRANULES      PH_BLOCK_PAGES_MAX
#define PH_SLAB_GRANULES_LOG2 9
#define PH_KEPT_GRANULES_MAX  63 /* longer pieces are not kept */
#define PH_KEPT_EACH          16

typedef struct ph_slab {
    ph_block block; /* first, so that a block's address is its slab's; its `number` means nothing */
    ph_block_tags tags;
    _Atomic uint64_t written[PH_BLOCK_WORDS], executed[PH_BLOCK_WORDS];
    uintptr_t rx;                /* set once */
    _Atomic(ph_front *) owner;   /* the owner's lock to change, or nobody can know it yet */
    struct ph_slab *next, *prev; /* owner's list */
} ph_slab;

typedef struct ph_kept_piece {
    uintptr_t rx;
    ph_slab *slab;
} ph_kept_piece;

/* A front's: front held.  Pieces of one length stand between a floor (rx 0) and an end, as in a magazine; the
 * top is behind the newest. */
typedef struct ph_pieces {
    ph_slab *slabs;
    _Atomic(ph_block *) pending; /* those with remote bits (heap/remote.h); any thread pushes */
    ph_kept_piece *tops[PH_KEPT_GRANULES_MAX + 1];
    ph_kept_piece kept[PH_KEPT_GRANULES_MAX + 1][1 + PH_KEPT_EACH + 1];
    ph_index index;
} ph_pieces;
#define PH_KEPT_END UINTPTR_MAX

/* The slab at this address of the heap, NULL if there is none. */
static inline ph_slab *ph_slab_at(const pageheap_exec *exec, uintptr_t rx)
{
    ph_slab *slab = ph_load_acquire(&exec->slabs[(rx - exec->rx_base) >> exec->slab_log2]); /* C5 */
    return slab != NULL && ph_load_acquire(&slab->owner) != NULL ? slab : NULL; /* pairs with ph_slab_open */
}

static inline ph_slab *ph_slab_of(const ph_block *block)
{
    return (ph_slab *)(uintptr_t)block; /* its first member */
}

static inline uintptr_t ph_slab_address(const pageheap_exec *exec, const ph_slab *slab, unsigned granule)
{
    return slab->rx + ((uintptr_t)granule << exec->granule_log2);
}

/* The number of a granule in its slab, which begins at a multiple of its size. */
static inline unsigned ph_slab_granule(const pageheap_exec *exec, uintptr_t rx)
{
    return (unsigned)(rx >> exec->granule_log2) % PH_SLAB_GRANULES;
}

/* ---- slabs.c ------------------------------------------------------------------------------ */

/* A new slab for the calling thread's front.  Nothing is held.  0 or a public code. */
int ph_slab_open(pageheap_exec *exec, ph_front *mine);

/* Give a piece back whose mark is clear and that holds traps (front held).  Slabs that have no piece left go
 * onto the caller's list *closed, all but a last one: ph_slabs_return, when nothing is held. */
void ph_slab_give(ph_pieces *pieces, ph_slab *slab, unsigned granule, unsigned granules, ph_slab **closed);

/* Leave it to the slab's owner to do so; the piece keeps it open until then.  Needs nothing held. */
void ph_slab_give_remote(ph_front *owner, ph_slab *slab, unsigned granule);

/* Do so for all that other threads have left to this front (front held). */
void ph_slabs_collect(ph_front *front, ph_slab **closed);

/* Close the last one too, if it is empty (front held). */
void ph_slabs_close_empty(ph_pieces *pieces, ph_slab **closed);

/* Their pages go back to the heap, full of traps (P4).  Nothing is held. */
void ph_slabs_return(pageheap_exec *exec, ph_slab *closed);

/* For destroy. */
void ph_slabs_end(pageheap_exec *exec);

/* ---- pieces.c ----------------------------------------------------------------------------- */

/* Codes are public ones. */
int ph_piece_alloc(pageheap_exec *exec, unsigned granules, ph_kept_piece *ret_piece);
int ph_piece_free(pageheap_exec *exec, ph_slab *slab, uintptr_t rx, size_t granules);
int ph_piece_shrink(pageheap_exec *exec, ph_slab *slab, uintptr_t rx, size_t granules, size_t new_granules);

/* The live piece that holds `rx`: its first granule and length.  No lock. */
bool ph_piece_find(const pageheap_exec *exec, const ph_slab *slab, uintptr_t rx, uintptr_t *ret_start,
                   unsigned *ret_granules);

/* Everything that is kept goes back to the slabs, and slabs without a piece to the heap. */
void ph_pieces_trim(pageheap_exec *exec);

/* Recount every slab.  The text of what does not hold, or NULL. */
const char *ph_pieces_check(pageheap_exec *exec);

/* For destroy. */
void ph_pieces_end(pageheap_exec *exec);

#endif
