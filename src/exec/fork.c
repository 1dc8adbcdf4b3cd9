/* SPDX-License-Identifier: MIT */
/* fork.c -- what a child of fork has of an executable heap.
 *
 * Private memory needs nothing: the kernel copies what either side writes.  Of a pair the child has the rx
 * view and, under SHARE alone, the other.
 *
 * PRIVATE: before the fork, with every lock of the heap held, all blocks are copied to pairs elsewhere.  The
 * child puts these in the place of the parent's; both unmap them where they were made.  So the child never
 * waits for the parent, nor the parent for the child.
 */
#include "exec/code.h"

static bool wants_copy(const pageheap_exec *exec)
{
    return exec->fork_policy == PAGEHEAP_EXEC_FORK_PRIVATE && ph_code_backend(exec)->is_shared &&
           ph_code_is_live(exec);
}

/* The next mapped block at or after `rx`; the end if there is none. */
static uintptr_t next_mapped(const pageheap_exec *exec, uintptr_t rx)
{
    uintptr_t end = exec->rx_base + exec->reserved_bytes;
    while (rx < end && !ph_code_is_mapped(exec, rx))
        rx += PH_BLOCK_BYTES;
    return rx;
}

/* The pages that hold memory, and no others: to read one that does not would give it some.  Without guards
 * all do, since all are full of traps from the moment that their block is mapped. */
static void copy_block(const pageheap_exec *exec, uintptr_t rx, uintptr_t to)
{
    const ph_block *block = ph_block_of_ours(rx);
    unsigned kind = ph_load_relaxed(&block->kind);
    bool is_long = kind == PH_BLOCK_LARGE || kind == PH_BLOCK_BODY;
    size_t page_bytes = (size_t)1 << exec->page_log2;
    const char *from = ph_code_rw(exec, rx);
    unsigned pages = is_long && exec->uses_guards ? ph_large_pages_in(block) : ph_block_pages(block);
    for (unsigned page = 0; page < pages; page++) {
        if (is_long || !exec->uses_guards || !ph_block_is_clean(block, page))
            ph_os_copy((char *)to + page * page_bytes, from + page * page_bytes, page_bytes);
    }
}

/* Copies of all mapped blocks, one after the other in each of two reservations. */
static void make_copies(pageheap_exec *exec)
{
    size_t bytes = (size_t)ph_load_relaxed(&exec->mapped_blocks) * PH_BLOCK_BYTES;
    void *rx, *rw;
    exec->copy.is_whole = false;
    exec->copy.bytes = 0;
    if (bytes == 0) {
        exec->copy.is_whole = true;
        return;
    }
    if (ph_code_note(exec, ph_os_reserve_aligned(bytes, PH_BLOCK_BYTES, &rx)) != 0)
        return;
    if (ph_code_note(exec, ph_os_reserve_aligned(bytes, PH_BLOCK_BYTES, &rw)) != 0) {
        (void)ph_os.unmap(rx, bytes);
        return;
    }
    exec->copy.rx = (uintptr_t)rx;
    exec->copy.rw = (uintptr_t)rw;
    exec->copy.bytes = bytes;
    uintptr_t from = next_mapped(exec, exec->rx_base);
    for (size_t at = 0; at < bytes; at += PH_BLOCK_BYTES) {
        if (ph_code_backend(exec)->map(exec, exec->copy.rx + at, exec->copy.rw + at) != 0)
            return;
        copy_block(exec, from, exec->copy.rw + at);
        from = next_mapped(exec, from + PH_BLOCK_BYTES);
    }
    exec->copy.is_whole = true;
}

static void drop_copies(pageheap_exec *exec)
{
    if (exec->copy.bytes == 0)
        return;
    (void)ph_os.unmap((void *)exec->copy.rx, exec->copy.bytes);
    (void)ph_os.unmap((void *)exec->copy.rw, exec->copy.bytes);
    exec->copy.bytes = 0;
}

/* A block's rw view was kept from the child, be it one that the system would not hide when the block was
 * unmapped: nothing else may come to lie there.  Something may lie there already: other libraries' handlers
 * of fork have run before this one, and may have begun threads. */
