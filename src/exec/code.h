/* SPDX-License-Identifier: MIT */
/* code.h -- an executable heap: a page heap whose pages are two views of one memory.
 *
 * Its pages are those of an ordinary heap (heap/heap.h), whose addresses are the rx view: the same blocks,
 * fronts, magazines and checks.  What differs stands behind the addresses: a block has no memory before its
 * first page is handed out, and pages that hold no memory ("clean") cannot be reached, so that who takes one
 * has to make it ready (blocks.c).  Code smaller than a page is cut from runs of pages (pieces.h).
 *
 * Invariants    C1  [rx_base, rx_base + reserved_bytes) is ours from create to destroy, and so is the same
 *                   range at rw_delta, where the backend has a second view; but for `lost` blocks of the
 *                   latter, which in a child of fork are another's
 *               C2  a block's `mapped` bit is set while its two views have memory; a page handed out, or
 *                   unused and not clean, lies in such a block, is not guarded, and holds traps if nobody has
 *                   written there since it was readied or freed
 *               C3  a clean page is guarded, or its block is not mapped; where there are no guards, blocks
 *                   are filled whole and pages of mapped blocks are never clean
 *               C4  `written` is set for each page of a live run that may hold anything but traps; it is
 *                   clear for all others (heaps that do not fill: for all pages)
 *               C5  slabs[i] is NULL or the record of the i-th slab's place, for good
 *
 * Lock order    map_turn, then write_turn, after the two turns of heap/heap.h; who holds write_turn takes no
 *               other, but for a fork, which takes those of every heap.  They are turns: system calls are
 *               made under them, and only their like wait.  Hooks are called under map_turn, and may use
 *               other heaps: so a fork, which holds what these need, does not wait for it (heap/fork.c).
 */
#ifndef PH_EXEC_CODE_H
#define PH_EXEC_CODE_H

#include <errno.h>

#include "exec/bits.h"
#include "heap/heap.h"
#include "os/code_os.h"
#include "pageheap/exec.h"

/* What may be done with a heap. */
enum ph_code_state {
    PH_CODE_DEAD = 0,
    PH_CODE_LIVE,
    PH_CODE_BORROWED,  /* a child's, of the policy SHARE: live spans may be written, and no more */
    PH_CODE_READ_ONLY, /* a child's, of the policy DENY, or whose copies failed: found and run */
    PH_CODE_SEALED,    /* the same, for good */
};

struct ph_slab;

/* How memory is written here and run there.  Each call returns 0 or a negative errno. */
typedef struct ph_backend {
    bool has_rw;    /* a second view */
    bool is_shared; /* shared memory: a child of fork sees the same */
    /* Give the RESERVED block at `rx` memory, and the one at `rw`, if there is a second view.  If it fails,
     * both are RESERVED. */
    int (*map)(struct pageheap_exec *exec, uintptr_t rx, uintptr_t rw);
    /* Write into mapped, unguarded pages. */
    int (*write)(struct pageheap_exec *exec, uintptr_t rx, const void *from, size_t bytes);
} ph_backend;

extern const ph_backend ph_backends[PAGEHEAP_EXEC_BACKENDS];

/* _PRIVATE: have this process's memory to write to.  0 or a negative errno. */
int ph_code_open_memory(struct pageheap_exec *exec);

struct pageheap_exec {
    pageheap *heap; /* the pages.  First: the arena links freed records here, and `state` stays DEAD */
    _Atomic uint32_t state;
    uint32_t backend; /* all these set once */
    uint32_t fork_policy;
    uint32_t granule_log2, slab_log2, page_log2;
    uint32_t piece_bytes_max; /* what is longer, rounded up to granules, is a page */
    uint32_t granule_mask;
    bool is_best; /* the backend was not asked for: another pair may stand in for one block */
    bool fills, wants_huge, uses_guards;
    uintptr_t rx_base;
    uint64_t reserved_bytes;
    uintptr_t rw_delta; /* rw - rx; 0 if there is no second view */
    uintptr_t rw_mask;  /* all ones if there is an address to write at, the rx one or another; else 0 */
    pageheap_exec_hooks hooks;

    void *tables; /* one mapping for those that follow */
    size_t tables_bytes;
    _Atomic(struct ph_slab *) *slabs;     /* by place; map_turn to set */
    _Atomic uint64_t *written, *executed; /* a bit a page; any thread that holds the span */
    _Atomic uint64_t *mapped;             /* a bit a block; map_turn to change, read by anyone */
    uint64_t *withheld; /* a bit a block: children have no rw view; map_turn, and mapped or not */
    uint64_t *lost;     /* a bit a block: its rw addresses are another's; fork.c alone sets */
    uint16_t *writers;  /* _FLIP: a count a page; write_turn */

