/* SPDX-License-Identifier: MIT */
/* block.h -- the record of one 2 MiB block: which pages are taken, and by what runs.
 *
 * The record lies outside the block.  It is 192 bytes.  Two bitmaps of 64 bytes each, its tags, are not part
 * of it and lie apart, so that those of neighbouring blocks are neighbours: 0.625 bytes a page of 4 KiB.
 *
 * Page codes    Three bitmaps give each page one of these meanings:
 *
 *     used  mark  last
 *      0     0     0     unused, contents unknown
 *      0     0     1     unused and clean: reads zero, holds no memory
 *      1     1     x     first page of a live run, one that a caller holds
 *      1     0     x     inside a run, or first page of a run that a cache holds
 *      1     x     1     last page of a run
 *
 * So a free looks at the tags alone: the mark at its first page, and the first `last` from there on.
 * Invariants    B1  unused_pages == number of pages with used == 0
 *               B2  longest_pages == the longest run of pages with used == 0, and one such run begins at
 *                   longest_first
 *               B3  clean_pages == number of pages with used == 0 and last == 1
 *               B4  used == 0 implies mark == 0
 *               B5  a remote bit is set only at the first page of a run with mark == 0
 *               B6  pages beyond the end of the block (large pages only) are used, mark 0, last 0
 *               ph_block_check() recounts all six.
 *
 * Guard         All fields belong to the front that owns the block (map/window.h says which) but for three
 *               things that other threads do: read any word, clear a mark bit (a locked instruction, and only
 *               while that front is shared), and set a remote bit.  That is why the words are atomic; the
 *               owner's accesses are relaxed and cost what plain ones do.
 */
#ifndef PH_BLOCK_BLOCK_H
#define PH_BLOCK_BLOCK_H

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"
#include "base/units.h"

enum ph_block_kind {
    PH_BLOCK_NONE = 0, /* not ours; what untouched records read */
    PH_BLOCK_EMPTY,    /* in a region's pool: all pages unused */
    PH_BLOCK_PAGES,    /* runs are cut from it */
    PH_BLOCK_LARGE,    /* first block of a run longer than a block */
    PH_BLOCK_BODY,     /* another block of such a run */
};

/* True for the blocks of a run longer than a block. */
static inline bool ph_block_is_long(unsigned kind)
{
    return kind == PH_BLOCK_LARGE || kind == PH_BLOCK_BODY;
}

typedef struct ph_block_links {
    struct ph_block *next, *prev;
} ph_block_links;

/* Atomic because a thread that frees a long run twice may still be looking at what stands in their place. */
typedef struct ph_block_bin_links {
    _Atomic(struct ph_block *) next, prev;
} ph_block_bin_links;

/* A run of whole blocks.  `state` decides, by one compare-and-swap, who of several threads has it. */
enum ph_large_state {
    PH_LARGE_CACHED = 0, /* no caller's */
    PH_LARGE_LIVE,
    PH_LARGE_CLAIMED, /* being freed, in two steps */
    PH_LARGE_SPECIAL, /* live, and its attribute record decides instead */
};

typedef struct ph_large {
    _Atomic uint64_t pages;
    _Atomic uint32_t state;
    uint32_t clean; /* holder: the run reads zero everywhere */
} ph_large;

/* For blocks whose tags are nobody's neighbours: all marks, behind them all lasts, and one word more, since
 * who reads a byte of lasts reads the seven behind it too (ph_tags_is_run). */
typedef _Atomic uint64_t ph_block_tags[2 * PH_BLOCK_WORDS + 1];

typedef struct ph_block {
    int32_t marks_at, lasts_at; /* where its tags lie, in bytes from here; the same for ever */
    union {
        ph_block_bin_links bin;          /* PAGES: the owner's index, by longest_pages */
        ph_large large;                  /* LARGE */
        _Atomic(struct ph_block *) head; /* BODY: the run's first block */
    };
    ph_block_links dirty;                    /* PAGES: the owner's list of blocks with memory to give back */
    _Atomic(struct ph_block *) pending_next; /* who set `pending`, then the owner: heap/remote.h */
    uint16_t unused_pages, longest_pages, clean_pages;
    uint16_t longest_first; /* where a longest hole begins */
    uint16_t bin_index;
    _Atomic uint8_t kind;
    _Atomic uint8_t pending; /* 1 while on the owner's stack of such blocks, or nearly */
    uint32_t number : 27;    /* address / 2 MiB, for 48-bit addresses */
    uint32_t page_log2 : 5;
    _Atomic uint64_t used[PH_BLOCK_WORDS];
    _Atomic uint64_t remote[PH_BLOCK_WORDS]; /* runs freed by other threads, at their first page */
} PH_ALIGNED(PH_LINE_BYTES) ph_block;

/* What a block costs, wherever it lies. */
#define PH_BLOCK_RECORD_BYTES (sizeof(ph_block) + 2 * PH_BLOCK_WORDS * sizeof(uint64_t))
_Static_assert(PH_BLOCK_RECORD_BYTES == 320, "0.625 bytes a page");