static void reserve_withheld(pageheap_exec *exec)
{
    uintptr_t end = exec->rx_base + exec->reserved_bytes;
    for (uintptr_t rx = exec->rx_base; rx < end; rx += PH_BLOCK_BYTES) {
        if (ph_code_was_withheld(exec, rx) &&
            ph_code_note(exec, ph_code_os.reserve_at(ph_code_rw(exec, rx), PH_BLOCK_BYTES)) != 0)
            ph_code_lose_rw(exec, rx);
    }
}

/* In the child: its own pairs take the place of the parent's.  False if one could not. */
static bool adopt_copies(pageheap_exec *exec)
{
    uintptr_t rx = next_mapped(exec, exec->rx_base);
    bool is_done = exec->copy.is_whole && exec->lost_blocks == 0;
    for (size_t at = 0; at < exec->copy.bytes && is_done; at += PH_BLOCK_BYTES) {
        void *own_rx = (void *)(exec->copy.rx + at), *own_rw = (void *)(exec->copy.rw + at);
        is_done = ph_code_os.duplicate(own_rx, (void *)rx, PH_BLOCK_BYTES) == 0 &&
                  ph_code_os.duplicate(own_rw, ph_code_rw(exec, rx), PH_BLOCK_BYTES) == 0 &&
                  ph_code_withhold_rw(exec, rx) == 0;
        rx = next_mapped(exec, rx + PH_BLOCK_BYTES);
    }
    return is_done;
}

/* Who was writing is no more, and neither is what the forking thread had begun. */
static void close_writers(pageheap_exec *exec)
{
    size_t pages = (size_t)(exec->reserved_bytes >> exec->page_log2);
    size_t block_pages = (size_t)1 << (PH_BLOCK_LOG2 - exec->page_log2);
    for (size_t page = 0; page < pages; page++) {
        uintptr_t rx = exec->rx_base + ((uintptr_t)page << exec->page_log2);
        if (page % block_pages == 0 && !ph_code_is_mapped(exec, rx)) {
            page += block_pages - 1;
            continue;
        }
        if (exec->writers[page] == 0)
            continue;
        exec->writers[page] = 0;
        (void)ph_code_note(exec, ph_code_os.protect((void *)rx, (size_t)1 << exec->page_log2, PH_ACCESS_RX));
    }
}

static void settle_child(pageheap_exec *exec)
{
    ph_store_relaxed(&exec->writers_inside, 0); /* threads that are no more */
    if (exec->backend == PAGEHEAP_EXEC_FLIP)
        close_writers(exec);
    if (exec->memory_file >= 0) { /* it is the parent's memory that this file shows */
        (void)ph_code_os.file_close(exec->memory_file);
        exec->memory_file = -1;
        (void)ph_code_note(exec, ph_code_open_memory(exec));
    }
    if (!ph_code_backend(exec)->is_shared)
        return;
    reserve_withheld(exec); /* in any state: destroy unmaps what is not known to be lost */
    if (!ph_code_is_live(exec))
        return;
    if (exec->fork_policy == PAGEHEAP_EXEC_FORK_SHARE) {
        ph_store_relaxed(&exec->state, PH_CODE_BORROWED);
    } else {
        if (exec->fork_policy != PAGEHEAP_EXEC_FORK_PRIVATE || !adopt_copies(exec))
            ph_store_relaxed(&exec->state, PH_CODE_READ_ONLY);
        drop_copies(exec);
    }
    ph_code_guard_again(exec);
}

bool ph_code_hold(pageheap *heap, bool waits)
{
    pageheap_exec *exec = heap->exec;
    if (waits)
        ph_mutex_lock(&exec->map_turn);
    else if (!ph_mutex_try_lock(&exec->map_turn))
        return false;
    ph_mutex_lock(&exec->write_turn); /* held for a system call, and no hook */
    return true;
}

void ph_code_let_go(pageheap *heap)
{
    ph_mutex_unlock(&heap->exec->write_turn);
    ph_mutex_unlock(&heap->exec->map_turn);
}

void ph_code_before_fork(pageheap *heap)
{
    pageheap_exec *exec = heap->exec;
    if (wants_copy(exec))
        make_copies(exec);
}

void ph_code_after_fork(pageheap *heap, bool is_child)
{
    pageheap_exec *exec = heap->exec;
    if (is_child)
        settle_child(exec);
    else
        drop_copies(exec);
}
