/* SPDX-License-Identifier: MIT */
/* write.c -- our own writes to code memory, of code and of traps, and the marks of where there is code and
 * where it has run. */
#include "exec/pieces.h"

uint64_t ph_traps[PH_TRAP_WORDS];

/* ---- writes ------------------------------------------------------------------------------- */

/* Every write of ours stands between begin_inside and end_inside.  A seal waits until none is under way; once
 * it has begun, begin_inside refuses.  Sequentially consistent, as is the seal's change of state. */
static bool begin_inside(pageheap_exec *exec)
{
    atomic_fetch_add(&exec->writers_inside, 1);
    if (PH_LIKELY(atomic_load(&exec->state) != PH_CODE_SEALED))
        return true;
    atomic_fetch_sub(&exec->writers_inside, 1);
    return false;
}

static void end_inside(pageheap_exec *exec)
{
    atomic_fetch_sub(&exec->writers_inside, 1); /* pairs with the seal's load */
}

int ph_code_write(pageheap_exec *exec, uintptr_t rx, const void *from, size_t bytes)
{
    if (!begin_inside(exec))
        return -EACCES;
    int error = ph_code_backend(exec)->write(exec, rx, from, bytes);
    end_inside(exec);
    return error;
}

/* In parts, but pages that have to be made writable are that once. */
static int fill_parts(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    int error = ph_code_begin_write(exec, rx, bytes);
    if (error != 0)
        return error;
    for (size_t done = 0; done < bytes && error == 0; done += sizeof ph_traps) {
        size_t part = bytes - done < sizeof ph_traps ? bytes - done : sizeof ph_traps;
        error = ph_code_backend(exec)->write(exec, rx + done, ph_traps, part);
    }
    int end_error = ph_code_end_write(exec, rx, bytes);
    return error != 0 ? error : end_error;
}

int ph_code_fill(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    if (!begin_inside(exec))
        return -EACCES;
    int error = fill_parts(exec, rx, bytes);
    end_inside(exec);
    return error;
}

/* ---- marks: by the granule in slabs, by the page elsewhere -------------------------------- */

/* Where the bits of these addresses lie. */
typedef struct bit_range {
    _Atomic uint64_t *written, *executed;
    size_t first, count;
} bit_range;

static bit_range range_of(const pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    ph_slab *slab = ph_slab_at(exec, rx);
    uintptr_t base = slab != NULL ? slab->rx : exec->rx_base;
    unsigned log2 = slab != NULL ? exec->granule_log2 : exec->page_log2;
    size_t first = (rx - base) >> log2;
    size_t last = (rx + bytes - 1 - base) >> log2;
    return (bit_range){ .written = slab != NULL ? slab->written : exec->written,
                        .executed = slab != NULL ? slab->executed : exec->executed,
                        .first = first,
                        .count = last - first + 1 };
}

void ph_code_note_written(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    if (!exec->fills)
        return;
    bit_range range = range_of(exec, rx, bytes);
    ph_bits_set(range.written, range.first, range.count);
}

bool ph_code_was_executed(const pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    bit_range range = range_of(exec, rx, bytes);
    return ph_bits_any(range.executed, range.first, range.count);
}

bool ph_code_note_executed(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    bit_range range = range_of(exec, rx, bytes);
    bool before = ph_bits_any(range.executed, range.first, range.count);
    ph_bits_set(range.executed, range.first, range.count);
    return before;
}
