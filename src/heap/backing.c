/* SPDX-License-Identifier: MIT */
/* backing.c -- plain memory: what stands behind the addresses of a heap that is not for code. */
#include "heap/heap.h"

/* At a multiple of its own size, so that runs with the largest alignments fit; for `align_bytes` alone, less
 * would do. */
static int plain_reserve(pageheap *heap, size_t bytes, size_t align_bytes, void **ret_base)
{
    uint64_t wished = ph_max_u64(align_bytes, bytes);
    if (ph_is_power_of_two(bytes) && ph_heap_note(heap, ph_os_reserve_aligned(bytes, wished, ret_base)) == 0)
        return 0;
    return ph_heap_note(heap, ph_os_reserve_aligned(bytes, align_bytes, ret_base));
}

static int plain_use(pageheap *heap, void *base, size_t bytes)
{
    return ph_heap_note(heap, ph_os.use(base, bytes));
}

static int plain_discard(pageheap *heap, void *base, size_t bytes)
{
    return ph_heap_note(heap, ph_os.advise(base, bytes, PH_ADVICE_DISCARD));
}

static int plain_unmap(pageheap *heap, void *base, size_t bytes)
{
    return ph_heap_note(heap, ph_os.unmap(base, bytes));
}

/* Private memory: the kernel does what is needed. */
static bool plain_hold(pageheap *heap, bool waits)
{
    (void)heap;
    (void)waits;
    return true;
}

static void plain_let_go(pageheap *heap)
{
    (void)heap;
}

static void plain_before_fork(pageheap *heap)
{
    (void)heap;
}

static void plain_after_fork(pageheap *heap, bool is_child)
{
    (void)heap;
    (void)is_child;
}

const ph_backing ph_backing_plain = {
    .reserve = plain_reserve,
    .use = plain_use,
    .discard = plain_discard,
    .unmap = plain_unmap,
    .hold = plain_hold,
    .let_go = plain_let_go,
    .before_fork = plain_before_fork,
    .after_fork = plain_after_fork,
};
