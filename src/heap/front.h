/* SPDX-License-Identifier: MIT */
/* front.h -- a thread's own part of a heap: its blocks, and the runs it keeps ready.
 *
 * A front is a small page heap for one thread.  It owns whole blocks, so its thread takes and gives runs
 * without a lock, without a locked instruction, and without writing where another thread writes.
 *
 * The lock that costs its owner nothing
 *     The owner says that it is inside by a plain store to `busy`, then looks at `attention`.  Whoever else
 *     wants in takes `lock`, sets REVOKED there, and asks the kernel to run a full fence on every processor
 *     that runs this process (ph_os.barrier).  After that either the owner saw REVOKED and waits for the
 *     lock, or its `busy` is visible and the other one waits for it to be cleared.  The price, some 12 us,
 *     is paid by trim, fork and the like, and once when a thread first frees another's run.
 *     Where the system has no such fence, the owner pays for one at each entry.
 *
 * Frees by other threads
 *     The first one makes the front SHARED: from then on the mark of a run is cleared by a locked
 *     instruction by everybody, its own thread too, and that instruction alone decides who freed the run.
 *     The freeing thread sets the run's `remote` bit and hangs the block on the owner's `pending` stack
 *     (remote.h); the owner collects when it next runs dry.  A front becomes private again (F6) when nobody
 *     has done this for a while and all fronts of the heap are held.
 *
 * The hot run
 *     Many runs are freed and asked for again at once.  One freed run therefore stands in `hot_run`, its mark
 *     still set, and stands there still while it is out again: giving it and taking it change `hot_pages`
 *     and nothing else, and a second free of it is told by that field.
 *     A tick that finds the magazines as full as the last one did is in a program that takes and gives back
 *     in turn, and puts the run that has just been handed out in that place; any other tick clears it, so
 *     that the processor can foretell that nothing is there.  Other threads see live runs by their marks
 *     alone, so a front that is SHARED has no hot run; nor has one whose runs have labels.
 *     Who has none is not asked about it: a front with a hot run has other values in its doors.
 *
 * Invariants    F1  blocks with owner == this front are exactly those counted in block_count
 *               F2  used_pages == pages with used == 1 in these blocks
 *               F3  dirty_pages == unused pages of these blocks that are not clean
 *               F4  the tally's pages == pages of the runs in the magazines, each used and its mark clear;
 *                   the hot run, in or out, is this front's, used, of that length, and its mark is set
 *               F5  a block with dirty pages is on the dirty list, a block with unused pages in the index
 *               F6  SHARED is cleared only while every front of the heap is locked
 *               F7  frees_for and allocs_for, the doors, open for somebody only while attention is 0: for
 *                   the heap's address without a hot run, for hot_key with one; allocs_for for nobody
 *                   once has_labels is set, when there is no hot run any more
 *               F8  near_window's first page is near_first_page; of a front that never had a block, it is a
 *                   window in which nobody has one
 *               pageheap_check() recounts F1 to F5 and F8.
 */
#ifndef PH_HEAP_FRONT_H
#define PH_HEAP_FRONT_H

#include "base/units.h"
#include "block/block.h"
#include "heap/index.h"
#include "heap/magazine.h"
#include "heap/remote.h"
#include "heap/stretch.h"
#include "map/labels.h"
#include "map/window.h"
#include "os/mutex.h"
#include "os/os.h"

struct pageheap;

/* Long runs kept ready, newest last. */
#define PH_LARGE_SLOTS 8

/* A tick comes with each PH_TICK_CALLS-th allocation: a look at the front, and mostly at the clock. */
#define PH_TICK_CALLS 64

/* Where a front takes its blocks, apart from others. */
typedef struct ph_apart {
    uint64_t region_serial; /* 0: nowhere yet */
    ph_stretch stretch;
    bool is_refused; /* the system would not make it usable: not asked again */
} ph_apart;

