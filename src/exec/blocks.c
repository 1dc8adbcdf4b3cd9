/* SPDX-License-Identifier: MIT */
/* blocks.c -- the memory behind an executable heap's pages: mapped by the block, guarded by the page.
 *
 * A block gets its two views when its first page is handed out.  All its pages are guarded then: a jump there
 * faults, and they hold no memory.  A page that is handed out loses its guard and is filled with traps; one
 * whose memory is given back is guarded again, and a block whose memory is given back whole is unmapped.
 *
 * Guards by the page need a kernel that makes them without splitting the mapping and in shared memory (Linux
 * 6.15).  Without them a block is filled with traps whole, and goes back whole.
 */
#include "exec/code.h"

#include "block/runsearch.h"

bool ph_code_is_mapped(const pageheap_exec *exec, uintptr_t rx)
{
    size_t block = (rx - exec->rx_base) >> PH_BLOCK_LOG2;
    return (ph_load_acquire(&exec->mapped[block / 64]) >> (block % 64)) & 1; /* pairs with map_block */
}

static void set_mapped(pageheap_exec *exec, uintptr_t rx, bool is_mapped)
{
    size_t block = (rx - exec->rx_base) >> PH_BLOCK_LOG2;
    if (is_mapped)
        ph_fetch_or_acq_rel(&exec->mapped[block / 64], UINT64_C(1) << (block % 64)); /* with is_mapped */
    else
        ph_fetch_and_acq_rel(&exec->mapped[block / 64], ~(UINT64_C(1) << (block % 64)));
    ph_fetch_add_relaxed(&exec->mapped_blocks, is_mapped ? 1 : (uint64_t)0 - 1);
}

/* ---- the second view (map_turn held) ------------------------------------------------------ */

static void set_withheld(pageheap_exec *exec, uintptr_t rx, bool is_withheld)
{
    size_t block = (rx - exec->rx_base) >> PH_BLOCK_LOG2;
    uint64_t bit = UINT64_C(1) << (block % 64);
    uint64_t *word = &exec->withheld[block / 64];
    *word = is_withheld ? *word | bit : *word & ~bit;
}

static bool is_withheld(const pageheap_exec *exec, uintptr_t rx)
{
    size_t block = (rx - exec->rx_base) >> PH_BLOCK_LOG2;
    return ((exec->withheld[block / 64] >> (block % 64)) & 1) != 0;
}

bool ph_code_was_withheld(pageheap_exec *exec, uintptr_t rx)
{
    bool was_withheld = is_withheld(exec, rx);
    set_withheld(exec, rx, false);
    return was_withheld;
}

int ph_code_withhold_rw(pageheap_exec *exec, uintptr_t rx)
{
    int error = ph_code_note(exec, ph_code_os.keep_from_child(ph_code_rw(exec, rx), PH_BLOCK_BYTES));
    if (error == 0)
        set_withheld(exec, rx, true);
    return error;
}

int ph_code_hide_rw(pageheap_exec *exec, uintptr_t rx)
{
    if (exec->rw_delta == 0)
        return 0;
    int error = ph_code_note(exec, ph_code_os.hide(ph_code_rw(exec, rx), PH_BLOCK_BYTES));
    if (error == 0)
        set_withheld(exec, rx, false);
    return error;
}

static int advise(pageheap_exec *exec, uintptr_t rx, size_t bytes, enum ph_advice advice)
{
    return ph_code_note(exec, ph_os.advise((void *)rx, bytes, advice));
}

/* ---- mapping (map_turn held) -------------------------------------------------------------- */

/* No page of the block can be run into: they are guarded, or full of traps. */
static int secure_block(pageheap_exec *exec, uintptr_t rx)
{
    if (exec->uses_guards) {
        int refused = ph_os.advise((void *)rx, PH_BLOCK_BYTES, PH_ADVICE_GUARD);
        /* Locked memory takes none: mlockall. */
        if (refused != 0 && ph_os.unlock((void *)rx, PH_BLOCK_BYTES) == 0)
            refused = ph_os.advise((void *)rx, PH_BLOCK_BYTES, PH_ADVICE_GUARD);
        return ph_code_note(exec, refused);
    }
    int error = ph_code_fill(exec, rx, PH_BLOCK_BYTES);
    if (error == 0 && exec->wants_huge) {
        if (exec->rw_delta != 0)
            (void)ph_code_note(exec, ph_code_os.collapse(ph_code_rw(exec, rx), PH_BLOCK_BYTES));
        (void)ph_code_note(exec, ph_code_os.collapse((void *)rx, PH_BLOCK_BYTES));
    }
    return error;
}

