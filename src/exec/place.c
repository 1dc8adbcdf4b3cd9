/* SPDX-License-Identifier: MIT */
/* place.c -- where an executable heap lies: near the code that calls it.
 *
 * A direct call reaches 2 GiB on x86-64 and 128 MiB on arm64, and the kernel's own choice of address is
 * farther off than that.  So we ask for places near `near` one after the other, at fixed steps: below it
 * first, where programs have least, then above, but for a gap that is left to brk.  Half the size is tried if
 * none is free.
 *
 * A step is a 32nd of the way, or one place's length where that is shorter, so that no hole of twice that is
 * stepped over; but never less than a 1024th of the way, which is 2 MiB for a reach of 2 GiB.
 */
#include "exec/code.h"

#include <errno.h>

#define PLACES_LEAST    32 /* each way, at each size */
#define PLACES_MOST     1024
#define BREAK_GAP_BYTES ((UINT64_C(64) << 20) + PH_BLOCK_BYTES) /* the kernel wants a page of its own, too */
#define ADDRESS_MIN     UINT64_C(0x10000)                       /* vm.mmap_min_addr, the usual one */

/* Ask for [base - k * step], k = 0, 1, ..., down to `least`. */
static bool search_down(uintptr_t base, uintptr_t least, uint64_t step, uint64_t bytes, uintptr_t *ret_base)
{
    for (unsigned k = 0; k <= PLACES_MOST && base >= least; k++, base -= step) {
        if (ph_code_os.reserve_at((void *)base, bytes) == 0) {
            *ret_base = base;
            return true;
        }
        if (base - least < step)
            break;
    }
    return false;
}

/* brk grows upwards from where it is: what is free below it stays free, and may be wide, because the kernel
 * begins it anywhere within 1 GiB above the program. */
static uintptr_t past_break(uintptr_t base, uint64_t bytes, uintptr_t brk)
{
    bool is_in_gap = base + bytes > brk && base < brk + BREAK_GAP_BYTES;
    return is_in_gap ? ph_align_up(brk + BREAK_GAP_BYTES, PH_BLOCK_BYTES) : base;
}

static bool search_up(uintptr_t base, uintptr_t most, uint64_t step, uint64_t bytes, uintptr_t *ret_base)
{
    uintptr_t brk = ph_code_os_break();
    for (unsigned k = 0; k <= PLACES_MOST; k++, base += step) {
        base = past_break(base, bytes, brk);
        if (base > most)
            break;
        if (ph_code_os.reserve_at((void *)base, bytes) == 0) {
            *ret_base = base;
            return true;
        }
    }
    return false;
}

/* From place to place, for `bytes` at each, over `span` bytes in which they may begin. */
static uint64_t step_over(uint64_t span, uint64_t bytes)
{
    uint64_t step = ph_min_u64(span / PLACES_LEAST, bytes);
    step = ph_max_u64(step, span / PLACES_MOST);
    return ph_max_u64(ph_align_up(step, PH_BLOCK_BYTES), PH_BLOCK_BYTES);
}

/* Every byte of the reservation is within `reach` of `near`. */
static bool reserve_near(uintptr_t near, uint64_t reach, uint64_t bytes, uintptr_t *ret_base)
{
    if (bytes > reach)
        return false;
    uintptr_t below = near & ~(uintptr_t)(PH_BLOCK_BYTES - 1);
    uintptr_t least = near > reach + ADDRESS_MIN ? near - reach : ADDRESS_MIN;
    least = ph_align_up(least, PH_BLOCK_BYTES);
    if (below >= least + bytes &&
        search_down(below - bytes, least, step_over(below - bytes - least, bytes), bytes, ret_base))
        return true;
    uintptr_t first = ph_align_up(near, PH_BLOCK_BYTES);
    uintptr_t most = (near > UINTPTR_MAX - reach ? UINTPTR_MAX : near + reach) - bytes;
    return first >= near && first <= most &&
           search_up(first, most, step_over(most - first, bytes), bytes, ret_base);
}

static int reserve_rx(uintptr_t near, uint64_t reach, uint64_t bytes, uintptr_t *ret_base)
{
    void *base;
    if (near != 0)
        return reserve_near(near, reach, bytes, ret_base) ? 0 : -ENOMEM;
    int error = ph_os_reserve_aligned(bytes, PH_BLOCK_BYTES, &base);
    if (error == 0)
        *ret_base = (uintptr_t)base;
    return error;
}

static int reserve_both(pageheap_exec *exec, uintptr_t near, uint64_t reach, uint64_t bytes)
{
    uintptr_t rx;
    void *rw;
    int error = reserve_rx(near, reach, bytes, &rx);
    if (error != 0)
        return error;
    if (ph_code_backend(exec)->has_rw) {
        error = ph_os_reserve_aligned(bytes, PH_BLOCK_BYTES, &rw);
        if (error != 0) {
            (void)ph_os.unmap((void *)rx, bytes);
            return error;
        }
        exec->rw_delta = (uintptr_t)rw - rx;
    }
    exec->rx_base = rx;
    exec->reserved_bytes = bytes;
    return 0;
}

int ph_code_reserve(pageheap_exec *exec, uintptr_t near, uint64_t reach_bytes, uint64_t bytes)
{
    int error = -ENOMEM;
    for (; bytes >= PH_BLOCK_BYTES; bytes = bytes / 2 & ~(PH_BLOCK_BYTES - 1)) {
        error = reserve_both(exec, near, reach_bytes, bytes);
        if (error == 0)
            return 0;
    }
    return error;
}

void ph_code_lose_rw(pageheap_exec *exec, uintptr_t rx)
{
    size_t block = (rx - exec->rx_base) >> PH_BLOCK_LOG2;
    exec->lost[block / 64] |= UINT64_C(1) << (block % 64);
    exec->lost_blocks++;
}

static void unmap_what_is_left(pageheap_exec *exec, uintptr_t rw_base)
{
    for (size_t block = 0; block < exec->reserved_bytes >> PH_BLOCK_LOG2; block++) {
        if (((exec->lost[block / 64] >> (block % 64)) & 1) == 0)
            (void)ph_os.unmap((void *)(rw_base + (block << PH_BLOCK_LOG2)), PH_BLOCK_BYTES);
    }
}

void ph_code_unreserve(pageheap_exec *exec)
{
    uintptr_t rw_base = exec->rx_base + exec->rw_delta;
    (void)ph_os.unmap((void *)exec->rx_base, exec->reserved_bytes);
    if (exec->lost_blocks != 0)
        unmap_what_is_left(exec, rw_base);
    else if (ph_code_backend(exec)->has_rw)
        (void)ph_os.unmap((void *)rw_base, exec->reserved_bytes);
}