typedef struct ph_front {
    /* -- owner's hot line; the others only read, but close the doors and attach blocks -- */
    _Atomic uint32_t busy;      /* owner writes */
    _Atomic int32_t calls_left; /* allocations until the next tick; below 0 if it is late */
    /* F7.  The owner exchanges what an open one is open for; others close and open them. */
    _Atomic uintptr_t frees_for;  /* whose frees may come in */
    _Atomic uintptr_t allocs_for; /* whose allocations */
    _Atomic uintptr_t hot_run;    /* 0 if there is none */
    _Atomic uint64_t hot_pages;   /* its length, not part of the tally; PH_HOT_OUT while it is live */
    _Atomic uint64_t tally;    /* pages in the magazines, and PH_TALLY_FREE for each free not carried over */
    uintptr_t near_first_page; /* held: the window's first page, by its number of 4 KiB pages */
    ph_window *near_window;    /* held: of the block that came last: most frees are there */

    /* -- held front, unless noted -- */
    ph_mutex lock PH_ALIGNED(PH_LINE_BYTES);
    _Atomic uint32_t attention;  /* why the hot path must not be taken; zero most of the time */
    uint32_t holds_lock;         /* owner: entered through lock, because it was revoked */
    uint32_t page_log2;          /* set once */
    uint32_t block_pages;        /* set once */
    bool mixed_is_clean;         /* set once: of the heap's backing */
    bool has_labels;             /* N2 is to be kept: who makes a run live says what it is called */
    _Atomic uint32_t shared;     /* PH_SHARED again, where others may read it without disturbing the owner */
    _Atomic uint32_t has_owner;  /* a living thread uses it; this lock to clear, fronts_lock too to set */
    uint64_t cache_limit_pages;  /* for ph_front_cached_pages + large_cached_pages */
    struct pageheap *heap;       /* set once */
    uintptr_t hot_key;           /* set once: what the doors are open for while there is a hot run */
    struct ph_front *next;       /* heap's list, set once; then its home's, under homes */
    struct ph_home *home;        /* homes: where it goes when its heap is gone; NULL without an owner */
    _Atomic(ph_block *) pending; /* those with remote bits; any thread pushes, holder pops all */
    _Atomic uint64_t outward_free_calls, outward_free_pages; /* owner: frees of other fronts' runs */
    _Atomic uint64_t collected_pages; /* of the pages freed by others, those back in their blocks */
    _Atomic uint64_t carried_frees;   /* frees that the tally does not count any more */
    _Atomic uint64_t ticked_calls;    /* owner: allocations up to the last tick */
    uint64_t clock_ms;                /* owner: when it last looked at the clock */
    uint64_t ticked_cached_pages;     /* owner: ph_front_cached_pages at the last tick */
    bool is_looping;                  /* owner: as many as at the tick before */
    uint64_t highest_pages;           /* owner: most live pages seen since the clock last moved */
    uint32_t blind_ticks;             /* owner: so many more without a look at the clock */
    _Atomic uint64_t times_shared;    /* its periods of staying so grow with them */
    _Atomic uint64_t shared_since_ms;
    _Atomic uint32_t was_freed_into; /* by others, since the last look (wants_privacy); any thread sets it */

    _Atomic uint64_t used_pages, dirty_pages;
    _Atomic uint64_t large_cached_pages;
    _Atomic uint64_t grown_pages; /* clean pages taken since the last look at the balance; owner resets it */
    _Atomic uint64_t block_count; /* read by anyone */
    uint64_t empty_blocks;
    ph_apart apart; /* owner, and heap's lock to change */
    ph_block *dirty_first, *dirty_last;
    uint64_t magazines_bytes;
    ph_kept *spares[PH_MAGAZINE_KINDS]; /* empty magazines, by their floors' `below` */
    uint8_t refill_runs[65];            /* runs fetched at the next miss, by run length */
    struct {
        ph_block *head;
        uint64_t pages;
    } large[PH_LARGE_SLOTS];
    uint32_t large_count;
    uint32_t drain_from; /* run length at which the next partial drain begins */
    ph_index index;
    ph_kept *tops[PH_BLOCK_PAGES_MAX + 1]; /* of the magazines, by run length; never NULL */
    struct ph_pieces *pieces;              /* exec/pieces.h, or NULL */
    uint64_t seen_collected_pages; /* purge_turn: what collected_pages was at the balance's last look */
    uint64_t seen_since_ms;        /* purge_turn: when it was first seen so */
    /* Set once; PH_DEAD_HEAP_ID from destroy's first step on, which homes guards. */
    _Atomic uint64_t heap_id;
} ph_front;

