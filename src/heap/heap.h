/* SPDX-License-Identifier: MIT */
/* heap.h -- a heap: its regions, its fronts, and what they share.
 *
 * Lock order, outermost first.  A thread that holds one may take only later ones:
 *
 *     registry        heap.c     the list of all heaps
 *     purge_turn      heap       one thread at a time gives memory back        (held across system calls,
 *     grow_turn       heap       one thread at a time asks for address space    only their like wait)
 *     fronts_lock     heap       the list of fronts
 *     a front         front.h    a thread's blocks and magazines; several only with fronts_lock held
 *     attributes.lock heap       flags of single runs
 *     lock            heap       regions and the pool of empty blocks
 *     homes           threads.c  where fronts go whose heap is gone
 *     arena           meta.c     our own records
 *
 * grow_turn and purge_turn are turns, not locks on data: no allocation that existing blocks can serve, and
 * no free, ever waits for one.
 */
#ifndef PH_HEAP_HEAP_H
#define PH_HEAP_HEAP_H

#include "heap/front.h"
#include "heap/stretch.h"
#include "pageheap/pageheap.h"

/* A reservation, cut into blocks.
 *   G1  map.untaken: bit b is set while block b is nobody's; beyond `blocks` no bit is set
 *   G2  map.dirty is a subset of untaken: blocks that still hold memory
 *   G3  blocks [0, committed_blocks) are USED, the others RESERVED; a record is valid in the former only
 */
typedef struct ph_region {
    struct ph_region *next;    /* heap's lock */
    uintptr_t base;            /* set once */
    uint64_t serial;           /* set once: no other region of this heap has had it */
    uint32_t blocks;           /* set once */
    uint32_t committed_blocks; /* grow_turn and heap's lock to change, either to read */
    ph_stretch_map map;        /* heap's lock */
} ph_region;

/* Address of the region's block of that number. */
static inline uintptr_t ph_region_address(const ph_region *region, unsigned b)
{
    return region->base + b * PH_BLOCK_BYTES;
}

/* A run longer than a region: mapped alone, registered all the same. */
typedef struct ph_huge {
    struct ph_huge *next; /* heap's lock */
    ph_block *head;       /* set once, like the four below: record of its first block */
    uintptr_t base;
    uint64_t pages;
    uint64_t mapped_bytes;
    uint64_t serial;  /* as a region's */
    bool is_retained; /* heap's lock: freed, but the system would not unmap it */
} ph_huge;

/* What a special run has beyond its pages: flags, guards; a label too.  In a hash table by address, which
 * attributes.lock guards; the rest is set before it is there. */
typedef struct ph_attribute {
    struct ph_attribute *next;
    uintptr_t start; /* what the caller holds */
    uint64_t pages;
    uintptr_t whole_start; /* with guards */
    uint64_t whole_pages;
    const char *tag;
    uint32_t flags; /* those in effect */
    uint32_t guards_are_mappings;
} ph_attribute;
#define PH_ATTRIBUTE_BUCKETS      64

#define PH_REGION_PAGES_MAX(heap) ((uint64_t)PH_REGION_BLOCKS_MAX * (heap)->block_pages)

/* What stands behind a heap's addresses: plain memory (backing.c), or two views of code (exec/blocks.c).
 * "Clean" pages are those that hold no memory: plain ones read zero, those for code cannot be reached and
 * have to be made ready by whoever takes them.  Each call but the last four, which are for fork, returns 0 or
 * a negative errno, has counted its failures, and is made with no lock held. */
typedef struct ph_backing {
    int (*reserve)(pageheap *heap, size_t bytes, size_t align_bytes, void **ret_base);
    int (*use)(pageheap *heap, void *base, size_t bytes);     /* all pages clean after that */
    int (*discard)(pageheap *heap, void *base, size_t bytes); /* pages of nobody's become clean */
    int (*unmap)(pageheap *heap, void *base, size_t bytes);
    /* No block comes or goes any more until let_go: true, or false if somebody is at one this moment and we
     * are not to wait (both turns are held). */
    bool (*hold)(pageheap *heap, bool waits);
    void (*let_go)(pageheap *heap);
    void (*before_fork)(pageheap *heap); /* every lock of every heap is held; like the next */
    void (*after_fork)(pageheap *heap, bool is_child);
    uint32_t discard_blocks_max; /* in one call; 0: no bound */
    bool mixed_is_clean;         /* a run of which some pages are clean counts as clean, not as dirty */
    bool asks_for_hot;           /* its fast path asks for a hot run always, so doors need not tell of one */
    bool keeps_regions;          /* regions are not unmapped before the heap is destroyed */
} ph_backing;