/* Its two bitmaps outside the record. */
static PH_ALWAYS_INLINE _Atomic uint64_t *ph_block_marks(const ph_block *block)
{
    return (_Atomic uint64_t *)((uintptr_t)block + (uintptr_t)(intptr_t)block->marks_at);
}

static PH_ALWAYS_INLINE _Atomic uint64_t *ph_block_lasts(const ph_block *block)
{
    return (_Atomic uint64_t *)((uintptr_t)block + (uintptr_t)(intptr_t)block->lasts_at);
}

/* Pages in the block. */
static inline unsigned ph_block_pages(const ph_block *block)
{
    return 1u << (PH_BLOCK_LOG2 - block->page_log2);
}

/* Words of 64 pages: 8 for pages of 4 KiB, 1 for 32 and 64 KiB. */
static inline unsigned ph_block_words(const ph_block *block)
{
    return block->page_log2 > PH_BLOCK_LOG2 - 6 ? 1 : 1u << (PH_BLOCK_LOG2 - 6 - block->page_log2);
}

/* Address of the block's first page. */
static inline uintptr_t ph_block_base(const ph_block *block)
{
    return (uintptr_t)block->number << PH_BLOCK_LOG2;
}

/* Address of the block's page of that number. */
static inline uintptr_t ph_block_address(const ph_block *block, unsigned page)
{
    return ph_block_base(block) + ((uintptr_t)page << block->page_log2);
}

/* Number, within the block, of the page that holds this address of its. */
static inline unsigned ph_block_page(const ph_block *block, uintptr_t address)
{
    return (unsigned)(address >> block->page_log2) & (ph_block_pages(block) - 1);
}

/* Unused pages that are not clean. */
static inline unsigned ph_block_dirty_pages(const ph_block *block)
{
    return (unsigned)block->unused_pages - block->clean_pages;
}

/* Its tags are there, within 2 GiB of the record. */
void ph_block_place_tags(ph_block *block, _Atomic uint64_t *marks, _Atomic uint64_t *lasts);

/* The block at `base`, all pages unused; `clean` says whether they all read zero.  Its tags have a place. */
void ph_block_init(ph_block *block, uintptr_t base, unsigned page_log2, bool clean);

/* Where a run of `pages` unused pages begins at a multiple of `align_pages`; -1 if nowhere. */
int ph_block_find_aligned(const ph_block *block, unsigned pages, unsigned align_pages);

/* Take the unused pages [first, first + pages) as one run, not yet live.  Returns how many were clean. */
unsigned ph_block_take(ph_block *block, unsigned first, unsigned pages);

/* Take up to `count` runs of `pages` pages out of a longest hole, lowest first (single pages: out of any).
 * Returns how many, at least one if the hole suffices; *ret_clean_pages of their pages were clean; a start
 * tells whether that run is wholly clean, or mixed: clean in part, which only the last one is. */
unsigned ph_block_take_many(ph_block *block, unsigned pages, unsigned count, uint16_t *ret_starts,
                            unsigned *ret_clean_pages);
#define PH_START_CLEAN 0x8000u
#define PH_START_MIXED 0x4000u
#define PH_START_MASK  0x3fffu

/* Give the run [first, first + pages) back, which is not live: its pages are unused again, and clean if they
 * read zero. */
void ph_block_give(ph_block *block, unsigned first, unsigned pages, bool clean);

/* Give many one-page runs of one word back, all dirty. */
void ph_block_give_singles(ph_block *block, unsigned word, uint64_t bits);

/* Length of the run whose pages include `page`, from `page` to its last page; 0 if there is no end. */
unsigned ph_block_run_pages(const ph_block *block, unsigned page);

/* First page of the live run that holds `page`, or -1. */
int ph_block_run_start(const ph_block *block, unsigned page);

/* Cut the run that ends at or after `page` behind `page`; undo that. */
void ph_block_cut_after(ph_block *block, unsigned page);
void ph_block_uncut_after(ph_block *block, unsigned page);

/* Recount B1 to B6.  Returns the text of the first that does not hold, or NULL. */
const char *ph_block_check(const ph_block *block);

/* Copy the unused pages that are not clean as set bits. */
void ph_block_dirty_bits(const ph_block *block, uint64_t ret_bits[PH_BLOCK_WORDS]);

/* Copy the unused pages as set bits. */
void ph_block_unused_bits(const ph_block *block, uint64_t ret_bits[PH_BLOCK_WORDS]);

/* ---- the hot path: few words each ------------------------------------------------------ */

/* Where a page's mark stands: a byte, of which it is bit page % 8.  Marks are changed by bytes, so that
 * nobody reads a word of which a byte has just been written, and waits for longer than all else takes.  The
 * hot path of pieces alone changes words (exec/fast.h): by the owner, in a front that is not shared. */
static PH_ALWAYS_INLINE _Atomic uint8_t *ph_block_mark_of(const ph_block *block, unsigned page)
{
    return (_Atomic uint8_t *)ph_block_marks(block) + page / 8;
}