/* The bit of hot_pages that says that the hot run is live: its owner has it, and may give it back. */
#define PH_HOT_OUT (UINT64_C(1) << 63)
/* There is none: out, with a length that nobody frees. */
#define PH_HOT_NONE UINT64_MAX

/* Two counts in one word, because the hot path pays for each word that it changes.  The pages of a front's
 * magazines are fewer than this, which is 4 TiB. */
#define PH_TALLY_FREE (UINT64_C(1) << 30)

/* Reasons in `attention`; locked instructions change it. */
#define PH_REVOKED   1u /* somebody else holds the front, or wants to: under lock */
#define PH_SHARED    2u /* marks are changed by locked instructions: set with the front held, cleared by F6 */
#define PH_FENCED    4u /* no barrier on this system: entering needs a fence; set once */
#define PH_ODD_PAGES 8u /* the heap's page is not 4 KiB, which the hot path takes for granted; set once */

/* ---- holding a front ------------------------------------------------------------------- */

/* What the doors of a front with a hot run are open for: this far behind the heap's address, where no heap
 * is.  Those of code are open for the heap as ever (ph_backing in heap.h). */
#define PH_HOT_KEY_AWAY 0x2aaaaaab

/* F7: something is to be attended to from now on.  Neither a heap's address nor a key is this. */
static inline void ph_front_close(ph_front *front)
{
    ph_store_relaxed(&front->frees_for, (uintptr_t)front + 1);
    ph_store_relaxed(&front->allocs_for, (uintptr_t)front + 1);
}

/* F7: nothing is to be attended to from now on.  Both release: pairs with the acquire in ph_fast_is_open. */
static inline void ph_front_open(ph_front *front)
{
    bool has_hot = ph_load_relaxed(&front->hot_run) != 0;
    uintptr_t whom = has_hot ? front->hot_key : (uintptr_t)front->heap;
    ph_store_release(&front->frees_for, whom);
    if (!front->has_labels)
        ph_store_release(&front->allocs_for, whom);
}

/* F7: what is open for `from` is open for `to` from now on (front held).  By exchange: somebody else may
 * close it at any moment, and then it must stay closed until he has been in. */
static inline void ph_front_rekey(ph_front *front, uintptr_t from, uintptr_t to)
{
    uintptr_t was = from;
    (void)ph_cas_acq_rel(&front->frees_for, &was, to); /* pairs with the acquire in ph_fast_is_open */
    was = from;
    (void)ph_cas_acq_rel(&front->allocs_for, &was, to); /* the same */
}

/* Its own thread's way in.  False: somebody else is in it; go through ph_front_enter. */
static PH_ALWAYS_INLINE bool ph_front_try_enter(ph_front *front)
{
    ph_store_relaxed(&front->busy, 1);
    ph_compiler_fence(); /* the processor's fence is the revoker's affair */
    uint32_t attention = ph_load_acquire(&front->attention); /* pairs with the release in ph_front_unlock */
    if (PH_UNLIKELY((attention & PH_FENCED) != 0)) {
        atomic_exchange(&front->busy, 1);
        attention = atomic_load(&front->attention); /* both sequentially consistent: store, then load */
    }
    if (PH_LIKELY((attention & PH_REVOKED) == 0))
        return true;
    ph_store_release(&front->busy, 0); /* pairs with the acquire in wait_until_left */
    return false;
}