struct pageheap {
    struct pageheap *next; /* registry.  First: the arena links freed records here, and `id` stays dead */
    _Atomic uint64_t id;   /* never used again by another heap; PH_DEAD_HEAP_ID once destroyed */
    uint32_t page_log2;    /* set once, like all options */
    uint32_t block_pages;
    uint32_t flags;
    uint32_t decay_ms;
    uint32_t huge_pages;
    uint64_t limit_pages;  /* UINT64_MAX: none */
    uint64_t retain_pages; /* UINT64_MAX: no bound */
    uint64_t reserve_bytes;
    const ph_backing *backing;
    struct pageheap_exec *exec; /* of which this is the pages; NULL in a heap of plain memory */

    ph_mutex lock;
    ph_region *regions;          /* lock */
    ph_huge *huge_runs;          /* lock */
    uint64_t newest_huge_serial; /* lock */
    _Atomic uint64_t pool_dirty_pages;

    ph_mutex fronts_lock;
    _Atomic(ph_front *) fronts; /* fronts_lock to push; never popped before destroy */
    _Atomic uint32_t front_count;
    _Atomic uint32_t pins; /* threads that are in it for a moment: destroy waits; homes or registry to add */

    ph_mutex grow_turn, purge_turn;
    uint64_t newest_region_serial; /* grow_turn */
    /* Blocks that threads have set out for, and those of them that are in a front by now, or were not to be
     * had.  Sequentially consistent (need.c). */
    _Atomic uint64_t blocks_sent_for, blocks_arrived;

    _Atomic uint64_t large_live_pages;                   /* in live runs longer than a block */
    _Atomic uint64_t period_peak_pages, last_peak_pages; /* most live pages seen in this period; the last */
    _Atomic uint64_t period_start_ms, next_tick_ms;
    _Atomic uint64_t patient_until_ms; /* there is nothing backed to give back: do not look sooner */
    uint64_t faults_base;              /* purge_turn: the process's faults when the heap began */
    uint64_t holes_given_pages;        /* purge_turn: from among live runs, so far */
    _Atomic uint64_t peak_live_pages;
    _Atomic uint64_t charged_pages; /* kept only with a limit: pages in runs and caches */

    _Atomic uint64_t reserved_bytes, committed_bytes, given_back_bytes, metadata_bytes;
    _Atomic uint64_t failed_os_calls, revocations, region_count, refused_frees, failed_allocs;
    _Atomic int32_t last_os_error; /* positive; of the last call that failed */

    ph_front special; /* owns blocks whose runs have attributes, and stands for all that no thread owns */
    struct {
        ph_mutex lock;
        ph_attribute **buckets; /* lock; like the two below */
        uint64_t bucket_count, count;
        ph_attribute *first_buckets[PH_ATTRIBUTE_BUCKETS];
    } attributes;
};

static inline size_t ph_heap_page_bytes(const pageheap *heap)
{
    return (size_t)1 << heap->page_log2;
}

/* for (PH_EACH_FRONT(front, heap)): all of a heap's fronts, the newest first.  The acquire pairs with the
 * release in front_for_thread: the fields of a front that was made this moment are seen. */
#define PH_EACH_FRONT(front, heap)                                                                           \
    ph_front *front = ph_load_acquire(&(heap)->fronts);                                                      \
    front != NULL;                                                                                           \
    front = front->next

/* Hand a system call's result on, counted if it is a failure. */
static inline int ph_heap_note(pageheap *heap, int result)
{
    if (PH_UNLIKELY(result != 0)) {
        ph_fetch_add_relaxed(&heap->failed_os_calls, 1);
        ph_store_relaxed(&heap->last_os_error, -result);
    }
    return result;
}

/* ---- backing.c ------------------------------------------------------------------------- */

extern const ph_backing ph_backing_plain;

/* ---- heap.c ---------------------------------------------------------------------------- */

