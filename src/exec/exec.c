/* SPDX-License-Identifier: MIT */
/* exec.c -- executable heaps are made, looked at, sealed and destroyed. */
#include <errno.h>

#include "exec/pieces.h"
#include "exec/probe.h"
#include "heap/inspect.h"
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

static int choose_backend(pageheap_exec *code, const pageheap_exec_options *options)
{
    bool is_shared;
    code->is_best = options->backend == PAGEHEAP_EXEC_BEST;
    code->backend = code->is_best ? ph_code_best_backend() : options->backend;
    if (code->backend == PAGEHEAP_EXEC_BEST)
        return ph_code_backend_error(PAGEHEAP_EXEC_MEMFD);
    is_shared = ph_code_backend(code)->is_shared;
    if (options->fork_policy == PAGEHEAP_EXEC_FORK_SHARE && !is_shared)
        return -EINVAL;
    return ph_code_backend_error(code->backend);
}

static void apply_options(pageheap_exec *code, const pageheap_exec_options *options)
{
    uint32_t granule = options->granule_bytes != 0 ? options->granule_bytes : GRANULE_BYTES_DEFAULT;
    code->page_log2 = ph_os_facts_now.page_log2;
    code->granule_log2 = ph_lowest_bit(granule);
    if (code->granule_log2 + PH_SLAB_GRANULES_LOG2 < code->page_log2)
        code->granule_log2 = code->page_log2 - PH_SLAB_GRANULES_LOG2; /* a slab is at least a page */
    code->slab_log2 = code->granule_log2 + PH_SLAB_GRANULES_LOG2;
    code->granule_mask = (1u << code->granule_log2) - 1;
    code->piece_bytes_max = (1u << code->page_log2) - (1u << code->granule_log2);
    code->fork_policy = options->fork_policy;
    bool is_written_there = ph_code_backend(code)->has_rw || code->backend == PAGEHEAP_EXEC_RWX;
    code->rw_mask = is_written_there ? UINTPTR_MAX : 0;
    code->fills = (options->flags & PAGEHEAP_EXEC_NO_FILL) == 0;
    code->wants_huge = (options->flags & PAGEHEAP_EXEC_HUGE) != 0;
    code->uses_guards = !code->wants_huge && ph_code_backend_has_guards(code->backend);
    if (options->hooks != NULL)
        code->hooks = *options->hooks;
}

static int reserve(pageheap_exec *code, const pageheap_exec_options *options)
{
    uint64_t bytes = options->reserve_bytes != 0 ? options->reserve_bytes : RESERVE_BYTES_DEFAULT;
    uint64_t reach = options->reach_bytes != 0 ? options->reach_bytes : REACH_BYTES_DEFAULT;
    uintptr_t near = options->near != NULL ? (uintptr_t)options->near : ph_code_os_entry();
    if (options->flags & PAGEHEAP_EXEC_ANYWHERE)
        near = 0;
    return ph_code_reserve(code, near, reach, bytes);
}

static size_t words_for(uint64_t bits)
{
    return (size_t)ph_div_ceil(bits, 64) * sizeof(uint64_t);
}

/* One mapping: what is never touched costs nothing. */
static int make_tables(pageheap_exec *code)
{
    uint64_t pages = code->reserved_bytes >> code->page_log2;
    size_t slabs_bytes = (size_t)(code->reserved_bytes >> code->slab_log2) * sizeof code->slabs[0];
    size_t page_bits = words_for(pages);
    size_t block_bits = words_for(code->reserved_bytes >> PH_BLOCK_LOG2);
    size_t writers_bytes = code->backend == PAGEHEAP_EXEC_FLIP ? (size_t)pages * sizeof code->writers[0] : 0;
    size_t bytes = slabs_bytes + 2 * page_bits + block_bits + writers_bytes;
    code->tables_bytes = ph_align_up(bytes, ph_os_facts_now.page_bytes);
    int error = ph_os.map(code->tables_bytes, &code->tables);
    if (error != 0)
        return error;
    char *next = code->tables;
    code->slabs = (void *)next;
    code->written = (void *)(next += slabs_bytes);
    code->executed = (void *)(next += page_bits);
    code->mapped = (void *)(next += page_bits);
    code->writers = (void *)(next + block_bits);
    return 0;
}

