/* SPDX-License-Identifier: MIT */
/* bits.h -- bits, one a page or one a granule: any thread may change its neighbours.  Relaxed all of them:
 * whoever holds a span got it from who held it before through a lock or its like.
 */
#ifndef PH_EXEC_BITS_H
#define PH_EXEC_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"

/* Of [first, first + count), count > 0: is one set?  Set all, clear all. */
bool ph_bits_any(const _Atomic uint64_t *bits, size_t first, size_t count);
void ph_bits_set(_Atomic uint64_t *bits, size_t first, size_t count);
void ph_bits_clear(_Atomic uint64_t *bits, size_t first, size_t count);

/* They are in one word. */
static PH_ALWAYS_INLINE bool ph_bits_in_word(size_t first, size_t count)
{
    return first % 64 + count <= 64;
}

/* Is one set of bits that are in one word? */
static PH_ALWAYS_INLINE bool ph_bits_any_in_word(const _Atomic uint64_t *bits, size_t first, size_t count)
{
    return ((ph_load_relaxed(&bits[first / 64]) >> (first % 64)) & (~UINT64_C(0) >> (64 - count))) != 0;
}

#endif
