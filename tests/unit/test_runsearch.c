/* SPDX-License-Identifier: MIT */
/* test_runsearch.c -- the run search agrees with one that looks at every bit: for all patterns of twelve bits
 * at every edge of a word, and for random patterns of 512 bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block/runsearch.h"
#include "dice.h"

#define WORDS_MAX    8
#define PATTERN_BITS 12

static bool bit_at(const uint64_t *bits, unsigned b)
{
    return (bits[b / 64] >> (b % 64)) & 1;
}

static bool all_set(const uint64_t *bits, unsigned words, unsigned first, unsigned length)
{
    if (first + length > 64 * words)
        return false;
    for (unsigned b = first; b < first + length; b++) {
        if (!bit_at(bits, b))
            return false;
    }
    return true;
}

static int naive_stepped(const uint64_t *bits, unsigned words, unsigned from, unsigned step, unsigned length)
{
    for (unsigned first = from; first < 64 * words; first += step) {
        if (all_set(bits, words, first, length))
            return (int)first;
    }
    return PH_NO_RUN;
}

static unsigned naive_upward(const uint64_t *bits, unsigned words, unsigned position)
{
    unsigned length = 0;
    while (position + length < 64 * words && bit_at(bits, position + length))
        length++;
    return length;
}

static unsigned naive_longest(const uint64_t *bits, unsigned words)
{
    unsigned longest = 0;
    for (unsigned b = 0; b < 64 * words; b++) {
        unsigned here = naive_upward(bits, words, b);
        longest = here > longest ? here : longest;
        b += here;
    }
    return longest;
}

/* The longest run's length, at which the search may stop, and its place. */
static void compare_longest(const uint64_t *bits, unsigned words)
{
    unsigned expected = naive_longest(bits, words);
    unsigned first = 0;
    assert_int_equal(ph_runsearch_longest(bits, words, 64 * words, 0, &first), expected);
    if (expected != 0)
        assert_true(all_set(bits, words, first, expected));
    assert_int_equal(ph_runsearch_longest(bits, words, expected, 0, &first), expected);
    if (expected != 0)
        assert_true(all_set(bits, words, first, expected));
    for (unsigned b = 0; b < 64 * words; b += 1 + naive_upward(bits, words, b)) {
        unsigned known_first = b; /* one run after the other is known */
        unsigned known = naive_upward(bits, words, b);
        assert_int_equal(ph_runsearch_longest(bits, words, 64 * words, known, &known_first), expected);
        if (expected != 0)
            assert_true(all_set(bits, words, known_first, expected));
    }
}

/* ---- every small pattern --------------------------------------------------------------- */

static void set_pattern(uint64_t bits[2], unsigned pattern, unsigned at, bool surrounded)
{
    memset(bits, surrounded ? 0xff : 0, 2 * sizeof bits[0]);
    for (unsigned i = 0; i < PATTERN_BITS; i++) {
        uint64_t bit = UINT64_C(1) << ((at + i) % 64);
        uint64_t *word = &bits[(at + i) / 64];
        *word = (pattern >> i) & 1 ? *word | bit : *word & ~bit;
    }
}

static void compare_pattern(const uint64_t bits[2], unsigned at)
{
    compare_longest(bits, 2);
    for (unsigned i = 0; i < PATTERN_BITS; i++) {
        assert_int_equal(ph_runsearch_upward(bits, 2, at + i), naive_upward(bits, 2, at + i));
    }
    unsigned from = at >= 2 ? at - 2 : 0;
    for (unsigned length = 1; length <= PATTERN_BITS + 1; length++) {
        for (unsigned i = from; i < at + PATTERN_BITS; i++)
            assert_int_equal(ph_runsearch_first(bits, 2, i, length), naive_stepped(bits, 2, i, 1, length));
    }
}

static void all_patterns_at(unsigned at)
{
    uint64_t bits[2];
    for (unsigned pattern = 0; pattern < 1u << PATTERN_BITS; pattern++) {
        set_pattern(bits, pattern, at, false);
        compare_pattern(bits, at);
        set_pattern(bits, pattern, at, true);
        compare_pattern(bits, at);
    }
}

static void small_patterns_agree(void **state)
{
    (void)state;
    all_patterns_at(0);
    all_patterns_at(58); /* across the edge of two words */
    all_patterns_at(128 - PATTERN_BITS);
}

/* ---- random words of 512 bits ---------------------------------------------------------- */

/* Between nearly empty and nearly full, evenly spread or in long runs. */
static void throw_bits(dice *d, uint64_t bits[WORDS_MAX])
{
    uint64_t kind = dice_below(d, 4);
    if (kind == 0) {
        memset(bits, dice_below(d, 2) ? 0xff : 0, WORDS_MAX * sizeof bits[0]);
        for (uint64_t holes = dice_below(d, 6); holes > 0; holes--) {
            uint64_t b = dice_below(d, 512);
            bits[b / 64] ^= UINT64_C(1) << (b % 64);
        }
        return;
    }
    for (unsigned w = 0; w < WORDS_MAX; w++) {
        bits[w] = dice_next(d);
        if (kind == 2)
            bits[w] &= dice_next(d) & dice_next(d);
        if (kind == 3)
            bits[w] |= dice_next(d) | dice_next(d);
    }
}

static unsigned throw_length(dice *d, unsigned most)
{
    return 1 + (unsigned)dice_below(d, dice_below(d, 2) ? most : 8);
}

static void random_words_agree(void **state)
{
    (void)state;
    static const unsigned sizes[] = { 1, 2, 8 };
    uint64_t bits[WORDS_MAX];
    dice d = dice_new();
    for (unsigned round = 0; round < 60000; round++) {
        unsigned words = sizes[dice_below(&d, 3)];
        throw_bits(&d, bits);
        unsigned from = (unsigned)dice_below(&d, 64 * words);
        unsigned length = throw_length(&d, 64 * words);
        unsigned step = 1u << dice_below(&d, 9);
        assert_int_equal(ph_runsearch_first(bits, words, from, length),
                         naive_stepped(bits, words, from, 1, length));
        assert_int_equal(ph_runsearch_stepped(bits, words, from, step, length),
                         naive_stepped(bits, words, from, step, length));
        assert_int_equal(ph_runsearch_upward(bits, words, from), naive_upward(bits, words, from));
        compare_longest(bits, words);
    }
}

/* Runs of each length at each place, and their exact fit. */
static void single_runs_are_found(void **state)
{
    (void)state;
    for (unsigned length = 1; length <= 512; length += length < 70 ? 1 : 37) {
        for (unsigned first = 0; first + length <= 512; first += 1 + length / 16) {
            uint64_t bits[WORDS_MAX] = { 0 };
            for (unsigned b = first; b < first + length; b++)
                bits[b / 64] |= UINT64_C(1) << (b % 64);
            assert_int_equal(ph_runsearch_first(bits, WORDS_MAX, 0, length), first);
            if (length < 512)
                assert_int_equal(ph_runsearch_first(bits, WORDS_MAX, 0, length + 1), PH_NO_RUN);
            compare_longest(bits, WORDS_MAX);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_patterns_agree),
        cmocka_unit_test(random_words_agree),
        cmocka_unit_test(single_runs_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
