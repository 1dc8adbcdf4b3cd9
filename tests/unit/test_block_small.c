/* SPDX-License-Identifier: MIT */
/* test_block_small.c -- every layout that twelve pages can have, and everything that can be done in it.
 *
 * The model is an array: each page is nobody's, or begins a run, or goes on with one.  The block's words must
 * say the same after each step, and a free must be accepted exactly when it names a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block/block.h"
#include "block/runsearch.h"

/* A block of 16 pages of 128 KiB, of which the last four are taken once and for all. */
#define PAGE_LOG2 17
#define PAGES     12
#define PAGES_ALL 16
#define LAYOUTS   75025u /* a Fibonacci number: each page is unused, begins a run, or goes on with one */

enum page { UNUSED, BEGINS, GOES_ON };

typedef struct model {
    enum page pages[PAGES_ALL + 1];
} model;

/* A copy has its own tags: a record says how far away they are. */
typedef struct whole {
    ph_block block;
    ph_block_tags tags;
} whole;

static whole scratch, built;
static unsigned layouts_seen;

static unsigned run_length(const model *m, unsigned first)
{
    unsigned length = 1;
    while (first + length < PAGES_ALL && m->pages[first + length] == GOES_ON)
        length++;
    return length;
}

static unsigned hole_length(const model *m, unsigned first)
{
    unsigned length = 0;
    while (first + length < PAGES && m->pages[first + length] == UNUSED)
        length++;
    return length;
}

/* The block says what the model says, bit for bit and number for number. */
static void assert_agrees(const ph_block *block, const model *m)
{
    uint64_t used = ~UINT64_C(0) << PAGES_ALL, mark = 0, last = 0;
    unsigned unused_pages = 0, longest_pages = 0;
    for (unsigned p = 0; p < PAGES_ALL; p++) {
        uint64_t bit = UINT64_C(1) << p;
        if (m->pages[p] == UNUSED) {
            unsigned hole = hole_length(m, p);
            longest_pages = hole > longest_pages ? hole : longest_pages;
            unused_pages++;
            continue;
        }
        used |= bit;
        if (m->pages[p] == BEGINS) {
            mark |= bit;
            last |= UINT64_C(1) << (p + run_length(m, p) - 1);
        }
    }
    assert_int_equal(ph_load_relaxed(&block->used[0]), used);
    assert_int_equal(ph_load_relaxed(&ph_block_marks(block)[0]), mark);
    assert_int_equal(ph_load_relaxed(&ph_block_lasts(block)[0]), last);
    assert_int_equal(block->unused_pages, unused_pages);
    assert_int_equal(block->longest_pages, longest_pages);
    assert_int_equal(block->clean_pages, 0);
    if (longest_pages != 0)
        assert_int_equal(hole_length(m, block->longest_first), longest_pages);
}

static void model_take(model *m, unsigned first, unsigned pages)
{
    for (unsigned p = first; p < first + pages; p++)
        m->pages[p] = p == first ? BEGINS : GOES_ON;
}

static void take_live(ph_block *block, unsigned first, unsigned pages)
{
    assert_int_equal(ph_block_take(block, first, pages), 0);
    ph_block_mark(block, first, false);
}

static void build(whole *w, const model *m)
{
    ph_block_place_tags(&w->block, w->tags, w->tags + PH_BLOCK_WORDS);
    ph_block_init(&w->block, 0, PAGE_LOG2, false);
    for (unsigned p = 0; p < PAGES_ALL; p++) {
        if (m->pages[p] == BEGINS)
            take_live(&w->block, p, run_length(m, p));
    }
}

/* ---- everything that can be done in one layout ----------------------------------------- */

/* A run of each length in each hole, and back. */
static void try_takes(const model *m)
{
    for (unsigned first = 0; first < PAGES; first++) {
        unsigned hole = hole_length(m, first);
        for (unsigned pages = 1; pages <= hole; pages++) {
            model after = *m;
            model_take(&after, first, pages);
            scratch = built;
            take_live(&scratch.block, first, pages);
            assert_agrees(&scratch.block, &after);
            assert_true(ph_block_unmark(&scratch.block, first, false));
            ph_block_give(&scratch.block, first, pages, false);
            assert_agrees(&scratch.block, m);
        }
    }
}

static int naive_find(const model *m, unsigned from, unsigned step, unsigned pages)
{
    for (unsigned first = from; first < PAGES; first += step) {
        if (hole_length(m, first) >= pages)
            return (int)first;
    }
    return PH_NO_RUN;
}