    uint64_t carved_bytes; /* of the reservation, given to the heap as regions; grow_turn */
    ph_mutex map_turn, write_turn;
    _Atomic uint32_t writers_inside; /* our own writes under way, which a seal waits for */
    _Atomic uint64_t mapped_blocks;  /* map_turn to change */
    _Atomic uint64_t slab_count, barriers;
    uint64_t lost_blocks;            /* with lost */
    int memory_file;                 /* _PRIVATE; replaced in the child of fork */
    _Atomic uint32_t memory_process; /* whose memory that shows */
    struct {
        uintptr_t rx, rw; /* copies for the child, while a fork is under way */
        size_t bytes;
        bool is_whole;
    } copy;
};

static inline bool ph_code_is_live(const pageheap_exec *exec)
{
    return exec != NULL && ph_load_relaxed(&exec->state) == PH_CODE_LIVE;
}

static inline bool ph_code_exists(const pageheap_exec *exec)
{
    return exec != NULL && ph_load_relaxed(&exec->state) != PH_CODE_DEAD;
}

/* Live spans may be written. */
static inline bool ph_code_is_writable(const pageheap_exec *exec)
{
    uint32_t state = exec != NULL ? ph_load_relaxed(&exec->state) : (uint32_t)PH_CODE_DEAD;
    return state == PH_CODE_LIVE || state == PH_CODE_BORROWED;
}

/* True if the address lies in the heap's rx view. */
static inline bool ph_code_holds(const pageheap_exec *exec, uintptr_t rx)
{
    return rx - exec->rx_base < exec->reserved_bytes;
}

static inline const ph_backend *ph_code_backend(const pageheap_exec *exec)
{
    return &ph_backends[exec->backend];
}

/* Where an rx address is written, NULL without a second view. */
static inline void *ph_code_rw(const pageheap_exec *exec, uintptr_t rx)
{
    return (void *)((rx + exec->rw_delta) & exec->rw_mask);
}

/* A system call's result, counted if it is a failure; what is only tried out has no heap to count for. */
static inline int ph_code_note(pageheap_exec *exec, int result)
{
    return exec->heap != NULL ? ph_heap_note(exec->heap, result) : result;
}

/* A span is the caller's alone, who is about to give it back: nobody can have named anything there since. */
static inline void ph_code_tell_freed(const pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    if (exec->hooks.freed != NULL)
        exec->hooks.freed(exec->hooks.ctx, (const void *)rx, bytes);
}

static inline size_t ph_code_page(const pageheap_exec *exec, uintptr_t rx)
{
    return (rx - exec->rx_base) >> exec->page_log2;
}

/* ---- place.c ------------------------------------------------------------------------------ */

/* Reserve both views: within reach of `near`, or anywhere if that is 0; less than `bytes` if there is no
 * more. Sets rx_base, rw_delta and reserved_bytes.  0 or a negative errno. */
int ph_code_reserve(pageheap_exec *exec, uintptr_t near, uint64_t reach_bytes, uint64_t bytes);
void ph_code_unreserve(pageheap_exec *exec);
/* Where the block's rw view was lies something that is not the heap's, and stays. */
void ph_code_lose_rw(pageheap_exec *exec, uintptr_t rx);

/* ---- blocks.c ----------------------------------------------------------------------------- */

extern const ph_backing ph_backing_code;

/* Make a run that was clean, or clean in part, full of traps and fit to be handed out. */
int ph_code_ready(pageheap_exec *exec, uintptr_t rx, size_t bytes);
/* The memory of pages that are nobody's, or the caller's alone, goes back; they stay, guarded.  ENOTSUP where
 * there are no guards. */
int ph_code_discard_pages(pageheap_exec *exec, uintptr_t rx, size_t bytes);
/* The same from `rx` to the end of the block that holds the last byte, for the end of a long run; where pages
 * cannot be discarded they are filled. */
void ph_code_discard_end(pageheap_exec *exec, uintptr_t rx, size_t bytes);
/* Guard the clean pages of all blocks anew: a child of fork may have lost them. */
void ph_code_guard_again(pageheap_exec *exec);
/* Nobody reaches the block's rw view, if it has one, any more: its addresses are reserved.  0 or a negative
 * errno, counted, and the view is what it was (map_turn held, as for the next two). */
