/* SPDX-License-Identifier: MIT */
/* magazine.c -- runs that a thread keeps ready.  Every function here wants the front held, but for restock,
 * roll and reheat, which enter it.
 *
 * A magazine holds runs of one length.  The hot path pushes and pops on the top one; what is here comes
 * into play when that is full or empty.  Three bounds hold the cache down: pages (cache_limit_pages, set
 * from what the heap has needed lately), records (magazines_bytes), and the balance, which drains runs that
 * stand idle.  After J. Bonwick and J. Adams, "Magazines and Vmem", USENIX 2001.
 */
#include "heap/heap.h"

#include "base/assert.h"
#include "map/meta.h"

/* The most pages and runs that one miss fetches. */
#define REFILL_PAGES_MAX 128
#define REFILL_RUNS_MAX  32

/* What a front fetches at one miss: a few pages, and this share of what it has. */
#define REFILL_PAGES_MIN 8
#define REFILL_SHARE     32

/* Records that a front may have however little it holds. */
#define MAGAZINES_BYTES_MIN (UINT64_C(64) << 10)

ph_kept ph_no_magazine[2] = { { .run = 0 }, { .run = PH_MAGAZINE_END } };

void ph_front_strip(ph_front *front, unsigned pages)
{
    unsigned kind = ph_magazine_kind(pages);
    ph_magazine_walk walk;
    for (bool more = ph_magazine_first(front->tops[pages], pages, &walk); more;) {
        ph_kept *magazine = walk.runs - 1;
        more = ph_magazine_next(&walk);
        magazine->below = front->spares[kind];
        front->spares[kind] = magazine;
    }
    front->tops[pages] = PH_NO_RUNS;
}

void ph_front_free_spares(ph_front *front)
{
    ph_kept *first_of_pages = NULL; /* freed last: the others are still to be walked over */
    ph_kept *below;
    for (unsigned kind = 0; kind < PH_MAGAZINE_KINDS; kind++) {
        for (ph_kept *spare = front->spares[kind]; spare != NULL; spare = below) {
            below = spare->below;
            if ((uintptr_t)spare % PH_META_PAGE_BYTES == 0) {
                spare->below = first_of_pages;
                first_of_pages = spare;
            }
        }
    }
    for (ph_kept *page = first_of_pages; page != NULL; page = below) {
        below = page->below;
        ph_meta_free(page, PH_META_PAGE_BYTES);
    }
}

/* Records cost 17 to 21 bytes a kept run: allow them in proportion to the heap, 0.04 bytes a page. */
static uint64_t magazines_bytes_allowed(const ph_front *front)
{
    return MAGAZINES_BYTES_MIN + ph_load_relaxed(&front->used_pages) / 25;
}

static bool wants_spares(ph_front *front, unsigned kind)
{
    ph_front_enter(front); /* whoever drains it makes spares of emptied magazines */
    bool wants = front->spares[kind] == NULL && front->magazines_bytes < magazines_bytes_allowed(front);
    ph_front_leave(front);
    return wants;
}

/* Make spares of a fresh record.  A page of records is one front's alone: where threads have magazines side
 * by side, they slow each other down without ever touching the same one (map/meta.h). */
static void add_spares(ph_front *front, unsigned kind, ph_kept *page)
{
    size_t step = ph_magazine_bytes(kind) / sizeof *page;
    for (size_t at = PH_META_PAGE_BYTES / sizeof *page; at != 0;) {
        at -= step;
        page[at].below = front->spares[kind];
        front->spares[kind] = &page[at];
    }
    front->magazines_bytes += PH_META_PAGE_BYTES;
}

void ph_front_restock(ph_front *front, unsigned pages)
{
    unsigned kind = ph_magazine_kind(pages);
    if (!wants_spares(front, kind))
        return;
    ph_kept *fresh = ph_meta_alloc(PH_META_PAGE_BYTES);
    if (fresh == NULL)
        return;
    ph_front_enter(front);
    add_spares(front, kind, fresh);
    ph_front_leave(front);
    ph_fetch_add_relaxed(&front->heap->metadata_bytes, PH_META_PAGE_BYTES);
}

static unsigned refill_slot(unsigned pages)
{
    return pages < 64 ? pages : 64;
}

bool ph_front_make_room(ph_front *front, unsigned pages)
{
    unsigned kind = ph_magazine_kind(pages);
    ph_kept *top = front->tops[pages];
    if (top->run != PH_MAGAZINE_END)
        return true;
    ph_kept *fresh = front->spares[kind];
    if (fresh == NULL)
        return false;
    front->spares[kind] = fresh->below;
    *fresh = (ph_kept){ .run = 0, .below = top };
    fresh[ph_magazine_capacity(kind) + 1].run = PH_MAGAZINE_END;
    front->tops[pages] = fresh + 1;
    return true;
}