static void unmap_views(pageheap_exec *exec, uintptr_t rx)
{
    (void)ph_code_note(exec, ph_code_os.hide((void *)rx, PH_BLOCK_BYTES));
    (void)ph_code_hide_rw(exec, rx);
}

/* The hook is told before anybody can put code there. */
static int map_block(pageheap_exec *exec, uintptr_t rx)
{
    if (ph_code_is_mapped(exec, rx))
        return 0;
    if (!ph_code_is_live(exec))
        return -EACCES; /* sealed this moment */
    /* What could not be hidden when the block was unmapped goes first: afterwards nobody would know of it. */
    int error = is_withheld(exec, rx) ? ph_code_hide_rw(exec, rx) : 0;
    if (error == 0)
        error = ph_code_backend(exec)->map(exec, rx, rx + exec->rw_delta);
    if (error != 0)
        return error;
    if (ph_code_backend(exec)->has_rw && exec->fork_policy != PAGEHEAP_EXEC_FORK_SHARE)
        error = ph_code_withhold_rw(exec, rx);
    if (error == 0)
        error = secure_block(exec, rx);
    if (error != 0) {
        unmap_views(exec, rx);
        return error;
    }
    if (exec->hooks.block_mapped != NULL)
        exec->hooks.block_mapped(exec->hooks.ctx, (const void *)rx, PH_BLOCK_BYTES);
    set_mapped(exec, rx, true);
    return 0;
}

static int map_blocks(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    int error = 0;
    uintptr_t first = rx & ~(uintptr_t)(PH_BLOCK_BYTES - 1);
    for (uintptr_t block = first; block < rx + bytes && error == 0; block += PH_BLOCK_BYTES) {
        if (ph_code_is_mapped(exec, block))
            continue;
        ph_mutex_lock(&exec->map_turn);
        error = map_block(exec, block);
        ph_mutex_unlock(&exec->map_turn);
    }
    return error;
}

/* ---- giving back -------------------------------------------------------------------------- */

int ph_code_discard_pages(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    if (!exec->uses_guards)
        return -ENOTSUP;
    int error = advise(exec, rx, bytes, PH_ADVICE_GUARD); /* of private memory, this gives it back */
    if (error == 0 && ph_code_backend(exec)->is_shared)
        (void)ph_code_note(exec, ph_code_os.remove(ph_code_rw(exec, rx), bytes));
    return error;
}

/* Once the rx view is gone the block counts as unmapped, whatever becomes of the other: the next map hides it
 * first. */
static int discard_block(pageheap_exec *exec, uintptr_t rx)
{
    ph_mutex_lock(&exec->map_turn);
    bool was_mapped = ph_code_is_mapped(exec, rx);
    int error = was_mapped ? ph_code_note(exec, ph_code_os.hide((void *)rx, PH_BLOCK_BYTES)) : 0;
    if (was_mapped && error == 0) {
        set_mapped(exec, rx, false);
        (void)ph_code_hide_rw(exec, rx);
        if (exec->hooks.block_unmapped != NULL)
            exec->hooks.block_unmapped(exec->hooks.ctx, (const void *)rx, PH_BLOCK_BYTES);
    }
    ph_mutex_unlock(&exec->map_turn);
    return error;
}

void ph_code_discard_end(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    uintptr_t run_end = rx + bytes; /* what lies behind it is guarded already, and cannot be filled */
    uintptr_t end = ph_align_up(run_end, PH_BLOCK_BYTES);
    while (rx < end) {
        size_t part = (size_t)ph_min_u64(end - rx, PH_BLOCK_BYTES - rx % PH_BLOCK_BYTES);
        int error = part == PH_BLOCK_BYTES ? discard_block(exec, rx) : ph_code_discard_pages(exec, rx, part);
        if (error != 0)
            (void)ph_code_fill(exec, rx, (size_t)ph_min_u64(part, run_end - rx));
        rx += part;
    }
}

/* ---- handing out -------------------------------------------------------------------------- */

/* The end of a long run's last block stays unused: clean, whatever it was before. */
static int discard_end(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    uintptr_t end = rx + bytes;
    size_t unused = (size_t)(ph_align_up(end, PH_BLOCK_BYTES) - end);
    return bytes <= PH_BLOCK_BYTES || unused == 0 ? 0 : ph_code_discard_pages(exec, end, unused);
}

/* A run that did not become ready is clean again, the whole of it; a long one's blocks are its own. */
static void make_clean(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    for (uintptr_t block = rx; bytes > PH_BLOCK_BYTES && block < rx + bytes; block += PH_BLOCK_BYTES)
        (void)discard_block(exec, block);
    if (bytes <= PH_BLOCK_BYTES && ph_code_is_mapped(exec, rx))
        (void)ph_code_discard_pages(exec, rx, bytes);
}