/* The longest run that ph_tags_is_run surely tells. */
#define PH_SIGHT_PAGES 57

/* True if a live run of `pages` pages begins at a page, and its end is in sight.  The page's bits stand in
 * the bytes `mark` and `last`, as bit `bit`.  *ret_marks are the marks there without its own, for who frees
 * it.
 * Some of the eight bytes from `last` on may be another block's: they may say anything, since a live run's
 * end is found before them; and that another thread writes there seldom disturbs: `last` changes only where
 * runs are cut and given back to their block. */
static PH_ALWAYS_INLINE bool ph_tags_is_run(const _Atomic uint8_t *mark, const _Atomic uint8_t *last,
                                            uintptr_t bit, size_t pages, uint64_t *ret_marks)
{
    uint64_t marks = ph_load_relaxed(mark), ends, length_less_one;
    bool is_marked;
    PH_CLEAR_BIT(marks, bit, is_marked);
    if (PH_UNLIKELY(!is_marked))
        return false;
    *ret_marks = marks;
    PH_LOAD_EIGHT(last, ends);
    ends >>= bit;
    if (PH_UNLIKELY(ends == 0))
        return false;
    PH_FIND_LOWEST(ends, length_less_one);
    return length_less_one == pages - 1;
}

/* Set the mark of such a run, for who alone may; of `bit` only the last six bits are looked at. */
static PH_ALWAYS_INLINE void ph_tags_mark(_Atomic uint8_t *mark, uintptr_t bit)
{
    uint64_t marks = ph_load_relaxed(mark);
    PH_SET_BIT(marks, bit);
    ph_store_relaxed(mark, (uint8_t)marks);
}

static PH_ALWAYS_INLINE bool ph_block_is_marked(const ph_block *block, unsigned page)
{
    return (ph_load_relaxed(ph_block_mark_of(block, page)) >> page % 8) & 1;
}

/* Pages of the live run that begins at `page`, or 0. */
static inline unsigned ph_block_live_pages(const ph_block *block, unsigned page)
{
    return ph_block_is_marked(block, page) ? ph_block_run_pages(block, page) : 0;
}

/* True if a live run of `pages` pages begins at `page`. */
static PH_ALWAYS_INLINE bool ph_block_has_run(const ph_block *block, unsigned page, size_t pages)
{
    uint64_t marks;
    const _Atomic uint8_t *last = (const _Atomic uint8_t *)ph_block_lasts(block) + page / 8;
    if (PH_UNLIKELY(pages - 1 >= PH_SIGHT_PAGES))
        return pages != 0 && ph_block_live_pages(block, page) == pages;
    return ph_tags_is_run(ph_block_mark_of(block, page), last, page % 8, pages, &marks);
}

static PH_ALWAYS_INLINE bool ph_block_is_used(const ph_block *block, unsigned page)
{
    return (ph_load_relaxed(&block->used[page / 64]) >> (page % 64)) & 1;
}

static inline bool ph_block_is_clean(const ph_block *block, unsigned page)
{
    return !ph_block_is_used(block, page) &&
           ((ph_load_relaxed(&ph_block_lasts(block)[page / 64]) >> (page % 64)) & 1) != 0;
}

/* Set the mark of a run that becomes live.  `shared` says that other threads may be clearing marks. */
static PH_ALWAYS_INLINE void ph_block_mark(ph_block *block, unsigned page, bool shared)
{
    _Atomic uint8_t *mark = ph_block_mark_of(block, page);
    if (PH_UNLIKELY(shared))
        ph_fetch_or_acq_rel(mark, (uint8_t)(1u << page % 8)); /* pairs with other threads' ph_block_unmark */
    else
        ph_tags_mark(mark, page % 8);
}

/* Clear it.  False if it was clear: somebody else has freed this run.  While the front is shared this is
 * the one step that decides between threads that free the same run at once. */
static PH_ALWAYS_INLINE bool ph_block_unmark(ph_block *block, unsigned page, bool shared)
{
    _Atomic uint8_t *mark = ph_block_mark_of(block, page);
    unsigned bit = 1u << page % 8;
    if (PH_UNLIKELY(shared)) /* pairs with ph_block_mark, and with itself */
        return (ph_fetch_and_acq_rel(mark, (uint8_t)~bit) & bit) != 0;
    unsigned old = ph_load_relaxed(mark);
    ph_store_relaxed(mark, (uint8_t)(old & ~bit));
    return (old & bit) != 0;
}

/* The step that decides who frees, or changes, the run of `pages` pages that was seen to begin at `page`.
 * False: not the caller, and the run is as it was.  Between the look and the mark another thread may have
 * taken the run and given it another length: then it is not that run any more. */
static inline bool ph_block_claim(ph_block *block, unsigned page, unsigned pages, bool shared)
{
    if (!ph_block_unmark(block, page, shared))
        return false;
    if (PH_LIKELY(!shared || ph_block_run_pages(block, page) == pages))
        return true;
    ph_block_mark(block, page, true);
    return false;
}

#endif