pageheap *ph_heap_create(const pageheap_options *options, const ph_backing *backing,
                         struct pageheap_exec *exec, int *ret_error);
/* False: there is no such heap, whatever the pointer points to. */
bool ph_heap_destroy(pageheap *heap);
/* There is such an executable heap. */
bool ph_heap_is_pages_of(const struct pageheap_exec *exec);
bool ph_heap_is_valid(const pageheap *heap);
/* True if there is this heap, and it stays until it is unpinned; false whatever the pointer points to.
 * Nothing is held. */
bool ph_heap_pin(pageheap *heap);
void ph_heap_unpin(pageheap *heap);
/* All heaps, by `next`; call fn for every one.  Hold the registry. */
pageheap *ph_heap_first(void);
void ph_heap_each(void (*fn)(pageheap *));
void ph_registry_lock(void);
void ph_registry_unlock(void);

/* ---- region.c: address space (hold grow_turn; takes heap's lock) ----------------------- */

/* Reserve a region of at least `blocks`, its base at a multiple of `align_blocks`; none of it is usable yet.
 * 0 or a negative errno. */
int ph_region_add(pageheap *heap, unsigned blocks, unsigned align_blocks);

/* Make its blocks below `end` usable, and some more; their records become EMPTY and clean.  0 or a negative
 * errno. */
int ph_region_commit(pageheap *heap, ph_region *region, unsigned end);

/* Unmap a region that is not in the heap's list.  False: the system would not, and its blocks are EMPTY. */
bool ph_region_unmap(pageheap *heap, ph_region *region);

/* For destroy: every region, used or not. */
void ph_regions_unmap_all(pageheap *heap);

/* The record says: the heap's, and nobody's. */
static inline void ph_block_become_empty(pageheap *heap, ph_block *block)
{
    ph_store_relaxed(&block->kind, PH_BLOCK_EMPTY);
    ph_store_release(ph_owner_of(block), &heap->special); /* pairs with ph_owner_at */
}

/* ---- pool.c: empty blocks (takes heap's lock) ------------------------------------------ */

/* Take `blocks` adjacent blocks at a multiple of `align_blocks`; the address of the first, or 0.
 * *ret_clean says whether all of them read zero.  Makes system calls: hold nothing. */
uintptr_t ph_pool_take(pageheap *heap, unsigned blocks, unsigned align_blocks, bool *ret_clean);

/* Take one block for a thread that has so many, as far as possible out of *apart, or out of another stretch
 * that becomes *apart.  As ph_pool_take. */
uintptr_t ph_pool_take_apart(pageheap *heap, ph_apart *apart, uint64_t has_blocks, bool *ret_clean);
/* Its blocks are for anybody. */
void ph_pool_leave_apart(pageheap *heap, ph_apart *apart);

/* In the child of a fork, with both turns and heap's lock held: nobody is apart, and blocks that threads were
 * about to take are the pool's again. */
void ph_pool_after_fork(pageheap *heap);

/* Take the block at `base`, if it is nobody's and lies, or can come to lie, in a region.  As ph_pool_take. */
bool ph_pool_take_at(pageheap *heap, uintptr_t base);

/* Give blocks back; their records are initialised and EMPTY. */
void ph_pool_give(pageheap *heap, uintptr_t base, unsigned blocks);

/* Give up to `pages` of the pool's memory back to the system; returns pages.  Hold purge_turn only. */
uint64_t ph_pool_purge(pageheap *heap, uint64_t pages);

/* Unmap regions that nobody uses.  Hold purge_turn only. */
void ph_pool_shrink(pageheap *heap);

/* ---- threads.c ------------------------------------------------------------------------- */

/* The calling thread's front of this heap, made if need be; NULL if there is no memory for it. */
ph_front *ph_front_mine_slow(pageheap *heap);
/* The same if this is the heap that the thread used last, else NULL. */
static inline ph_front *ph_front_last(const pageheap *heap)
{
    return heap != NULL && ph_thread_last.heap_id == ph_load_relaxed(&heap->id) ? ph_thread_last.front : NULL;
}

static inline ph_front *ph_front_mine(pageheap *heap)
{
    ph_front *last = ph_front_last(heap);
    return PH_LIKELY(last != NULL) ? last : ph_front_mine_slow(heap);
}

void ph_special_front_init(pageheap *heap);

