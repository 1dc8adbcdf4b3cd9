/* SPDX-License-Identifier: MIT */
/* exec.c -- executable heaps are made, sealed, collapsed and destroyed. */
#include <errno.h>

#include "exec/pieces.h"
#include "exec/probe.h"
#include "map/meta.h"

#define DECAY_MS_DEFAULT      700
#define GRANULE_BYTES_DEFAULT 64

#if defined(__aarch64__)
#define REACH_BYTES_DEFAULT   (UINT64_C(128) << 20)
#define RESERVE_BYTES_DEFAULT (UINT64_C(64) << 20)
#else
#define REACH_BYTES_DEFAULT   (UINT64_C(2) << 30)
#define RESERVE_BYTES_DEFAULT (UINT64_C(1) << 30)
#endif

/* ---- create ------------------------------------------------------------------------------- */

static int choose_backend(pageheap_exec *exec, const pageheap_exec_options *options)
{
    bool is_shared;
    exec->is_best = options->backend == PAGEHEAP_EXEC_BEST;
    exec->backend = exec->is_best ? ph_code_best_backend() : options->backend;
    if (exec->backend == PAGEHEAP_EXEC_BEST)
        return ph_code_backend_error(PAGEHEAP_EXEC_MEMFD);
    is_shared = ph_code_backend(exec)->is_shared;
    if (options->fork_policy == PAGEHEAP_EXEC_FORK_SHARE && !is_shared)
        return -EINVAL;
    return ph_code_backend_error(exec->backend);
}

static void apply_options(pageheap_exec *exec, const pageheap_exec_options *options)
{
    uint32_t granule = options->granule_bytes != 0 ? options->granule_bytes : GRANULE_BYTES_DEFAULT;
    exec->page_log2 = ph_os_facts_now.page_log2;
    exec->granule_log2 = ph_lowest_bit(granule);
    if (exec->granule_log2 + PH_SLAB_GRANULES_LOG2 < exec->page_log2)
        exec->granule_log2 = exec->page_log2 - PH_SLAB_GRANULES_LOG2; /* a slab is at least a page */
    exec->slab_log2 = exec->granule_log2 + PH_SLAB_GRANULES_LOG2;
    exec->granule_mask = (1u << exec->granule_log2) - 1;
    exec->piece_bytes_max = (1u << exec->page_log2) - (1u << exec->granule_log2);
    exec->fork_policy = options->fork_policy;
    bool is_written_there = ph_code_backend(exec)->has_rw || exec->backend == PAGEHEAP_EXEC_RWX;
    exec->rw_mask = is_written_there ? UINTPTR_MAX : 0;
    exec->fills = (options->flags & PAGEHEAP_EXEC_NO_FILL) == 0;
    exec->wants_huge = (options->flags & PAGEHEAP_EXEC_HUGE) != 0;
    exec->uses_guards = !exec->wants_huge && ph_code_backend_has_guards(exec->backend);
    if (options->hooks != NULL)
        exec->hooks = *options->hooks;
}

static int reserve(pageheap_exec *exec, const pageheap_exec_options *options)
{
    uint64_t bytes = options->reserve_bytes != 0 ? options->reserve_bytes : RESERVE_BYTES_DEFAULT;
    uint64_t reach = options->reach_bytes != 0 ? options->reach_bytes : REACH_BYTES_DEFAULT;
    uintptr_t near = options->near != NULL ? (uintptr_t)options->near : ph_code_os_entry();
    if (options->flags & PAGEHEAP_EXEC_ANYWHERE)
        near = 0;
    return ph_code_reserve(exec, near, reach, bytes);
}

static size_t words_for(uint64_t bits)
{
    return (size_t)ph_div_ceil(bits, 64) * sizeof(uint64_t);
}

/* One mapping: what is never touched costs nothing. */
static int make_tables(pageheap_exec *exec)
{
    uint64_t pages = exec->reserved_bytes >> exec->page_log2;
    size_t slabs_bytes = (size_t)(exec->reserved_bytes >> exec->slab_log2) * sizeof exec->slabs[0];
    size_t page_bits = words_for(pages);
    size_t block_bits = words_for(exec->reserved_bytes >> PH_BLOCK_LOG2);
    size_t writers_bytes = exec->backend == PAGEHEAP_EXEC_FLIP ? (size_t)pages * sizeof exec->writers[0] : 0;
    size_t bytes = slabs_bytes + 2 * page_bits + 3 * block_bits + writers_bytes;
    exec->tables_bytes = ph_align_up(bytes, ph_os_facts_now.page_bytes);
    int error = ph_os.map(exec->tables_bytes, &exec->tables);
    if (error != 0)
        return error;
    char *next = exec->tables;
    exec->slabs = (void *)next;
    exec->written = (void *)(next += slabs_bytes);
    exec->executed = (void *)(next += page_bits);
    exec->mapped = (void *)(next += page_bits);
    exec->withheld = (void *)(next += block_bits);
    exec->lost = (void *)(next += block_bits);
    exec->writers = (void *)(next + block_bits);
    return 0;
}

static int make_heap(pageheap_exec *exec, const pageheap_exec_options *options)
{
    int error;
    pageheap_options plain = PAGEHEAP_OPTIONS_INIT;
    plain.flags = options->flags & PAGEHEAP_FATAL_MISUSE;
    plain.decay_ms = options->decay_ms != 0 ? options->decay_ms : DECAY_MS_DEFAULT;
    plain.limit_bytes = options->limit_bytes;
    plain.reserve_bytes = ph_min_u64(exec->reserved_bytes, PH_REGION_BYTES_MAX);
    exec->heap = ph_heap_create(&plain, &ph_backing_code, exec, &error);
    return exec->heap != NULL ? 0 : error;
}

