/* SPDX-License-Identifier: MIT */
/* test_block.c -- a block of each page size against an array of page owners: random takes, gives and cuts,
 * with pages that read zero and pages that do not; and ph_block_check sees each invariant broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block/block.h"
#include "block/runsearch.h"
#include "dice.h"

#define UNUSED_DIRTY 0u
#define UNUSED_CLEAN 1u
#define OWNER_FIRST  2u /* owners count up from here */

typedef struct trial {
    ph_block block;
    ph_block_tags tags;
    unsigned pages;
    uint32_t owner[PH_BLOCK_PAGES_MAX + 1];
    uint32_t next_owner;
    dice d;
} trial;

static bool is_unused(const trial *t, unsigned page)
{
    return t->owner[page] < OWNER_FIRST;
}

static unsigned model_run_end(const trial *t, unsigned page)
{
    unsigned end = page + 1;
    while (end < t->pages && t->owner[end] == t->owner[page])
        end++;
    return end;
}

static unsigned model_hole(const trial *t, unsigned page)
{
    unsigned end = page;
    while (end < t->pages && is_unused(t, end))
        end++;
    return end - page;
}

static void assert_agrees(const trial *t)
{
    unsigned unused = 0, clean = 0, longest = 0;
    for (unsigned p = 0; p < t->pages; p++) {
        unused += is_unused(t, p);
        clean += t->owner[p] == UNUSED_CLEAN;
        if (p == 0 || !is_unused(t, p - 1)) {
            unsigned hole = model_hole(t, p);
            longest = hole > longest ? hole : longest;
        }
        assert_int_equal(ph_block_is_used(&t->block, p), !is_unused(t, p));
    }
    assert_int_equal(t->block.unused_pages, unused);
    assert_int_equal(t->block.clean_pages, clean);
    assert_int_equal(t->block.longest_pages, longest);
    assert_true(model_hole(t, t->block.longest_first) == longest || longest == 0);
    const char *broken = ph_block_check(&t->block);
    if (broken != NULL)
        fail_msg("%s", broken);
}

static unsigned own(trial *t, unsigned first, unsigned pages)
{
    unsigned clean = 0;
    for (unsigned p = first; p < first + pages; p++) {
        clean += t->owner[p] == UNUSED_CLEAN;
        t->owner[p] = t->next_owner;
    }
    t->next_owner++;
    return clean;
}

static void do_take(trial *t)
{
    unsigned pages = 1 + (unsigned)dice_below(&t->d, dice_below(&t->d, 4) ? 9 : t->pages);
    int first = ph_block_find_aligned(&t->block, pages, 1);
    int expected = -1;
    for (unsigned p = 0; p < t->pages && expected < 0; p++) {
        if (model_hole(t, p) >= pages)
            expected = (int)p;
    }
    assert_int_equal(first, expected);
    if (first < 0)
        return;
    unsigned clean = ph_block_take(&t->block, (unsigned)first, pages);
    ph_block_mark(&t->block, (unsigned)first, dice_below(&t->d, 2));
    assert_int_equal(clean, own(t, (unsigned)first, pages));
}

static void do_take_many(trial *t)
{
    uint16_t starts[32];
    unsigned clean, expected_clean = 0;
    unsigned pages = 1 + (unsigned)dice_below(&t->d, 5);
    unsigned count = 1 + (unsigned)dice_below(&t->d, 32);
    unsigned taken = ph_block_take_many(&t->block, pages, count, starts, &clean);
    for (unsigned i = 0; i < taken; i++) {
        unsigned first = starts[i] & PH_START_MASK;
        assert_true(model_hole(t, first) >= pages);
        unsigned run_clean = own(t, first, pages);
        assert_int_equal((starts[i] & PH_START_CLEAN) != 0, run_clean == pages);
        expected_clean += run_clean;
        ph_block_mark(&t->block, first, false);
    }
    assert_int_equal(clean, expected_clean);
}

static int pick_run(trial *t)
{
    unsigned page = (unsigned)dice_below(&t->d, t->pages);
    if (is_unused(t, page))
        return -1;
    while (page > 0 && t->owner[page - 1] == t->owner[page])
        page--;
    return (int)page;
}

static void do_give(trial *t)
{
    int first = pick_run(t);
    if (first < 0)
        return;
    unsigned pages = model_run_end(t, (unsigned)first) - (unsigned)first;
    bool clean = dice_below(&t->d, 2);
    assert_true(ph_block_is_marked(&t->block, (unsigned)first));
    assert_int_equal(ph_block_run_pages(&t->block, (unsigned)first), pages);
    assert_int_equal(ph_block_run_start(&t->block, (unsigned)first + pages - 1), first);
    assert_true(ph_block_has_run(&t->block, (unsigned)first, pages));
    assert_false(ph_block_has_run(&t->block, (unsigned)first, pages + 1));
    assert_false(ph_block_has_run(&t->block, (unsigned)first, pages - 1));
    assert_false(ph_block_has_run(&t->block, (unsigned)first, pages + 64));
    if (pages > 1)
        assert_false(ph_block_has_run(&t->block, (unsigned)first + 1, pages - 1));
    assert_true(ph_block_unmark(&t->block, (unsigned)first, dice_below(&t->d, 2)));
    ph_block_give(&t->block, (unsigned)first, pages, clean);
    for (unsigned p = 0; p < pages; p++)
        t->owner[(unsigned)first + p] = clean ? UNUSED_CLEAN : UNUSED_DIRTY;
}