void ph_front_roll(ph_front *front, const ph_block *block, uintptr_t run, size_t pages)
{
    if (pages - 1 >= PH_BLOCK_PAGES_MAX || !ph_front_try_enter(front))
        return;
    if (front->tops[pages]->run == PH_MAGAZINE_END &&
        ph_front_cached_pages(front) <= front->cache_limit_pages &&
        ph_block_live_pages(block, ph_block_page(block, run)) == pages)
        (void)ph_front_make_room(front, (unsigned)pages);
    ph_front_leave_fast(front);
}

static inline bool keep(ph_front *front, const ph_block *block, unsigned page, uintptr_t run_and_clean,
                        unsigned pages)
{
    if (PH_UNLIKELY(front->tops[pages]->run == PH_MAGAZINE_END) && !ph_front_make_room(front, pages))
        return false;
    uintptr_t run = (run_and_clean & ~(uintptr_t)PH_RUN_BIT) | page % 8;
    *front->tops[pages]++ = (ph_kept){ .run = run, .mark = ph_block_mark_of(block, page) };
    ph_bump_relaxed(&front->tally, pages);
    return true;
}

bool ph_front_keep(ph_front *front, ph_block *block, uintptr_t run_and_clean, unsigned pages)
{
    return keep(front, block, ph_block_page(block, run_and_clean), run_and_clean, pages);
}

void ph_front_cool(ph_front *front)
{
    unsigned pages = (unsigned)ph_front_hot_pages(front);
    uintptr_t run = ph_load_relaxed(&front->hot_run);
    ph_front_forget_hot(front);
    if (pages == 0)
        return;
    ph_block *block = ph_block_of_ours(run);
    unsigned first = ph_block_page(block, run);
    (void)ph_block_unmark(block, first, ph_front_is_shared(front));
    if (!ph_front_keep(front, block, run, pages))
        ph_front_give(front, block, first, pages, false);
}

void ph_front_reheat(ph_front *front, uintptr_t run, uint64_t pages)
{
    if (!front->is_looping || ph_load_relaxed(&front->hot_run) == run)
        return;
    const ph_block *block = ph_block_of_ours(run);
    ph_front_enter(front);
    ph_front_cool(front);
    /* The front was not held since: a thread that still believes an old address to be its own may have done
     * something to this run. */
    if (!ph_front_is_shared(front) && !front->has_labels && ph_load_relaxed(ph_owner_of(block)) == front &&
        ph_block_live_pages(block, ph_block_page(block, run)) == pages)
        ph_front_heat(front, run, pages);
    ph_front_leave(front);
}

/* An emptied magazine that lies on another becomes a spare.  Returns the top after that. */
static ph_kept *uncover(ph_front *front, unsigned pages)
{
    unsigned kind = ph_magazine_kind(pages);
    ph_kept *top = front->tops[pages];
    if (top[-1].run != 0 || top == PH_NO_RUNS || top[-1].below == PH_NO_RUNS)
        return top;
    ph_kept *emptied = top - 1;
    front->tops[pages] = emptied->below;
    emptied->below = front->spares[kind];
    front->spares[kind] = emptied;
    return front->tops[pages];
}

uintptr_t ph_front_take_kept(ph_front *front, unsigned pages)
{
    ph_kept *top = uncover(front, pages) - 1;
    if (top->run == 0)
        return 0;
    ph_drop_relaxed(&front->tally, pages);
    front->tops[pages] = top;
    return top->run;
}

static void give_kept(ph_front *front, uintptr_t kept, unsigned pages)
{
    ph_block *block = ph_block_of_ours(kept);
    unsigned first = ph_block_page(block, kept);
    ph_front_give(front, block, first, pages, (kept & PH_RUN_CLEAN) != 0);
}

static uint64_t kept_runs(const ph_front *front, unsigned pages)
{
    uint64_t runs = 0;
    ph_magazine_walk walk;
    for (bool more = ph_magazine_first(front->tops[pages], pages, &walk); more;
         more = ph_magazine_next(&walk))
        runs += walk.count;
    return runs;
}

/* Single pages that lie in one word go back together: those freed one after the other often do. */
static void give_kept_singles(ph_front *front, uint64_t count)
{
    ph_block *block = NULL;
    unsigned word = 0;
    uint64_t bits = 0;
    while (count-- > 0) {
        uintptr_t kept = ph_front_take_kept(front, 1);
        if (kept & PH_RUN_CLEAN) {
            give_kept(front, kept, 1);
            continue;
        }
        ph_block *its_block = ph_block_of_ours(kept);
        unsigned page = ph_block_page(its_block, kept);
        if (bits != 0 && (its_block != block || page / 64 != word)) {
            ph_front_give_singles(front, block, word, bits);
            bits = 0;
        }
        block = its_block;
        word = page / 64;
        bits |= UINT64_C(1) << (page % 64);
    }
    if (bits != 0)
        ph_front_give_singles(front, block, word, bits);
}

