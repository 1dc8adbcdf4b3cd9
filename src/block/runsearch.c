/* SPDX-License-Identifier: MIT */
/* runsearch.c -- runs of set bits in up to 512 of them.
 *
 * The step inside a word is the usual one: x & x >> 1 keeps a bit where a run of two begins, and doing it
 * with doubled distances finds where a run of n begins in log2(n) steps.  Runs that cross words are joined
 * by carrying the number of set bits at the top of the word before.
 *
 * Cost      8 words read; a handful of instructions a word.  Numbers: docs/design/block.md.
 */
#include "block/runsearch.h"

#include "base/bits.h"

/* Bits at which a run of `length` set bits begins within the word; length 1..64. */
static inline uint64_t starts_in_word(uint64_t word, unsigned length)
{
    unsigned covered = 1;
    while (covered * 2 <= length && word != 0) {
        word &= word >> covered;
        covered *= 2;
    }
    return covered < length ? word & (word >> (length - covered)) : word;
}

static inline unsigned ones_at_bottom(uint64_t word)
{
    return ~word == 0 ? 64 : ph_lowest_bit(~word);
}

static inline unsigned ones_at_top(uint64_t word)
{
    return ~word == 0 ? 64 : 63 - ph_highest_bit(~word);
}

int ph_runsearch_first(const uint64_t *bits, unsigned words, unsigned from, unsigned length)
{
    unsigned carried = 0; /* set bits that end at the top of the word before */
    for (unsigned w = from / 64; w < words; w++) {
        uint64_t word = bits[w];
        if (w == from / 64)
            word &= ~ph_low_mask(from % 64);
        if (carried + ones_at_bottom(word) >= length)
            return (int)(64 * w - carried);
        if (length <= 64) {
            uint64_t starts = starts_in_word(word, length);
            if (starts != 0)
                return (int)(64 * w + ph_lowest_bit(starts));
        }
        carried = ~word == 0 ? carried + 64 : ones_at_top(word);
    }
    return PH_NO_RUN;
}

int ph_runsearch_stepped(const uint64_t *bits, unsigned words, unsigned from, unsigned step, unsigned length)
{
    for (unsigned first = from; first + length <= 64 * words; first += step) {
        if (ph_runsearch_upward(bits, words, first) >= length)
            return (int)first;
    }
    return PH_NO_RUN;
}

unsigned ph_runsearch_longest(const uint64_t *bits, unsigned words, unsigned bound, unsigned known,
                              unsigned *first)
{
    unsigned longest = known;
    unsigned carried = 0;
    for (unsigned w = 0; w < words && longest < bound; w++) {
        uint64_t word = bits[w];
        if (~word == 0) {
            carried += 64;
            if (carried > longest) {
                longest = carried;
                *first = 64 * (w + 1) - carried;
            }
            continue;
        }
        unsigned across = carried + ph_lowest_bit(~word);
        if (across > longest) {
            longest = across;
            *first = 64 * w - carried;
        }
        carried = 63 - ph_highest_bit(~word);
        if (longest < 64) { /* else no run inside a word is longer */
            uint64_t starts = starts_in_word(word, longest + 1);
            while (starts != 0) {
                longest++;
                *first = 64 * w + ph_lowest_bit(starts);
                starts = longest < 64 ? starts & (word >> longest) : 0;
            }
        }
    }
    return longest;
}

unsigned ph_runsearch_upward(const uint64_t *bits, unsigned words, unsigned position)
{
    unsigned w = position / 64;
    unsigned inside = 64 - position % 64;
    unsigned length = ones_at_bottom(bits[w] >> (position % 64));
    if (length < inside)
        return length;
    length = inside;
    while (++w < words) {
        unsigned ones = ones_at_bottom(bits[w]);
        length += ones;
        if (ones < 64)
            break;
    }
    return length;
}