static PH_ALWAYS_INLINE void ph_front_leave_fast(ph_front *front)
{
    ph_store_release(&front->busy, 0); /* pairs with the acquire in wait_until_left */
}

/* The same, waiting where it must. */
void ph_front_enter(ph_front *front);
void ph_front_leave(ph_front *front);

/* Every other thread's way in.  Lock order: see heap.h. */
void ph_front_lock(ph_front *front);
void ph_front_unlock(ph_front *front);

/* All fronts of a heap at once, for the price of one barrier. */
void ph_fronts_lock_all(struct pageheap *heap);
void ph_fronts_unlock_all(struct pageheap *heap);

/* Hold `front` as what the calling thread is to it: `own` is the caller's front of that heap, or NULL. */
static inline void ph_front_hold(ph_front *front, ph_front *own)
{
    if (front == own)
        ph_front_enter(front);
    else
        ph_front_lock(front);
}

static inline void ph_front_release(ph_front *front, ph_front *own)
{
    if (front == own)
        ph_front_leave(front);
    else
        ph_front_unlock(front);
}

static inline bool ph_front_is_shared(const ph_front *front)
{
    return ph_load_relaxed(&front->shared) != 0;
}

/* ---- blocks (front held) --------------------------------------------------------------- */

void ph_front_attach(ph_front *front, ph_block *block);
void ph_front_detach(ph_front *front, ph_block *block);

/* Take a run that is not yet live: returns how many of its pages were clean.  Give one back whose mark is
 * clear. */
unsigned ph_front_take(ph_front *front, ph_block *block, unsigned first, unsigned pages);
void ph_front_give(ph_front *front, ph_block *block, unsigned first, unsigned pages, bool clean);

/* The same for pages that ph_front_take took without charging them to the limit. */
void ph_front_put_back(ph_front *front, ph_block *block, unsigned first, unsigned pages, bool clean);
/* Give several one-page runs of one word back, not clean. */
void ph_front_give_singles(ph_front *front, ph_block *block, unsigned word, uint64_t bits);

/* Cut a run at a multiple of `align_pages` from the front's blocks, not yet live: address | PH_RUN_CLEAN, or
 * 0.  Kept runs are not looked at. */
uintptr_t ph_front_cut_aligned(ph_front *front, unsigned pages, unsigned align_pages);

/* Give what other threads have freed back to the blocks.  Returns the number of pages. */
uint64_t ph_front_collect(ph_front *front);

/* Move a block to the end of the dirty list, if it is on it. */
void ph_front_rotate_dirty(ph_front *front, ph_block *block);

/* Give empty blocks to the pool, all of them. */
void ph_front_shed_empty(ph_front *front);

/* Hang a block with remote bits up for its owner (R1).  Needs nothing held. */
void ph_front_notify(ph_block *block);

/* Put the block where its numbers say in the index and on the dirty list. */
void ph_front_refile(ph_front *front, ph_block *block);

/* PH_RUN_CLEAN if a run with so many clean pages counts as clean. */
static inline uintptr_t ph_front_clean_flag(const ph_front *front, unsigned clean_pages, unsigned pages)
{
    return clean_pages == pages || (front->mixed_is_clean && clean_pages != 0) ? PH_RUN_CLEAN : 0;
}

/* ---- magazines (front held) ------------------------------------------------------------ */

/* Keep a run of this block whose mark is clear.  False if there is no room or no record for it. */
bool ph_front_keep(ph_front *front, ph_block *block, uintptr_t run_and_clean, unsigned pages);

/* Have no hot run: it becomes a kept one like all others, or a live one. */
void ph_front_cool(ph_front *front);

/* A run of up to a block that this thread has just been given, at a tick, is the hot one from now on, if the
 * thread is looping.  The front's own thread, not yet in it. */