static void give_many_kept(ph_front *front, unsigned pages, uint64_t count)
{
    front->refill_runs[refill_slot(pages)] = 1;
    if (pages == 1) {
        give_kept_singles(front, count);
        return;
    }
    while (count-- > 0)
        give_kept(front, ph_front_take_kept(front, pages), pages);
}

void ph_front_drain_half(ph_front *front, unsigned pages)
{
    give_many_kept(front, pages, (kept_runs(front, pages) + 1) / 2);
}

/* Halve what is kept of each length, in turn from where the last drain ended, until the bound holds; halving
 * again and again empties everything. */
void ph_front_drain(ph_front *front, uint64_t keep_pages)
{
    ph_front_cool(front);
    unsigned barren = 0; /* lengths in a row that had nothing to give */
    unsigned pages = front->drain_from;
    while (ph_front_cached_pages(front) > keep_pages && barren <= front->block_pages) {
        pages = pages >= front->block_pages ? 1 : pages + 1;
        uint64_t runs = kept_runs(front, pages);
        barren = runs == 0 ? barren + 1 : 0;
        give_many_kept(front, pages, (runs + 1) / 2);
    }
    front->drain_from = pages;
}

/* How many runs to fetch at a miss: 1, 2, 4, ... as misses of this length recur, within the bounds.  A small
 * heap fetches little: what is kept counts as resident, and would be given back to be fetched again. */
static unsigned refill_count(ph_front *front, unsigned pages)
{
    unsigned slot = refill_slot(pages);
    unsigned count = front->refill_runs[slot] == 0 ? 1 : front->refill_runs[slot];
    uint64_t used = ph_load_relaxed(&front->used_pages);
    uint64_t most_pages = ph_min_u64(REFILL_PAGES_MAX, REFILL_PAGES_MIN + used / REFILL_SHARE);
    if (count * 2 <= REFILL_RUNS_MAX && count * 2 * pages <= REFILL_PAGES_MAX)
        front->refill_runs[slot] = (uint8_t)(count * 2);
    uint64_t cached = ph_front_cached_pages(front);
    uint64_t room = front->cache_limit_pages > cached ? front->cache_limit_pages - cached : 0;
    return (unsigned)ph_min_u64(count, 1 + ph_min_u64(room, most_pages) / pages);
}

static uintptr_t address_of(const ph_front *front, const ph_block *block, uint16_t start)
{
    unsigned clean_starts = front->mixed_is_clean ? PH_START_CLEAN | PH_START_MIXED : PH_START_CLEAN;
    return ph_block_address(block, start & PH_START_MASK) | (start & clean_starts ? PH_RUN_CLEAN : 0);
}

/* Cut several runs from one block: the lowest is the answer, the others are kept with the next on top.  But a
 * mixed run is never kept: which of its pages are clean would be forgotten. */
static uintptr_t refill_from(ph_front *front, ph_block *block, unsigned pages, unsigned count)
{
    uint16_t starts[REFILL_RUNS_MAX];
    unsigned clean;
    front->empty_blocks -= block->unused_pages == front->block_pages;
    unsigned taken = ph_block_take_many(block, pages, count, starts, &clean);
    PH_ASSERT(taken > 0);
    ph_bump_relaxed(&front->used_pages, (uint64_t)taken * pages);
    ph_drop_relaxed(&front->dirty_pages, (uint64_t)taken * pages - clean);
    ph_bump_relaxed(&front->grown_pages, clean);
    ph_front_refile(front, block);
    if (starts[taken - 1] & PH_START_MIXED) {
        uint16_t mixed = starts[taken - 1];
        starts[taken - 1] = starts[0];
        starts[0] = mixed;
    }
    for (unsigned i = taken; i-- > 1;) {
        uintptr_t run = address_of(front, block, starts[i]);
        if (!keep(front, block, starts[i] & PH_START_MASK, run, pages))
            give_kept(front, run, pages);
    }
    return address_of(front, block, starts[0]);
}

uintptr_t ph_front_cut(ph_front *front, unsigned pages)
{
    ph_front_collect(front);
    ph_block *block = ph_index_best(&front->index, pages);
    if (block == NULL)
        return 0;
    /* Under a limit each run is charged as it is asked for; without spare records none can be kept. */
    bool one = front->spares[ph_magazine_kind(pages)] == NULL || front->heap->limit_pages != UINT64_MAX;
    return refill_from(front, block, pages, one ? 1 : refill_count(front, pages));
}