static int make_heap(pageheap_exec *code, const pageheap_exec_options *options)
{
    int error;
    pageheap_options plain = PAGEHEAP_OPTIONS_INIT;
    plain.flags = options->flags & PAGEHEAP_FATAL_MISUSE;
    plain.decay_ms = options->decay_ms != 0 ? options->decay_ms : DECAY_MS_DEFAULT;
    plain.limit_bytes = options->limit_bytes;
    plain.reserve_bytes = ph_min_u64(code->reserved_bytes, PH_REGION_BYTES_MAX);
    code->heap = ph_heap_create(&plain, &ph_backing_code, code, &error);
    return code->heap != NULL ? 0 : error;
}

static int build(pageheap_exec *code, const pageheap_exec_options *options)
{
    int error = choose_backend(code, options);
    if (error != 0)
        return error;
    apply_options(code, options);
    if (code->backend == PAGEHEAP_EXEC_PRIVATE)
        error = ph_code_os.memory_open(&code->memory_file);
    if (error != 0)
        return error;
    error = reserve(code, options);
    if (error != 0)
        goto undo_file;
    error = make_tables(code);
    if (error != 0)
        goto undo_reservation;
    error = make_heap(code, options);
    if (error != 0)
        goto undo_tables;
    return 0;

undo_tables:
    (void)ph_os.unmap(code->tables, code->tables_bytes);
undo_reservation:
    ph_code_unreserve(code);
undo_file:
    if (code->memory_file >= 0)
        (void)ph_code_os.file_close(code->memory_file);
    return error;
}

pageheap_exec *ph_code_create(const pageheap_exec_options *options, int *ret_error)
{
    *ret_error = ph_code_setup();
    if (*ret_error != 0)
        return NULL;
    pageheap_exec *code = ph_meta_alloc(sizeof *code);
    if (code == NULL) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    code->memory_file = -1;
    *ret_error = build(code, options);
    if (*ret_error != 0) {
        ph_meta_free(code, sizeof *code);
        return NULL;
    }
    ph_store_relaxed(&code->state, PH_CODE_LIVE);
    return code;
}

/* ---- destroy ------------------------------------------------------------------------------ */

static void tell_unmapped(pageheap_exec *code)
{
    uintptr_t end = code->rx_base + code->reserved_bytes;
    for (uintptr_t rx = code->rx_base; rx < end && code->hooks.block_unmapped != NULL; rx += PH_BLOCK_BYTES) {
        if (ph_code_is_mapped(code, rx))
            code->hooks.block_unmapped(code->hooks.ctx, (const void *)rx, PH_BLOCK_BYTES);
    }
}

void ph_code_destroy(pageheap_exec *code)
{
    ph_store_relaxed(&code->state, PH_CODE_DEAD);
    tell_unmapped(code);
    ph_pieces_end(code);
    ph_heap_destroy(code->heap);
    (void)ph_os.unmap(code->tables, code->tables_bytes);
    ph_code_unreserve(code);
    if (code->memory_file >= 0)
        (void)ph_code_os.file_close(code->memory_file);
    ph_meta_free(code, sizeof *code);
}

/* ---- seal, collapse ----------------------------------------------------------------------- */

int ph_code_seal(pageheap_exec *code)
{
    int result = 0;
    uint32_t live = PH_CODE_LIVE;
    bool is_writable_there = code->backend == PAGEHEAP_EXEC_RWX || code->backend == PAGEHEAP_EXEC_FLIP;
    /* One thread does it; sequentially consistent, as are the steps of begin_inside. */
    if (!atomic_compare_exchange_strong(&code->state, &live, PH_CODE_SEALED))
        return -EACCES;
    for (unsigned round = 0; atomic_load(&code->writers_inside) != 0; round++)
        ph_wait_round(round);
    ph_mutex_lock(&code->map_turn);
    for (uintptr_t at = 0; at < code->reserved_bytes; at += PH_BLOCK_BYTES) {
        uintptr_t rx = code->rx_base + at;
        if (!ph_code_is_mapped(code, rx))
            continue;
        if (code->rw_delta != 0 &&
            ph_code_note(code, ph_code_os.hide((void *)(rx + code->rw_delta), PH_BLOCK_BYTES)) != 0)
            result = -ENOMEM;
        if (is_writable_there &&
            ph_code_note(code, ph_code_os.protect((void *)rx, PH_BLOCK_BYTES, PH_ACCESS_RX)) != 0)
            result = -ENOMEM;
        (void)ph_code_os.seal((void *)rx, PH_BLOCK_BYTES); /* before Linux 6.10 there is no such call */
    }
    ph_mutex_unlock(&code->map_turn);
    return result;
}