/* The heap is being destroyed: no thread that ends leaves a front to it from now on (registry held).  Wait
 * for those that are about to: nothing is held. */
void ph_fronts_disown(pageheap *heap);
void ph_fronts_await_pins(pageheap *heap);
/* The front's heap is gone: it goes home.  Nothing is held. */
void ph_front_dismiss(ph_front *front);

/* For fork. */
void ph_homes_lock(void);
void ph_homes_unlock(void);

/* After fork, in the child: fronts of threads that are no more become vacant. */
void ph_fronts_after_fork(pageheap *heap);

/* ---- runs.c: runs of up to a block, none of them special ------------------------------- */

/* A live run, called `label` or nothing: its address and what goes along with it (magazine.h), or 0 if there
 * is no memory. */
uintptr_t ph_run_alloc(pageheap *heap, unsigned pages, unsigned align_pages, const char *label);

/* 0 or a public code.  `pages` 0 means whatever its length is. */
int ph_run_free(pageheap *heap, uintptr_t address, size_t pages);

/* The same for a run in another thread's front, when that is shared already.  False: not done, and nothing
 * changed. */
bool ph_run_free_foreign(ph_front *mine, ph_front *owner, uintptr_t address, size_t pages);

/* A kept run made live, without a look at the clock: as ph_run_alloc, or 0.  Its own thread calls.
 * Only a front that has labels, and a block with a table of them, takes this one. */
uintptr_t ph_run_take_kept(ph_front *front, unsigned pages, const char *label);

/* A free in two steps, for who has something to do to the pages in between.  The run is nobody's but the
 * caller's from now on: 0 or a public code, as ph_run_free. */
int ph_run_claim(pageheap *heap, uintptr_t address, uint64_t pages);
/* Give a claimed run back; `clean`: its pages are clean, all of them. */
void ph_run_return(pageheap *heap, uintptr_t address, uint64_t pages, bool clean);

/* Get the thread's front a block with a hole of `pages`.  False: there is none to be had. */
bool ph_run_supply(pageheap *heap, ph_front *front, unsigned pages);

/* ---- need.c: before an allocation fails (nothing is held) -------------------------------- */

/* As ph_run_alloc, from wherever in the heap there is room, and ph_pool_take, once more. */
uintptr_t ph_need_run(pageheap *heap, ph_front *own, unsigned pages, unsigned align_pages, const char *label);
uintptr_t ph_need_blocks(pageheap *heap, unsigned blocks, unsigned align_blocks, bool *ret_clean);

/* ---- large.c, huge.c: runs longer than a block, longer than a region ------------------- */

/* `state` is the run's from the start: PH_LARGE_LIVE or PH_LARGE_SPECIAL. */
uintptr_t ph_large_alloc(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t state);
int ph_large_free(pageheap *heap, ph_block *head, uintptr_t address, uint64_t pages);
/* The two steps of ph_run_claim and ph_run_return. */
int ph_large_claim(ph_block *block, uintptr_t address, uint64_t pages);
void ph_large_return(pageheap *heap, ph_block *head, bool clean);
/* A claimed run is live again, with its first `new_pages`; those behind are clean, as the caller has seen to.
 * It stays a long run, however short it is now. */
void ph_large_cut(pageheap *heap, ph_block *head, uint64_t new_pages);
/* How many of a block's pages the long run has that it is part of; all, if that is being freed just now. */
unsigned ph_large_pages_in(const ph_block *block);
/* The run's state was made CACHED by the caller, who thereby frees it. */
void ph_large_retire(pageheap *heap, ph_block *head);
/* Give the runs that the front keeps back to the pool until `keep_pages` are left (front held). */
void ph_large_drain(ph_front *front, uint64_t keep_pages);
/* Make the blocks of a run that is nobody's EMPTY and give them to the pool. */
void ph_large_release(pageheap *heap, ph_block *head);
uintptr_t ph_huge_alloc(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t state);
void ph_huge_release(pageheap *heap, ph_block *head);
void ph_huge_unmap_all(pageheap *heap);
/* Try again to unmap what could not be unmapped.  Hold purge_turn only. */
void ph_huge_shrink(pageheap *heap);
/* The first block of the huge run that `address` lies in, or NULL. */
ph_block *ph_huge_head(uintptr_t address);