void ph_front_reheat(ph_front *front, uintptr_t run, uint64_t pages);

/* From now on marks are changed by locked instructions, and no run is hot.  No change if it is shared. */
void ph_front_share(ph_front *front);

/* From now on each run's label is written, before the run is live (N2), and no run is hot. */
static inline void ph_front_begin_labels(ph_front *front)
{
    ph_front_cool(front);
    front->has_labels = true;
    ph_store_relaxed(&front->allocs_for, (uintptr_t)front + 1);
}

/* Another thread has freed a run of this front's.  Written once a while: all who free into it read it. */
static inline void ph_front_note_freed_into(ph_front *owner)
{
    if (ph_load_relaxed(&owner->was_freed_into) == 0)
        ph_store_relaxed(&owner->was_freed_into, 1);
}

/* Pages of the hot run if it is kept, or 0. */
static inline uint64_t ph_front_hot_pages(const ph_front *front)
{
    uint64_t pages = ph_load_relaxed(&front->hot_pages);
    return pages & PH_HOT_OUT ? 0 : pages;
}

/* True if this run, which looks alive, is the hot one and kept.  Who holds a live run of this front need not
 * hold the front to hear that it is not: if another run is the kept one, `hot_run` says so. */
static inline bool ph_front_is_hot(const ph_front *front, uintptr_t address)
{
    bool is_out = (ph_load_acquire(&front->hot_pages) & PH_HOT_OUT) != 0; /* pairs with ph_front_heat */
    return !is_out && ph_load_relaxed(&front->hot_run) == address;
}

/* A run that this thread has just been given, live, is the hot one from now on (front held). */
static inline void ph_front_heat(ph_front *front, uintptr_t run, uint64_t pages)
{
    ph_store_relaxed(&front->hot_run, run);
    ph_store_release(&front->hot_pages, pages | PH_HOT_OUT); /* pairs with the acquire in ph_front_is_hot */
    ph_front_rekey(front, (uintptr_t)front->heap, front->hot_key);
}

/* The hot run is not what it was. */
static inline void ph_front_forget_hot(ph_front *front)
{
    ph_store_relaxed(&front->hot_run, 0);
    ph_store_relaxed(&front->hot_pages, PH_HOT_NONE);
    ph_front_rekey(front, front->hot_key, (uintptr_t)front->heap);
}

/* One more allocation. */
static inline void ph_front_count_alloc(ph_front *front)
{
    int32_t left = ph_load_relaxed(&front->calls_left);
    if (PH_UNLIKELY(left == INT32_MIN)) { /* splits, and calls of others, come without ticks */
        ph_bump_relaxed(&front->ticked_calls, UINT64_C(1) << 31);
        left = 0;
    }
    ph_store_relaxed(&front->calls_left, left - 1);
}

/* N2: this run of the front is about to be live (front held); with or without what goes along with it. */
static inline void ph_front_label(const ph_front *front, uintptr_t run, const char *label)
{
    if (PH_UNLIKELY(front->has_labels))
        (void)ph_label_set(ph_block_of_ours(run), ph_block_page(ph_block_of_ours(run), run), label);
}

/* A run of this front becomes live (front held); with or without what goes along with it. */
static inline void ph_front_enliven(ph_front *front, uintptr_t run, const char *label)
{
    ph_block *block = ph_block_of_ours(run);
    ph_front_label(front, run, label);
    ph_block_mark(block, ph_block_page(block, run), ph_front_is_shared(front));
    ph_front_count_alloc(front);
}

/* One more allocation at the end of the hot path, which is left.  True if it is time for a tick. */
static PH_ALWAYS_INLINE bool ph_front_leave_counting(ph_front *front)
{
    PH_COUNT_DOWN(&front->calls_left, &front->busy, due); /* pairs with wait_until_left's acquire */
    return false;
due:
    return true;
}

static inline bool ph_front_is_tick_due(const ph_front *front)
{
    return ph_load_relaxed(&front->calls_left) <= 0;
}