static int build(pageheap_exec *exec, const pageheap_exec_options *options)
{
    int error = choose_backend(exec, options);
    if (error != 0)
        return error;
    apply_options(exec, options);
    if (exec->backend == PAGEHEAP_EXEC_PRIVATE)
        error = ph_code_open_memory(exec);
    if (error != 0)
        return error;
    error = reserve(exec, options);
    if (error != 0)
        goto undo_file;
    error = make_tables(exec);
    if (error != 0)
        goto undo_reservation;
    error = make_heap(exec, options);
    if (error != 0)
        goto undo_tables;
    return 0;

undo_tables:
    (void)ph_os.unmap(exec->tables, exec->tables_bytes);
undo_reservation:
    ph_code_unreserve(exec);
undo_file:
    if (exec->memory_file >= 0)
        (void)ph_code_os.file_close(exec->memory_file);
    return error;
}

pageheap_exec *ph_code_create(const pageheap_exec_options *options, int *ret_error)
{
    *ret_error = ph_code_setup();
    if (*ret_error != 0)
        return NULL;
    pageheap_exec *exec = ph_meta_alloc(sizeof *exec);
    if (exec == NULL) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    exec->memory_file = -1;
    *ret_error = build(exec, options);
    if (*ret_error != 0) {
        ph_meta_free(exec, sizeof *exec);
        return NULL;
    }
    ph_store_relaxed(&exec->state, PH_CODE_LIVE);
    return exec;
}

/* ---- destroy ------------------------------------------------------------------------------ */

static void tell_unmapped(pageheap_exec *exec)
{
    uintptr_t end = exec->rx_base + exec->reserved_bytes;
    for (uintptr_t rx = exec->rx_base; rx < end && exec->hooks.block_unmapped != NULL; rx += PH_BLOCK_BYTES) {
        if (ph_code_is_mapped(exec, rx))
            exec->hooks.block_unmapped(exec->hooks.ctx, (const void *)rx, PH_BLOCK_BYTES);
    }
}

void ph_code_destroy(pageheap_exec *exec)
{
    ph_store_relaxed(&exec->state, PH_CODE_DEAD);
    tell_unmapped(exec);
    ph_pieces_end(exec);
    (void)ph_heap_destroy(exec->heap);
    ph_code_unreserve(exec);
    (void)ph_os.unmap(exec->tables, exec->tables_bytes);
    if (exec->memory_file >= 0)
        (void)ph_code_os.file_close(exec->memory_file);
    ph_meta_free(exec, sizeof *exec);
}

/* ---- seal, collapse ----------------------------------------------------------------------- */

int ph_code_seal(pageheap_exec *exec)
{
    int result = 0;
    uint32_t live = PH_CODE_LIVE;
    bool is_writable_there = exec->backend == PAGEHEAP_EXEC_RWX || exec->backend == PAGEHEAP_EXEC_FLIP;
    /* One thread does it; sequentially consistent, as are the steps of begin_inside. */
    if (!atomic_compare_exchange_strong(&exec->state, &live, PH_CODE_SEALED))
        return -EACCES;
    for (unsigned round = 0; atomic_load(&exec->writers_inside) != 0; round++)
        ph_wait_round(round);
    ph_mutex_lock(&exec->map_turn);
    for (uintptr_t at = 0; at < exec->reserved_bytes; at += PH_BLOCK_BYTES) {
        uintptr_t rx = exec->rx_base + at;
        if (!ph_code_is_mapped(exec, rx))
            continue;
        if (ph_code_hide_rw(exec, rx) != 0)
            result = -ENOMEM;
        if (is_writable_there &&
            ph_code_note(exec, ph_code_os.protect((void *)rx, PH_BLOCK_BYTES, PH_ACCESS_RX)) != 0)
            result = -ENOMEM;
        (void)ph_code_os.seal((void *)rx, PH_BLOCK_BYTES); /* before Linux 6.10 there is no such call */
    }
    ph_mutex_unlock(&exec->map_turn);
    return result;
}

static bool is_full(const pageheap_exec *exec, uintptr_t rx)
{
    const ph_block *block = ph_block_of(rx);
    uint64_t unused[PH_BLOCK_WORDS], any = 0;
    if (!ph_code_is_mapped(exec, rx) || block == NULL)
        return false;
    unsigned kind = ph_load_relaxed(&block->kind);
    if (ph_block_is_long(kind))
        return ph_large_pages_in(block) == ph_block_pages(block);
    ph_block_unused_bits(block, unused);
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        any |= unused[w];
    return kind == PH_BLOCK_PAGES && any == 0;
}

size_t ph_code_collapse(pageheap_exec *exec)
{
    size_t blocks = 0;
    for (uintptr_t at = 0; at < exec->reserved_bytes; at += PH_BLOCK_BYTES) {
        uintptr_t rx = exec->rx_base + at;
        if (!is_full(exec, rx))
            continue;
        void *rw = ph_code_rw(exec, rx);
        bool is_done = rw == NULL || ph_code_os.collapse(rw, PH_BLOCK_BYTES) == 0;
        blocks += is_done && ph_code_os.collapse((void *)rx, PH_BLOCK_BYTES) == 0;
    }
    return blocks;
}