static void try_finds(const model *m)
{
    for (unsigned pages = 1; pages <= PAGES + 1; pages++) {
        assert_int_equal(ph_block_find_aligned(&built.block, pages, 1), naive_find(m, 0, 1, pages));
        assert_int_equal(ph_block_find_aligned(&built.block, pages, 4), naive_find(m, 0, 4, pages));
    }
}

/* A free of any range: right exactly for the runs. */
static void try_frees(const model *m)
{
    for (unsigned first = 0; first < PAGES; first++) {
        bool begins = m->pages[first] == BEGINS;
        assert_int_equal(ph_block_is_marked(&built.block, first), begins);
        for (unsigned pages = 0; pages <= PAGES + 1; pages++) {
            bool exact = begins && run_length(m, first) == pages;
            assert_int_equal(begins && ph_block_run_pages(&built.block, first) == pages, exact);
            assert_int_equal(ph_block_has_run(&built.block, first, pages), exact);
        }
        if (!begins)
            continue;
        model after = *m;
        for (unsigned p = first; p < first + run_length(m, first); p++)
            after.pages[p] = UNUSED;
        scratch = built;
        assert_true(ph_block_unmark(&scratch.block, first, false));
        assert_false(ph_block_unmark(&scratch.block, first, true)); /* a second time */
        ph_block_give(&scratch.block, first, run_length(m, first), false);
        assert_agrees(&scratch.block, &after);
    }
}

static void try_run_starts(const model *m)
{
    int start = -1;
    for (unsigned p = 0; p < PAGES; p++) {
        if (m->pages[p] == BEGINS)
            start = (int)p;
        if (m->pages[p] == UNUSED)
            start = -1;
        assert_int_equal(ph_block_run_start(&built.block, p), start);
    }
}

/* The place of the next of several runs: single pages are the lowest, longer runs follow each other in a
 * longest hole; -1 if there is none. */
static int next_of_many(const model *m, unsigned pages, unsigned taken)
{
    if (pages == 1)
        return naive_find(m, 0, 1, 1);
    unsigned first = built.block.longest_first + taken * pages;
    return built.block.longest_pages >= (taken + 1) * pages ? (int)first : PH_NO_RUN;
}

static void try_take_many(const model *m)
{
    uint16_t starts[PAGES];
    unsigned clean;
    for (unsigned pages = 1; pages <= 3; pages++) {
        model after = *m;
        unsigned expected = 0;
        int first;
        scratch = built;
        unsigned taken = ph_block_take_many(&scratch.block, pages, 4, starts, &clean);
        while (expected < 4 && (first = next_of_many(&after, pages, expected)) != PH_NO_RUN) {
            assert_true(expected < taken);
            assert_int_equal(starts[expected++], first);
            ph_block_mark(&scratch.block, (unsigned)first, false);
            model_take(&after, (unsigned)first, pages);
        }
        assert_int_equal(taken, expected);
        assert_int_equal(clean, 0);
        if (taken != 0)
            assert_agrees(&scratch.block, &after);
    }
}

static void try_cuts(const model *m)
{
    for (unsigned p = 0; p + 1 < PAGES; p++) {
        if (m->pages[p + 1] != GOES_ON)
            continue;
        model after = *m;
        after.pages[p + 1] = BEGINS;
        scratch = built;
        ph_block_cut_after(&scratch.block, p);
        ph_block_mark(&scratch.block, p + 1, false);
        assert_agrees(&scratch.block, &after);
        assert_true(ph_block_unmark(&scratch.block, p + 1, false));
        ph_block_uncut_after(&scratch.block, p);
        assert_agrees(&scratch.block, m);
    }
}

static void try_layout(const model *m)
{
    layouts_seen++;
    build(&built, m);
    assert_agrees(&built.block, m);
    try_finds(m);
    try_takes(m);
    try_frees(m);
    try_run_starts(m);
    try_take_many(m);
    try_cuts(m);
    if (layouts_seen % 32 == 0)
        assert_null(ph_block_check(&built.block));
}

static void try_layouts_from(model *m, unsigned page)
{
    if (page == PAGES) {
        try_layout(m);
        return;
    }
    m->pages[page] = UNUSED;
    try_layouts_from(m, page + 1);
    m->pages[page] = BEGINS;
    try_layouts_from(m, page + 1);
    if (page > 0 && m->pages[page - 1] != UNUSED) {
        m->pages[page] = GOES_ON;
        try_layouts_from(m, page + 1);
    }
}

static void every_layout_agrees(void **state)
{
    (void)state;
    model m = { { UNUSED } };
    model_take(&m, PAGES, PAGES_ALL - PAGES);
    try_layouts_from(&m, 0);
    assert_int_equal(layouts_seen, LAYOUTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