static inline uint64_t ph_front_alloc_calls(const ph_front *front)
{
    int64_t since = PH_TICK_CALLS - (int64_t)ph_load_relaxed(&front->calls_left);
    return ph_load_relaxed(&front->ticked_calls) + (uint64_t)since;
}

static inline uint64_t ph_front_cached_pages(const ph_front *front)
{
    return ph_load_relaxed(&front->tally) % PH_TALLY_FREE;
}

static inline uint64_t ph_front_free_calls(const ph_front *front)
{
    return ph_load_relaxed(&front->carried_frees) + ph_load_relaxed(&front->tally) / PH_TALLY_FREE;
}

/* The tally's frees go elsewhere while there is room for more (front held).  Rarely: who looks on meanwhile
 * sees them twice. */
static inline void ph_front_carry_frees(ph_front *front)
{
    if (PH_LIKELY(ph_load_relaxed(&front->tally) >> 63 == 0))
        return;
    ph_store_relaxed(&front->carried_frees, ph_front_free_calls(front));
    ph_store_relaxed(&front->tally, ph_front_cached_pages(front));
}

static inline void ph_front_count_free(ph_front *front)
{
    ph_bump_relaxed(&front->tally, PH_TALLY_FREE);
    ph_front_carry_frees(front);
}

/* Count PH_TICK_CALLS allocations anew (front held). */
static inline void ph_front_tick_done(ph_front *front)
{
    ph_front_carry_frees(front);
    ph_store_relaxed(&front->ticked_calls, ph_front_alloc_calls(front));
    ph_store_relaxed(&front->calls_left, PH_TICK_CALLS);
}

/* Have a spare magazine for this length at hand, if the bound on records allows it.  The front's own thread,
 * not yet in it. */
void ph_front_restock(ph_front *front, unsigned pages);

/* Make spares of the magazines of one length; what they hold is forgotten. */
void ph_front_strip(ph_front *front, unsigned pages);

/* For destroy: all magazines are spares, and their records go. */
void ph_front_free_spares(ph_front *front);

/* Give runs back to their blocks until at most `keep_pages` are cached. */
void ph_front_drain(ph_front *front, uint64_t keep_pages);

/* Give half of the kept runs of one length back, the newest first. */
void ph_front_drain_half(ph_front *front, unsigned pages);

/* Have room for one more run of this length on top of its stack; false if there is no record for it. */
bool ph_front_make_room(ph_front *front, unsigned pages);

/* The same for the front's own thread, not yet in it, and this run, if it is one: a free that will be refused
 * gets no record. */
void ph_front_roll(ph_front *front, const ph_block *block, uintptr_t run, size_t pages);

/* The newest kept run of this length: its address and what goes along with it (magazine.h), or 0. */
uintptr_t ph_front_take_kept(ph_front *front, unsigned pages);

/* Cut a run from the front's blocks, and some more to keep: address | PH_RUN_CLEAN, or 0. */
uintptr_t ph_front_cut(ph_front *front, unsigned pages);

/* ---- the calling thread's front -------------------------------------------------------- */

typedef struct ph_thread_entry {
    uint64_t heap_id;
    ph_front *front;
} ph_thread_entry;

/* A thread's table: heap id -> front, open addressing, never full. */
typedef struct ph_thread {
    uint64_t mask;
    uint64_t count;
    struct ph_home *home;
    ph_thread_entry entries[];
} ph_thread;

/* The heap used last, for the hot path.  Before the first use its id is 0, which no heap has, and its front
 * one that is open for nobody.  It may be the front of a heap that is gone: that is closed until the thread
 * takes it for another heap, and no other thread has it meanwhile (threads.c). */
extern PH_THREAD_LOCAL ph_thread_entry ph_thread_last;

/* A heap that is destroyed has this id: no entry ever does. */
#define PH_DEAD_HEAP_ID UINT64_MAX

#endif
