/* SPDX-License-Identifier: MIT */
/* test_index.c -- the index finds the shortest sufficient hole, and of equals the fullest block.
 *
 * Up to 32 pages the answer is exactly that of a search of all blocks.  Above, holes of four or of sixteen
 * lengths share a class, and only the first block of a bin is looked at in the request's own class.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dice.h"
#include "heap/index.h"

#define BLOCKS      300
#define EXACT_PAGES 32u
#define CLASS_PAGES 16u

typedef struct trial {
    ph_index index;
    ph_block blocks[BLOCKS];
    bool is_in[BLOCKS];
    dice d;
} trial;

/* Numbers that a real block could have: a hole is no longer than what is unused. */
static void throw_numbers(trial *t, ph_block *block, unsigned most_pages)
{
    unsigned longest = (unsigned)dice_below(&t->d, most_pages + 1);
    unsigned more = longest == 0 ? 0 : (unsigned)dice_below(&t->d, 512 - longest + 1);
    block->longest_pages = (uint16_t)longest;
    block->unused_pages = (uint16_t)(longest + more);
}

static unsigned quarter_of(const ph_block *block)
{
    return (block->unused_pages - 1u) * PH_FULLNESS / ph_block_pages(block);
}

static const ph_block *naive_best(const trial *t, unsigned pages)
{
    const ph_block *best = NULL;
    for (unsigned i = 0; i < BLOCKS; i++) {
        const ph_block *block = &t->blocks[i];
        if (!t->is_in[i] || block->longest_pages < pages)
            continue;
        if (best == NULL || block->longest_pages < best->longest_pages ||
            (block->longest_pages == best->longest_pages && quarter_of(block) < quarter_of(best)))
            best = block;
    }
    return best;
}

/* Every block that the index files beyond the request's own class suffices,
 * so none of those may be missed. */
static void assert_is_good(const trial *t, unsigned pages)
{
    const ph_block *found = ph_index_best(&t->index, pages);
    const ph_block *best = naive_best(t, pages);
    if (best == NULL) {
        assert_null(found);
        return;
    }
    if (found == NULL) {
        assert_true(pages > EXACT_PAGES && best->longest_pages < pages + CLASS_PAGES);
        return;
    }
    assert_true(found->longest_pages >= pages);
    if (best->longest_pages <= EXACT_PAGES) {
        assert_int_equal(found->longest_pages, best->longest_pages);
        assert_int_equal(quarter_of(found), quarter_of(best));
        return;
    }
    bool same_class = found->longest_pages < best->longest_pages + CLASS_PAGES;
    bool best_hid_in_own_class = best->longest_pages < pages + CLASS_PAGES;
    assert_true(same_class || best_hid_in_own_class);
}

static void assert_filled_bits(const trial *t)
{
    for (unsigned bin = 0; bin < PH_BINS; bin++) {
        bool filled = (t->index.filled[bin / 64] >> (bin % 64)) & 1;
        assert_int_equal(filled, t->index.heads[bin] != NULL);
        const ph_block *before = NULL;
        for (const ph_block *block = t->index.heads[bin]; block != NULL; block = block->bin.next) {
            assert_int_equal(block->bin_index, bin);
            assert_int_equal(ph_index_bin_of(block), bin);
            assert_ptr_equal(block->bin.prev, before);
            before = block;
        }
    }
}

static void step(trial *t, unsigned most_pages)
{
    unsigned i = (unsigned)dice_below(&t->d, BLOCKS);
    if (dice_below(&t->d, 4) == 0) {
        ph_index_remove(&t->index, &t->blocks[i]);
        t->is_in[i] = false;
        return;
    }
    throw_numbers(t, &t->blocks[i], most_pages);
    ph_index_update(&t->index, &t->blocks[i]);
    t->is_in[i] = t->blocks[i].unused_pages != 0;
}

static void walk(unsigned most_pages)
{
    static trial t;
    memset(&t, 0, sizeof t);
    t.d = dice_new();
    for (unsigned i = 0; i < BLOCKS; i++) {
        t.blocks[i].page_log2 = 12;
        t.blocks[i].bin_index = PH_NO_BIN;
    }
    for (unsigned round = 0; round < 20000; round++) {
        step(&t, most_pages);
        assert_is_good(&t, 1 + (unsigned)dice_below(&t.d, most_pages));
        if (round % 100 == 0)
            assert_filled_bits(&t);
    }
}

static void best_is_found(void **state)
{
    (void)state;
    walk(EXACT_PAGES);
    walk(64);
    walk(512);
}

/* A block that fits exactly is preferred to a longer one, for every length. */
static void exact_fit_is_preferred(void **state)
{
    (void)state;
    static ph_index index;
    static ph_block exact, longer;
    for (unsigned pages = 1; pages < 512; pages++) {
        memset(&index, 0, sizeof index);
        exact = (ph_block){ .bin_index = PH_NO_BIN, .page_log2 = 12 };
        longer = exact;
        exact.longest_pages = exact.unused_pages = (uint16_t)pages;
        longer.longest_pages = longer.unused_pages =
            (uint16_t)(pages + CLASS_PAGES > 512 ? 512 : pages + CLASS_PAGES);
        ph_index_update(&index, &exact);
        assert_ptr_equal(ph_index_best(&index, pages), &exact);
        assert_null(ph_index_best(&index, pages + 1));
        if (ph_index_bin_of(&longer) / PH_FULLNESS == ph_index_bin_of(&exact) / PH_FULLNESS)
            continue; /* one class */
        ph_index_update(&index, &longer);
        assert_ptr_equal(ph_index_best(&index, pages), &exact);
        assert_ptr_equal(ph_index_best(&index, pages + CLASS_PAGES > 512 ? 512 : pages + CLASS_PAGES),
                         &longer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_is_found),
        cmocka_unit_test(exact_fit_is_preferred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
