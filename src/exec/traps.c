/* SPDX-License-Identifier: MIT */
/* traps.c -- filling, and who has written where. */
#include "exec/pieces.h"

#include <string.h>

uint64_t ph_traps[PH_TRAP_WORDS];

/* ---- bits --------------------------------------------------------------------------------- */

/* The bits of word `w` that lie in [first, first + count). */
static uint64_t bits_of_word(size_t w, size_t first, size_t count)
{
    unsigned from = w == first / 64 ? (unsigned)(first % 64) : 0;
    size_t end = first + count;
    unsigned to = w == (end - 1) / 64 ? (unsigned)((end - 1) % 64) + 1 : 64;
    return ph_low_mask(to) & ~ph_low_mask(from);
}

bool ph_bits_any(const _Atomic uint64_t *bits, size_t first, size_t count)
{
    for (size_t w = first / 64; w <= (first + count - 1) / 64; w++) {
        if (ph_load_relaxed(&bits[w]) & bits_of_word(w, first, count))
            return true;
    }
    return false;
}

/* Relaxed all of them: whoever holds a span got it from who held it before through a lock or its like. */
void ph_bits_set(_Atomic uint64_t *bits, size_t first, size_t count)
{
    for (size_t w = first / 64; w <= (first + count - 1) / 64; w++) {
        uint64_t mask = bits_of_word(w, first, count);
        if ((ph_load_relaxed(&bits[w]) & mask) != mask)
            atomic_fetch_or_explicit(&bits[w], mask, memory_order_relaxed);
    }
}

void ph_bits_clear(_Atomic uint64_t *bits, size_t first, size_t count)
{
    for (size_t w = first / 64; w <= (first + count - 1) / 64; w++) {
        uint64_t mask = bits_of_word(w, first, count);
        if ((ph_load_relaxed(&bits[w]) & mask) != 0)
            atomic_fetch_and_explicit(&bits[w], ~mask, memory_order_relaxed);
    }
}

/* ---- fill --------------------------------------------------------------------------------- */

/* Between these two a seal waits; after it nobody gets in. */
static bool begin_inside(pageheap_exec *code)
{
    atomic_fetch_add(&code->writers_inside,
                     1); /* sequentially consistent, as is the seal's change of state */
    if (PH_LIKELY(atomic_load(&code->state) != PH_CODE_SEALED))
        return true;
    atomic_fetch_sub(&code->writers_inside, 1);
    return false;
}

static void end_inside(pageheap_exec *code)
{
    atomic_fetch_sub(&code->writers_inside, 1); /* pairs with the seal's load */
}

int ph_code_write(pageheap_exec *code, uintptr_t rx, const void *from, size_t bytes)
{
    if (!begin_inside(code))
        return -EACCES;
    int error = ph_code_backend(code)->write(code, rx, from, bytes);
    end_inside(code);
    return error;
}

/* In parts, but pages that have to be made writable are that once. */
static int fill_parts(pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    int error = ph_code_begin_write(code, rx, bytes);
    if (error != 0)
        return error;
    for (size_t done = 0; done < bytes && error == 0; done += sizeof ph_traps) {
        size_t part = bytes - done < sizeof ph_traps ? bytes - done : sizeof ph_traps;
        error = ph_code_backend(code)->write(code, rx + done, ph_traps, part);
    }
    int end_error = ph_code_end_write(code, rx, bytes);
    return error != 0 ? error : end_error;
}

int ph_code_fill(pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    if (!begin_inside(code))
        return -EACCES;
    int error = fill_parts(code, rx, bytes);
    end_inside(code);
    return error;
}

/* ---- marks: by the granule in slabs, by the page elsewhere -------------------------------- */

/* Where the bits of these addresses lie. */
typedef struct bit_range {
    _Atomic uint64_t *written, *executed;
    size_t first, count;
} bit_range;

static bit_range range_of(const pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    ph_slab *slab = ph_slab_at(code, rx);
    uintptr_t base = slab != NULL ? slab->rx : code->rx_base;
    unsigned log2 = slab != NULL ? code->granule_log2 : code->page_log2;
    size_t first = (rx - base) >> log2;
    size_t last = (rx + bytes - 1 - base) >> log2;
    return (bit_range){ .written = slab != NULL ? slab->written : code->written,
                        .executed = slab != NULL ? slab->executed : code->executed,
                        .first = first,
                        .count = last - first + 1 };
}

void ph_code_note_written(pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    if (!code->fills)
        return;
    bit_range range = range_of(code, rx, bytes);
    ph_bits_set(range.written, range.first, range.count);
}

bool ph_code_was_executed(const pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    bit_range range = range_of(code, rx, bytes);
    return ph_bits_any(range.executed, range.first, range.count);
}

bool ph_code_note_executed(pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    bit_range range = range_of(code, rx, bytes);
    bool before = ph_bits_any(range.executed, range.first, range.count);
    ph_bits_set(range.executed, range.first, range.count);
    return before;
}