static bool is_full(const pageheap_exec *code, uintptr_t rx)
{
    const ph_block *block = ph_block_of(rx);
    uint64_t unused[PH_BLOCK_WORDS], any = 0;
    if (!ph_code_is_mapped(code, rx) || block == NULL)
        return false;
    unsigned kind = ph_load_relaxed(&block->kind);
    if (kind == PH_BLOCK_LARGE || kind == PH_BLOCK_BODY)
        return ph_large_pages_in(block) == ph_block_pages(block);
    ph_block_unused_bits(block, unused);
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++)
        any |= unused[w];
    return kind == PH_BLOCK_PAGES && any == 0;
}

size_t ph_code_collapse(pageheap_exec *code)
{
    size_t blocks = 0;
    for (uintptr_t at = 0; at < code->reserved_bytes; at += PH_BLOCK_BYTES) {
        uintptr_t rx = code->rx_base + at;
        if (!is_full(code, rx))
            continue;
        void *rw = ph_code_rw(code, rx);
        bool is_done = rw == NULL || ph_code_os.collapse(rw, PH_BLOCK_BYTES) == 0;
        blocks += is_done && ph_code_os.collapse((void *)rx, PH_BLOCK_BYTES) == 0;
    }
    return blocks;
}

/* ---- find, each --------------------------------------------------------------------------- */

static void describe(const pageheap_exec *code, uintptr_t rx, size_t bytes, pageheap_exec_span *ret_span)
{
    *ret_span = (pageheap_exec_span){
        .rx = (void *)rx,
        .rw = ph_code_is_writable(code) ? ph_code_rw(code, rx) : NULL,
        .bytes = bytes,
        .flags = ph_code_was_executed(code, rx, bytes) ? 0 : PAGEHEAP_EXEC_FRESH,
    };
}

int ph_code_find(const pageheap_exec *code, uintptr_t rx, pageheap_exec_span *ret_span)
{
    pageheap_run run;
    if (!ph_code_holds(code, rx))
        return PAGEHEAP_ENOTOURS;
    const ph_slab *slab = ph_slab_at(code, rx);
    if (slab != NULL) {
        uintptr_t start;
        unsigned granules;
        if (!ph_piece_find(code, slab, rx, &start, &granules))
            return PAGEHEAP_ENOTOURS;
        describe(code, start, (size_t)granules << code->granule_log2, ret_span);
        return 0;
    }
    int error = ph_run_find_plain(rx, &run);
    if (error == 0)
        describe(code, (uintptr_t)run.start, run.pages << code->page_log2, ret_span);
    return error;
}

typedef struct walk {
    pageheap_exec *code;
    pageheap_exec_span_fn *fn;
    void *ctx;
} walk;

static int walk_slab(const walk *walk, const ph_slab *slab)
{
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++) {
        uint64_t starts = ph_load_relaxed(&slab->tags[w].mark);
        for (; starts != 0; starts &= starts - 1) {
            pageheap_exec_span span;
            uintptr_t granule = 64 * w + ph_lowest_bit(starts);
            if (ph_code_find(walk->code, slab->rx + (granule << walk->code->granule_log2), &span) != 0)
                continue;
            int answer = walk->fn(walk->ctx, &span);
            if (answer != 0)
                return answer;
        }
    }
    return 0;
}

static int walk_run(void *ctx, const pageheap_run *run)
{
    const walk *walk = ctx;
    pageheap_exec_span span;
    const ph_slab *slab = ph_slab_at(walk->code, (uintptr_t)run->start);
    if (slab != NULL)
        return walk_slab(walk, slab);
    return ph_code_find(walk->code, (uintptr_t)run->start, &span) == 0 ? walk->fn(walk->ctx, &span) : 0;
}

int ph_code_each(pageheap_exec *code, pageheap_exec_span_fn *fn, void *ctx)
{
    walk walk = { code, fn, ctx };
    return ph_heap_each_run(code->heap, walk_run, &walk);
}