int ph_code_hide_rw(pageheap_exec *exec, uintptr_t rx);
/* No child of a fork has the block's rw view: 0 or a negative errno, counted. */
int ph_code_withhold_rw(pageheap_exec *exec, uintptr_t rx);
/* True if so, and not any more: what became of it in this child, the caller knows. */
bool ph_code_was_withheld(pageheap_exec *exec, uintptr_t rx);
bool ph_code_is_mapped(const pageheap_exec *exec, uintptr_t rx);

/* ---- spans.c ------------------------------------------------------------------------------ */

/* A run out of the heap, with what goes along with its address, or 0. */
uintptr_t ph_code_take_run(pageheap_exec *exec, uint64_t pages, unsigned align_pages);
/* Runs of pages.  Codes are public ones. */
int ph_code_alloc_pages(pageheap_exec *exec, uint64_t pages, uintptr_t *ret_rx);
int ph_code_free_pages(pageheap_exec *exec, uintptr_t rx, uint64_t pages);
int ph_code_shrink_pages(pageheap_exec *exec, uintptr_t rx, uint64_t pages, uint64_t new_pages);
/* A clean run that was just taken: made ready, or given back.  0 or a public code. */
int ph_code_finish_clean(pageheap_exec *exec, uintptr_t run, uint64_t pages, uintptr_t *ret_rx);
static inline int ph_code_finish(pageheap_exec *exec, uintptr_t run, uint64_t pages, uintptr_t *ret_rx)
{
    if (PH_UNLIKELY(run & PH_RUN_CLEAN))
        return ph_code_finish_clean(exec, run, pages, ret_rx);
    *ret_rx = ph_run_address(run);
    return 0;
}

/* ---- within.c ----------------------------------------------------------------------------- */

/* A run that lies in [lo, hi).  0 or a public code. */
int ph_code_alloc_within(pageheap_exec *exec, uint64_t pages, uintptr_t lo, uintptr_t hi, uintptr_t *ret_rx);

/* ---- write.c ------------------------------------------------------------------------------ */

#define PH_TRAP_WORDS 2048

/* 16 KiB of traps, to be copied from: what stands where there is no code. */
extern uint64_t ph_traps[PH_TRAP_WORDS];

/* Copy to a span, fill it with traps: 0 or a negative errno, EACCES once the heap is sealed. */
int ph_code_write(pageheap_exec *exec, uintptr_t rx, const void *from, size_t bytes);
int ph_code_fill(pageheap_exec *exec, uintptr_t rx, size_t bytes);
/* The span, or part of one, holds code from now on; and has run, perhaps. */
void ph_code_note_written(pageheap_exec *exec, uintptr_t rx, size_t bytes);
bool ph_code_note_executed(pageheap_exec *exec, uintptr_t rx, size_t bytes); /* true if it had been before */
bool ph_code_was_executed(const pageheap_exec *exec, uintptr_t rx, size_t bytes);

/* ---- publish.c ---------------------------------------------------------------------------- */

/* Live spans, or parts of them, may run from now on: many of them for one barrier. */
void ph_code_publish(pageheap_exec *exec, uintptr_t rx, size_t bytes);
void ph_code_publish_many(pageheap_exec *exec, const pageheap_exec_span *spans, size_t count);

/* ---- flip.c ------------------------------------------------------------------------------- */

/* 0 or a negative errno; _FLIP alone has something to do. */
int ph_code_begin_write(pageheap_exec *exec, uintptr_t rx, size_t bytes);
int ph_code_end_write(pageheap_exec *exec, uintptr_t rx, size_t bytes);

/* ---- exec.c ------------------------------------------------------------------------------- */

pageheap_exec *ph_code_create(const pageheap_exec_options *options, int *ret_error);
void ph_code_destroy(pageheap_exec *exec);
int ph_code_seal(pageheap_exec *exec);
size_t ph_code_collapse(pageheap_exec *exec);

/* ---- inspect.c ---------------------------------------------------------------------------- */

/* The live span that holds `rx`: 0 or ENOTOURS.  No lock. */
int ph_code_find(const pageheap_exec *exec, uintptr_t rx, pageheap_exec_span *ret_span);
int ph_code_each(pageheap_exec *exec, pageheap_exec_span_fn *fn, void *ctx);

/* ---- fork.c ------------------------------------------------------------------------------- */

bool ph_code_hold(pageheap *heap, bool waits);
void ph_code_let_go(pageheap *heap);
void ph_code_before_fork(pageheap *heap);
void ph_code_after_fork(pageheap *heap, bool is_child);

#endif