int ph_code_ready(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    int error = map_blocks(exec, rx, bytes);
    if (error == 0 && exec->uses_guards)
        error = discard_end(exec, rx, bytes);
    if (error == 0 && exec->uses_guards)
        error = advise(exec, rx, bytes, PH_ADVICE_UNGUARD);
    if (error == 0 && exec->uses_guards)
        error = ph_code_fill(exec, rx, bytes);
    if (error != 0)
        make_clean(exec, rx, bytes);
    return error;
}

/* ---- what the heap asks for --------------------------------------------------------------- */

/* Regions are cut from the one reservation, from below. */
static int code_reserve(pageheap *heap, size_t bytes, size_t align_bytes, void **ret_base)
{
    pageheap_exec *exec = heap->exec;
    if (align_bytes > PH_BLOCK_BYTES || bytes > exec->reserved_bytes - exec->carved_bytes)
        return -ENOMEM;
    *ret_base = (void *)(exec->rx_base + exec->carved_bytes);
    exec->carved_bytes += bytes;
    return 0;
}

static int code_use(pageheap *heap, void *base, size_t bytes)
{
    (void)heap;
    (void)base;
    (void)bytes;
    return 0; /* as soon as a page is handed out: ph_code_ready */
}

static int code_discard(pageheap *heap, void *base, size_t bytes)
{
    pageheap_exec *exec = heap->exec;
    if (!ph_code_is_live(exec))
        return -EACCES;
    if (bytes == PH_BLOCK_BYTES)
        return discard_block(exec, (uintptr_t)base);
    return ph_code_discard_pages(exec, (uintptr_t)base, bytes);
}

/* A region that came to nothing is cut again; at the end the whole reservation is unmapped. */
static int code_unmap(pageheap *heap, void *base, size_t bytes)
{
    pageheap_exec *exec = heap->exec;
    if ((uintptr_t)base + bytes == exec->rx_base + exec->carved_bytes)
        exec->carved_bytes -= bytes;
    return 0;
}

const ph_backing ph_backing_code = {
    .reserve = code_reserve,
    .use = code_use,
    .discard = code_discard,
    .unmap = code_unmap,
    .hold = ph_code_hold,
    .let_go = ph_code_let_go,
    .before_fork = ph_code_before_fork,
    .after_fork = ph_code_after_fork,
    .discard_blocks_max = 1,
    .mixed_is_clean = true,
    .asks_for_hot = true,
    .keeps_regions = true,
};

/* ---- after fork --------------------------------------------------------------------------- */

static void guard_block(pageheap_exec *exec, const ph_block *block)
{
    uint64_t unused[PH_BLOCK_WORDS], dirty[PH_BLOCK_WORDS];
    ph_block_unused_bits(block, unused);
    ph_block_dirty_bits(block, dirty);
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        unused[w] &= ~dirty[w];
    unsigned words = ph_block_words(block);
    unsigned pages = 0;
    int first = 0;
    while ((unsigned)first + pages < ph_block_pages(block) &&
           (first = ph_runsearch_first(unused, words, (unsigned)first + pages, 1)) >= 0) {
        pages = ph_runsearch_upward(unused, words, (unsigned)first);
        (void)advise(exec, ph_block_base(block) + ((uintptr_t)first << exec->page_log2),
                     (size_t)pages << exec->page_log2, PH_ADVICE_GUARD);
    }
}

static void guard_end(pageheap_exec *exec, const ph_block *block)
{
    size_t used_bytes = (size_t)ph_large_pages_in(block) << exec->page_log2;
    if (used_bytes < PH_BLOCK_BYTES)
        (void)advise(exec, ph_block_base(block) + used_bytes, PH_BLOCK_BYTES - used_bytes, PH_ADVICE_GUARD);
}

void ph_code_guard_again(pageheap_exec *exec)
{
    for (uintptr_t at = 0; exec->uses_guards && at < exec->reserved_bytes; at += PH_BLOCK_BYTES) {
        const ph_block *block = ph_block_of(exec->rx_base + at);
        if (!ph_code_is_mapped(exec, exec->rx_base + at) || block == NULL)
            continue;
        unsigned kind = ph_load_relaxed(&block->kind);
        if (kind == PH_BLOCK_PAGES || kind == PH_BLOCK_EMPTY)
            guard_block(exec, block);
        else if (ph_block_is_long(kind))
            guard_end(exec, block);
    }
}