/* All one-page runs of one word at once, as the owner collects them. */
static void do_give_singles(trial *t)
{
    unsigned word = (unsigned)dice_below(&t->d, ph_block_words(&t->block));
    uint64_t bits = 0;
    for (unsigned p = 64 * word; p < 64 * word + 64 && p < t->pages; p++) {
        bool starts = p == 0 || t->owner[p - 1] != t->owner[p];
        if (is_unused(t, p) || !starts || model_run_end(t, p) != p + 1)
            continue;
        bits |= UINT64_C(1) << (p % 64);
        assert_true(ph_block_unmark(&t->block, p, false));
        t->owner[p] = UNUSED_DIRTY;
    }
    if (bits != 0)
        ph_block_give_singles(&t->block, word, bits);
}

static void do_cut(trial *t)
{
    int first = pick_run(t);
    if (first < 0)
        return;
    unsigned end = model_run_end(t, (unsigned)first);
    if (end - (unsigned)first < 2)
        return;
    unsigned cut = (unsigned)first + 1 + (unsigned)dice_below(&t->d, end - (unsigned)first - 1);
    ph_block_cut_after(&t->block, cut - 1);
    ph_block_mark(&t->block, cut, false);
    for (unsigned p = cut; p < end; p++)
        t->owner[p] = t->next_owner;
    t->next_owner++;
}

static void assert_dirty_bits(const trial *t)
{
    uint64_t dirty[PH_BLOCK_WORDS], unused[PH_BLOCK_WORDS];
    ph_block_dirty_bits(&t->block, dirty);
    ph_block_unused_bits(&t->block, unused);
    for (unsigned p = 0; p < t->pages; p++) {
        assert_int_equal((dirty[p / 64] >> (p % 64)) & 1, t->owner[p] == UNUSED_DIRTY);
        assert_int_equal((unused[p / 64] >> (p % 64)) & 1, is_unused(t, p));
    }
}

static void walk(unsigned page_log2, unsigned steps)
{
    static trial t;
    memset(&t, 0, sizeof t);
    t.d = dice_new();
    t.pages = 1u << (PH_BLOCK_LOG2 - page_log2);
    t.next_owner = OWNER_FIRST;
    ph_block_place_tags(&t.block, t.tags, t.tags + PH_BLOCK_WORDS);
    ph_block_init(&t.block, (uintptr_t)7 << PH_BLOCK_LOG2, page_log2, true);
    ph_store_relaxed(&t.tags[2 * PH_BLOCK_WORDS], ~UINT64_C(0)); /* another block's: it may say anything */
    assert_int_equal(ph_block_base(&t.block), (uintptr_t)7 << PH_BLOCK_LOG2);
    for (unsigned p = 0; p < t.pages; p++)
        t.owner[p] = UNUSED_CLEAN;
    for (unsigned step = 0; step < steps; step++) {
        static void (*const actions[])(trial *) = { do_take,      do_take, do_give, do_give,
                                                    do_take_many, do_cut,  do_give, do_give_singles };
        actions[dice_below(&t.d, 8)](&t);
        assert_agrees(&t);
        if (step % 16 == 0)
            assert_dirty_bits(&t);
    }
}

static void blocks_agree(void **state)
{
    (void)state;
    walk(12, 15000);
    walk(13, 5000);
    walk(14, 5000);
    walk(15, 5000);
    walk(16, 5000);
}

/* ---- the check itself ------------------------------------------------------------------ */

static void assert_breaks(const ph_block *block, const char *name)
{
    const char *broken = ph_block_check(block);
    assert_non_null(broken);
    assert_memory_equal(broken, name, 2);
}

static void check_sees_each_invariant(void **state)
{
    (void)state;
    static struct whole {
        ph_block block;
        ph_block_tags tags;
    } good, bad; /* a copy has its own tags: a record says how far away they are */
    ph_block_place_tags(&good.block, good.tags, good.tags + PH_BLOCK_WORDS);
    ph_block_init(&good.block, 0, 12, true);
    ph_block_take(&good.block, 10, 5);
    ph_block_mark(&good.block, 10, false);
    assert_null(ph_block_check(&good.block));
    bad = good;
    bad.block.unused_pages++;
    assert_breaks(&bad.block, "B1");
    bad = good;
    bad.block.longest_pages--;
    assert_breaks(&bad.block, "B2");
    bad = good;
    bad.block.clean_pages--;
    assert_breaks(&bad.block, "B3");
    bad = good;
    ph_block_mark(&bad.block, 3, false);
    assert_breaks(&bad.block, "B4");
    bad = good;
    ph_store_relaxed(&bad.block.remote[0], UINT64_C(1) << 10);
    assert_breaks(&bad.block, "B5");
    ph_block_init(&bad.block, 0, 16, true);
    ph_store_relaxed(&bad.block.used[3], 0);
    assert_breaks(&bad.block, "B6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_agree),
        cmocka_unit_test(check_sees_each_invariant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