/* ---- special.c: runs with flags that a free must undo, long ones with a label ---------- */

#define PH_FLAGS_SPECIAL (PAGEHEAP_LOCKED | PAGEHEAP_NODUMP | PAGEHEAP_GUARD)
void *ph_special_alloc(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t flags, const char *tag);
void ph_special_init(pageheap *heap);
void ph_special_end(pageheap *heap);
int ph_special_free(pageheap *heap, uintptr_t address, uint64_t pages);
/* The run whose pages, guards included, begin at `whole_start`; the one that holds `address`. */
bool ph_special_describe(pageheap *heap, uintptr_t whole_start, pageheap_run *ret_run);
bool ph_special_find(pageheap *heap, uintptr_t address, pageheap_run *ret_run);

/* ---- balance.c: how much memory may stay ----------------------------------------------- */

typedef struct ph_sums {
    uint64_t live_pages, cached_pages, unused_pages; /* unused: not clean, not cached */
    uint64_t uncollected_pages; /* of the unused ones, those that still lie where other threads freed them */
    uint64_t peak_pages;        /* most live pages in this period and the last */
} ph_sums;
void ph_heap_sum(pageheap *heap, ph_sums *ret_sums);

/* What a thread does once a while with its front, not held: see how high it stands, how much it keeps, and,
 * unless it is in a hurry, look at the clock, and at the heap's balance if it is time. */
void ph_heap_tick(pageheap *heap, ph_front *own);

/* The same with the clock always; `own` may be NULL. */
void ph_heap_look(pageheap *heap, ph_front *own);
/* After the front has grown by a fair amount. */
void ph_heap_grown(pageheap *heap, ph_front *own);
/* The caller's cache is at its limit: raise that or drain. */
void ph_front_relimit(pageheap *heap, ph_front *own);
/* Give everything back but `keep_pages`.  Returns pages given back. */
uint64_t ph_heap_trim(pageheap *heap, uint64_t keep_pages);
/* Every cached run back to its block, in all fronts. */
void ph_heap_drain_all(pageheap *heap);
/* After fork, in the child: what is resident was faulted in by the parent. */
void ph_heap_balance_after_fork(pageheap *heap);
/* Charge pages against the limit; false if it would be passed. */
bool ph_heap_charge(pageheap *heap, uint64_t pages);
static inline void ph_heap_uncharge(pageheap *heap, uint64_t pages)
{
    if (heap->limit_pages != UINT64_MAX)
        ph_fetch_sub_relaxed(&heap->charged_pages, pages);
}

/* ---- purge.c --------------------------------------------------------------------------- */

/* Give up to `pages` of a front's unused memory back, long holes first (purge_turn held; `own` is the
 * caller's front or NULL, neither held).  Returns pages. */
uint64_t ph_front_purge(pageheap *heap, ph_front *front, ph_front *own, uint64_t pages);

/* ---- share.c --------------------------------------------------------------------------- */

/* The owner of this block is to be shared, of whatever block if that is NULL.  Nothing is held. */
void ph_front_make_shared(ph_front *owner, const ph_block *block);
/* Fronts that nobody has freed into for long are private again.  Nothing is held. */
void ph_heap_make_private(pageheap *heap, uint64_t now_ms);

/* ---- reshape.c, inspect.c -------------------------------------------------------------- */

int ph_run_split(pageheap *heap, uintptr_t run, uint64_t pages, uint64_t head_pages);
int ph_run_join(pageheap *heap, uintptr_t head, uint64_t head_pages, uintptr_t tail, uint64_t tail_pages);
/* Grow or shrink in place: 0, or a code (ENOMEM: not here). */
int ph_run_resize(pageheap *heap, uintptr_t run, uint64_t pages, uint64_t new_pages, bool *ret_tail_clean);
int ph_run_find(uintptr_t address, pageheap_run *ret_run);
/* The same for runs of this heap, which the caller knows to be there. */
int ph_run_find_in(pageheap *heap, uintptr_t address, pageheap_run *ret_run);
/* The same for runs that are not special, and without a lock: a signal handler may ask. */
int ph_run_find_plain(uintptr_t address, pageheap_run *ret_run);
int ph_heap_check(pageheap *heap);

/* ---- fork.c ---------------------------------------------------------------------------- */

int ph_fork_register(void);

#endif
