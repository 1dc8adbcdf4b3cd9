/* SPDX-License-Identifier: MIT */
/* bits.c -- bits that may lie in several words. */
#include "exec/bits.h"

/* Numbers of pages and granules fit: a reservation is 64 GiB at most. */
static inline uint64_t in_word(size_t w, size_t first, size_t count)
{
    return ph_range_in_word((unsigned)w, (unsigned)first, (unsigned)count);
}

bool ph_bits_any(const _Atomic uint64_t *bits, size_t first, size_t count)
{
    for (size_t w = first / 64; w <= (first + count - 1) / 64; w++) {
        if (ph_load_relaxed(&bits[w]) & in_word(w, first, count))
            return true;
    }
    return false;
}

void ph_bits_set(_Atomic uint64_t *bits, size_t first, size_t count)
{
    for (size_t w = first / 64; w <= (first + count - 1) / 64; w++) {
        uint64_t mask = in_word(w, first, count);
        if ((ph_load_relaxed(&bits[w]) & mask) != mask)
            atomic_fetch_or_explicit(&bits[w], mask, memory_order_relaxed);
    }
}

void ph_bits_clear(_Atomic uint64_t *bits, size_t first, size_t count)
{
    for (size_t w = first / 64; w <= (first + count - 1) / 64; w++) {
        uint64_t mask = in_word(w, first, count);
        if ((ph_load_relaxed(&bits[w]) & mask) != 0)
            atomic_fetch_and_explicit(&bits[w], ~mask, memory_order_relaxed);
    }
}
