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

/* The bits of word `w` that lie in [first, first + count) of a row of words; some do. */
static inline uint64_t ph_range_in_word(size_t w, size_t first, size_t count)
{
    size_t end = first + count;
    unsigned from = w == first / 64 ? (unsigned)(first % 64) : 0;
    unsigned to = w == (end - 1) / 64 ? (unsigned)((end - 1) % 64) + 1 : 64;
    return ph_low_mask(to) & ~ph_low_mask(from);
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
