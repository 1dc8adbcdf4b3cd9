/* SPDX-License-Identifier: MIT */
/* bits.h -- words of 64 bits, and sizes that are powers of two. */
#ifndef PH_BASE_BITS_H
#define PH_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Position of the lowest or highest set bit; `word` must not be 0. */
static inline unsigned ph_lowest_bit(uint64_t word)
{
    return (unsigned)__builtin_ctzll(word);
}

static inline unsigned ph_highest_bit(uint64_t word)
{
    return 63u - (unsigned)__builtin_clzll(word);
}

static inline unsigned ph_count_bits(uint64_t word)
{
    return (unsigned)__builtin_popcountll(word);
}

/* The `count` lowest bits; count 0..64. */
static inline uint64_t ph_low_mask(unsigned count)
{
    return count >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << count) - 1;
}

/* ---- rows of words: bit i of word w is number 64 * w + i ---- */

static inline bool ph_bit_is_set(const uint64_t *bits, unsigned number)
{
    return (bits[number / 64] >> (number % 64)) & 1;
}

/* The bits of [first, first + count) that lie in word `w`, which is not before or behind all of them. */
static inline uint64_t ph_range_in_word(unsigned w, unsigned first, unsigned count)
{
    unsigned from = w == first / 64 ? first % 64 : 0;
    unsigned end = first + count - 64 * w;
    return ph_low_mask(end) & ~ph_low_mask(from);
}

static inline void ph_range_set(uint64_t *bits, unsigned first, unsigned count)
{
    for (unsigned w = first / 64; 64 * w < first + count; w++)
        bits[w] |= ph_range_in_word(w, first, count);
}

static inline void ph_range_clear(uint64_t *bits, unsigned first, unsigned count)
{
    for (unsigned w = first / 64; 64 * w < first + count; w++)
        bits[w] &= ~ph_range_in_word(w, first, count);
}

static inline bool ph_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static inline uint64_t ph_align_up(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

static inline uint64_t ph_div_ceil(uint64_t value, uint64_t divisor)
{
    return value / divisor + (value % divisor != 0);
}

static inline uint64_t ph_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t ph_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
