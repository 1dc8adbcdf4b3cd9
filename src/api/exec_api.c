/* SPDX-License-Identifier: MIT */
/* exec_api.c -- the public calls on executable heaps: arguments are judged here, then one call down. */
#include <errno.h>
#include <string.h>

#include "api/exec_options.h"
#include "api/misuse.h"
#include "exec/fast.h"
#include "exec/probe.h"

/* ---- heaps -------------------------------------------------------------------------------- */

int pageheap_exec_probe(uint32_t flags, pageheap_exec_caps *ret_caps)
{
    pageheap_exec_caps caps;
    if ((flags & ~PAGEHEAP_EXEC_TRY_RWX) != 0 || ret_caps == NULL ||
        ret_caps->struct_bytes < sizeof caps.struct_bytes || ph_code_setup() != 0)
        return PAGEHEAP_EINVAL;
    caps.struct_bytes = ret_caps->struct_bytes;
    ph_code_probe((flags & PAGEHEAP_EXEC_TRY_RWX) != 0, &caps);
    memcpy(ret_caps, &caps, caps.struct_bytes < sizeof caps ? caps.struct_bytes : sizeof caps);
    return 0;
}

pageheap_exec *pageheap_exec_create(const pageheap_exec_options *options)
{
    pageheap_exec_options full;
    int saved = errno;
    int error = ph_exec_options_resolve(options, &full);
    pageheap_exec *exec = error == 0 ? ph_code_create(&full, &error) : NULL;
    errno = exec == NULL ? -error : saved;
    return exec;
}

int pageheap_exec_destroy(pageheap_exec *exec)
{
    if (exec == NULL || !ph_heap_is_pages_of(exec)) /* what is no heap is not looked into */
        return PAGEHEAP_EINVAL;
    if (ph_load_relaxed(&exec->state) == PH_CODE_SEALED)
        return PAGEHEAP_EBUSY;
    ph_code_destroy(exec);
    return 0;
}

int pageheap_exec_seal(pageheap_exec *exec)
{
    if (!ph_code_exists(exec))
        return PAGEHEAP_EINVAL;
    int error = ph_code_seal(exec);
    return error == 0 ? 0 : error == -EACCES ? PAGEHEAP_EACCES : PAGEHEAP_ENOMEM;
}

size_t pageheap_exec_trim(pageheap_exec *exec, size_t keep_bytes)
{
    if (!ph_code_is_live(exec))
        return 0;
    ph_pieces_trim(exec);
    return (size_t)(ph_heap_trim(exec->heap, keep_bytes >> exec->page_log2) << exec->page_log2);
}

size_t pageheap_exec_collapse(pageheap_exec *exec)
{
    return ph_code_is_live(exec) ? ph_code_collapse(exec) : 0;
}

int pageheap_exec_check(pageheap_exec *exec)
{
    if (!ph_code_exists(exec))
        return PAGEHEAP_EINVAL;
    const char *wrong = ph_pieces_check(exec);
    if (wrong == NULL)
        return ph_heap_check(exec->heap);
    static const char line[] = "pageheap: a slab's numbers do not hold: ";
    ph_os_complain(line, sizeof line - 1);
    ph_os_complain(wrong, strlen(wrong));
    ph_os_complain("\n", 1);
    return PAGEHEAP_EBADRUN;
}

/* ---- spans -------------------------------------------------------------------------------- */

/* bytes > 0 */
static inline size_t pages_for(const pageheap_exec *exec, size_t bytes)
{
    return ((bytes - 1) >> exec->page_log2) + 1;
}

static inline size_t granules_for(const pageheap_exec *exec, size_t bytes)
{
    return ((bytes - 1) >> exec->granule_log2) + 1;
}

/* What is rounded up to a page is one, so that a span's bytes tell what it is, too. */
static inline bool is_piece_size(const pageheap_exec *exec, size_t bytes)
{
    return bytes <= exec->piece_bytes_max;
}

static inline void describe(const pageheap_exec *exec, uintptr_t rx, size_t bytes, bool was_executed,
                            pageheap_exec_span *ret_span)
{
    PH_STORE_PAIR(&ret_span->rx, rx, (uintptr_t)ph_code_rw(exec, rx));
    ret_span->bytes = bytes;
    ret_span->flags = was_executed ? 0 : PAGEHEAP_EXEC_FRESH;
    ret_span->reserved = 0;
}

static void describe_piece(const pageheap_exec *exec, const ph_kept_piece *piece, size_t granules,
                           pageheap_exec_span *ret_span)
{
    bool was_executed = ph_bits_any(piece->slab->executed, ph_slab_granule(exec, piece->rx), granules);
    describe(exec, piece->rx, granules << exec->granule_log2, was_executed, ret_span);
}

static void describe_pages(const pageheap_exec *exec, uintptr_t rx, size_t pages,
                           pageheap_exec_span *ret_span)
{
    bool was_executed = ph_bits_any(exec->executed, ph_code_page(exec, rx), pages);
    describe(exec, rx, pages << exec->page_log2, was_executed, ret_span);
}

/* Why a heap that is not live will not do this. */
static int refusal(const pageheap_exec *exec)
{
    return ph_code_exists(exec) ? PAGEHEAP_EACCES : PAGEHEAP_EINVAL;
}

/* Why nothing was allocated; counted, unless the heap was sealed meanwhile. */
static int failure(pageheap_exec *exec, int code)
{
    if (code == PAGEHEAP_ENOMEM && !ph_code_is_live(exec))
        return refusal(exec);
    if (code == PAGEHEAP_ENOMEM || code == PAGEHEAP_ERANGE)
        ph_fetch_add_relaxed(&exec->heap->failed_allocs, 1);
    return code;
}

static int alloc_any(pageheap_exec *exec, size_t bytes, pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    ph_kept_piece piece;
    if (is_piece_size(exec, bytes)) {
        size_t granules = granules_for(exec, bytes);
        int code = ph_piece_alloc(exec, (unsigned)granules, &piece);
        if (code == 0)
            describe_piece(exec, &piece, granules, ret_span);
        return code;
    }
    size_t pages = pages_for(exec, bytes);
    int code = ph_code_alloc_pages(exec, pages, &rx);
    if (code == 0)
        describe_pages(exec, rx, pages, ret_span);
    return code;
}

/* Off the hot path, as calls at its end, so that it needs no stack frame. */
static PH_NOINLINE int alloc_slow(pageheap_exec *exec, size_t bytes, pageheap_exec_span *ret_span)
{
    if (!ph_code_is_live(exec))
        return refusal(exec);
    if (ret_span == NULL || bytes == 0)
        return PAGEHEAP_EINVAL;
    int code = alloc_any(exec, bytes, ret_span);
    return code == 0 ? 0 : failure(exec, code);
}

/* A kept piece that is not so simple to describe. */
static PH_NOINLINE int alloc_long_piece(pageheap_exec *exec, ph_kept_piece piece, size_t granules,
                                        pageheap_exec_span *ret_span)
{
    describe_piece(exec, &piece, granules, ret_span);
    return 0;
}

static PH_NOINLINE int alloc_piece(pageheap_exec *exec, size_t bytes, pageheap_exec_span *ret_span)
{
    ph_kept_piece piece;
    unsigned first;
    size_t granules = granules_for(exec, bytes);
    if (PH_UNLIKELY(!ph_piece_take_fast(exec, granules, &piece, &first)))
        return alloc_slow(exec, bytes, ret_span);
    if (PH_UNLIKELY(!ph_bits_in_word(first, granules)))
        return alloc_long_piece(exec, piece, granules, ret_span);
    bool was_executed = ph_bits_any_in_word(piece.slab->executed, first, granules);
    describe(exec, piece.rx, granules << exec->granule_log2, was_executed, ret_span);
    return 0;
}

/* A kept run that was never handed out or is not so simple to describe, and a tick perhaps. */
static PH_NOINLINE int alloc_odd_pages(pageheap_exec *exec, uintptr_t run, size_t pages, bool is_due,
                                       pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    if (is_due) {
        ph_heap_tick(exec->heap, ph_thread_last.front);
        ph_front_reheat(ph_thread_last.front, ph_run_address(run), pages);
    }
    int code = ph_code_finish(exec, run, pages, &rx);
    if (code != 0)
        return failure(exec, code);
    describe_pages(exec, rx, pages, ret_span);
    return 0;
}

PH_HOT int pageheap_exec_alloc(pageheap_exec *exec, size_t bytes, pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    bool is_due;
    if (PH_UNLIKELY(!ph_code_is_live(exec) || ret_span == NULL || bytes == 0))
        return alloc_slow(exec, bytes, ret_span);
    if (is_piece_size(exec, bytes))
        return alloc_piece(exec, bytes, ret_span);
    size_t pages = pages_for(exec, bytes);
    if (PH_UNLIKELY(!ph_code_take_fast(exec, pages, &rx, &is_due)))
        return alloc_slow(exec, bytes, ret_span);
    size_t first = ph_code_fast_page(exec, rx);
    if (PH_UNLIKELY(is_due || (rx & PH_RUN_CLEAN) != 0 || !ph_bits_in_word(first, pages)))
        return alloc_odd_pages(exec, rx, pages, is_due, ret_span);
    describe(exec, ph_run_address(rx), pages << PH_FAST_PAGE_LOG2,
             ph_bits_any_in_word(exec->executed, first, pages), ret_span);
    return 0;
}

int pageheap_exec_alloc_within(pageheap_exec *exec, size_t bytes, const void *lo, const void *hi,
                               pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    if (!ph_code_is_live(exec))
        return refusal(exec);
    if (ret_span == NULL || bytes == 0)
        return PAGEHEAP_EINVAL;
    size_t pages = pages_for(exec, bytes);
    int code = ph_code_alloc_within(exec, pages, (uintptr_t)lo, (uintptr_t)hi, &rx);
    if (code != 0)
        return failure(exec, code);
    describe_pages(exec, rx, pages, ret_span);
    return 0;
}

/* What a free or shrink can know before it looks at the span. */
static int refuse_early(const pageheap_exec *exec, const void *rx, size_t bytes)
{
    if (!ph_code_is_live(exec))
        return refusal(exec);
    if (bytes == 0)
        return PAGEHEAP_EINVAL;
    if (!ph_code_holds(exec, (uintptr_t)rx))
        return PAGEHEAP_ENOTOURS;
    return bytes > PH_WINDOW_BYTES ? PAGEHEAP_ERANGE : 0;
}

static int free_span(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    int code = refuse_early(exec, (void *)rx, bytes);
    if (code != 0)
        return code;
    ph_slab *slab = ph_slab_at(exec, rx);
    if (slab != NULL)
        return is_piece_size(exec, bytes) ? ph_piece_free(exec, slab, rx, granules_for(exec, bytes))
                                          : PAGEHEAP_EBADRUN;
    return ph_code_free_pages(exec, rx, pages_for(exec, bytes));
}

static PH_NOINLINE int free_slow(pageheap_exec *exec, void *rx, size_t bytes)
{
    if (rx == NULL)
        return 0;
    int code = free_span(exec, (uintptr_t)rx, bytes);
    return code == 0 || !ph_code_exists(exec) ? code
                                              : ph_judge_bytes(exec->heap, code, "exec_free", rx, bytes);
}

static PH_NOINLINE int free_piece(pageheap_exec *exec, ph_slab *slab, void *rx, size_t bytes)
{
    uintptr_t at = (uintptr_t)rx;
    bool is_possible = is_piece_size(exec, bytes) && (at & exec->granule_mask) == 0;
    if (PH_UNLIKELY(!is_possible || !ph_piece_free_fast(exec, slab, at, granules_for(exec, bytes))))
        return free_slow(exec, rx, bytes);
    return 0;
}

/* Not the hot run, perhaps. */
static PH_NOINLINE int free_pages(pageheap_exec *exec, void *rx, size_t bytes)
{
    if (PH_LIKELY(ph_code_free_fast(exec, (uintptr_t)rx, pages_for(exec, bytes))))
        return 0;
    return free_slow(exec, rx, bytes);
}

PH_HOT int pageheap_exec_free(pageheap_exec *exec, void *rx, size_t bytes)
{
    uintptr_t at = (uintptr_t)rx;
    if (PH_UNLIKELY(!ph_code_is_live(exec) || !ph_code_holds(exec, at) || bytes == 0 ||
                    exec->hooks.freed != NULL))
        return free_slow(exec, rx, bytes);
    ph_slab *slab = ph_slab_at(exec, at);
    if (slab != NULL)
        return free_piece(exec, slab, rx, bytes);
    if (PH_LIKELY(ph_code_free_hot(exec, at, pages_for(exec, bytes))))
        return 0;
    return free_pages(exec, rx, bytes);
}

int pageheap_exec_shrink(pageheap_exec *exec, void *rx, size_t bytes, size_t new_bytes)
{
    uintptr_t at = (uintptr_t)rx;
    int code = refuse_early(exec, rx, bytes);
    if (code == 0 && (new_bytes == 0 || new_bytes > bytes))
        return PAGEHEAP_EINVAL;
    if (code == 0) {
        ph_slab *slab = ph_slab_at(exec, at);
        if (slab == NULL)
            code = ph_code_shrink_pages(exec, at, pages_for(exec, bytes), pages_for(exec, new_bytes));
        else if (!is_piece_size(exec, bytes))
            code = PAGEHEAP_EBADRUN;
        else
            code = ph_piece_shrink(exec, slab, at, granules_for(exec, bytes), granules_for(exec, new_bytes));
    }
    return code == 0 || !ph_code_exists(exec) ? code
                                              : ph_judge_bytes(exec->heap, code, "exec_shrink", rx, bytes);
}

/* ---- writing and running ------------------------------------------------------------------ */

void *pageheap_exec_rw(pageheap_exec *exec, const void *rx)
{
    return ph_code_is_writable(exec) && ph_code_holds(exec, (uintptr_t)rx) ? ph_code_rw(exec, (uintptr_t)rx)
                                                                           : NULL;
}

/* 0 if all of [rx, rx + bytes) lies in one live span. */
static int find_all(const pageheap_exec *exec, const void *rx, size_t bytes)
{
    pageheap_exec_span span;
    if (bytes == 0)
        return PAGEHEAP_EINVAL;
    int code = ph_code_find(exec, (uintptr_t)rx, &span);
    if (code != 0)
        return code;
    size_t offset = (size_t)((const char *)rx - (const char *)span.rx);
    return bytes <= span.bytes - offset ? 0 : PAGEHEAP_EBADRUN;
}

/* The same, and the heap may be written: by its own process, or by a child that shares it. */
static int find_writable(const pageheap_exec *exec, const void *rx, size_t bytes)
{
    if (!ph_code_is_writable(exec))
        return refusal(exec);
    return find_all(exec, rx, bytes);
}

int pageheap_exec_write(pageheap_exec *exec, void *rx, const void *from, size_t bytes)
{
    int code = find_writable(exec, rx, bytes);
    if (code == 0 && from == NULL)
        code = PAGEHEAP_EINVAL;
    if (code != 0)
        return code;
    ph_code_note_written(exec, (uintptr_t)rx, bytes);
    if (ph_code_write(exec, (uintptr_t)rx, from, bytes) == 0)
        return 0;
    return ph_load_relaxed(&exec->state) == PH_CODE_SEALED ? PAGEHEAP_EACCES : PAGEHEAP_ENOMEM;
}

static void *fail(int error)
{
    errno = error;
    return NULL;
}

void *pageheap_exec_begin_write(pageheap_exec *exec, void *rx, size_t bytes)
{
    int code = find_writable(exec, rx, bytes);
    if (code != 0)
        return fail(code == PAGEHEAP_EACCES ? EACCES : EINVAL);
    if (exec->backend == PAGEHEAP_EXEC_PRIVATE)
        return fail(ENOTSUP);
    int error = ph_code_begin_write(exec, (uintptr_t)rx, bytes);
    if (error != 0)
        return fail(-error);
    ph_code_note_written(exec, (uintptr_t)rx, bytes);
    void *rw = ph_code_rw(exec, (uintptr_t)rx);
    return rw != NULL ? rw : rx;
}

int pageheap_exec_end_write(pageheap_exec *exec, void *rx, size_t bytes)
{
    int code = find_writable(exec, rx, bytes);
    if (code != 0)
        return code;
    int error = ph_code_end_write(exec, (uintptr_t)rx, bytes);
    return error == 0 ? 0 : error == -EINVAL ? PAGEHEAP_EINVAL : PAGEHEAP_ENOMEM;
}

int pageheap_exec_publish(pageheap_exec *exec, void *rx, size_t bytes)
{
    int code = find_writable(exec, rx, bytes);
    if (code != 0)
        return code;
    ph_code_publish(exec, (uintptr_t)rx, bytes);
    return 0;
}

int pageheap_exec_publish_many(pageheap_exec *exec, const pageheap_exec_span *spans, size_t count)
{
    if (!ph_code_is_writable(exec))
        return refusal(exec);
    if (spans == NULL && count != 0)
        return PAGEHEAP_EINVAL;
    for (size_t i = 0; i < count; i++) {
        int code = find_writable(exec, spans[i].rx, spans[i].bytes);
        if (code != 0)
            return code;
    }
    ph_code_publish_many(exec, spans, count);
    return 0;
}

int pageheap_exec_name(pageheap_exec *exec, const void *rx, size_t bytes, const char *name)
{
    if (!ph_code_exists(exec) || name == NULL)
        return PAGEHEAP_EINVAL;
    int code = find_all(exec, rx, bytes);
    if (code == 0 && exec->hooks.named != NULL)
        exec->hooks.named(exec->hooks.ctx, rx, bytes, name);
    return code;
}

/* ---- looking inside ----------------------------------------------------------------------- */

int pageheap_exec_find(pageheap_exec *exec, const void *addr, pageheap_exec_span *ret_span)
{
    if (!ph_code_exists(exec) || ret_span == NULL)
        return PAGEHEAP_EINVAL;
    return ph_code_find(exec, (uintptr_t)addr, ret_span);
}

int pageheap_exec_each(pageheap_exec *exec, pageheap_exec_span_fn *fn, void *ctx)
{
    return ph_code_exists(exec) && fn != NULL ? ph_code_each(exec, fn, ctx) : PAGEHEAP_EINVAL;
}

/* Each mapped block has a line for each view, and what is not mapped one more in each; where neighbours are
 * of one kind the system joins them. */
static uint64_t mappings_of(const pageheap_exec *exec)
{
    uint64_t views = ph_code_backend(exec)->has_rw ? 2 : 1;
    return views * ph_load_relaxed(&exec->mapped_blocks) + views + 1;
}

int pageheap_exec_get_stats(pageheap_exec *exec, pageheap_exec_stats *ret_stats)
{
    pageheap_stats pages = { .struct_bytes = sizeof pages };
    if (!ph_code_exists(exec) || ret_stats == NULL ||
        ret_stats->struct_bytes < sizeof ret_stats->struct_bytes)
        return PAGEHEAP_EINVAL;
    (void)pageheap_get_stats(exec->heap, &pages);
    uint64_t mapped_bytes = ph_load_relaxed(&exec->mapped_blocks) * PH_BLOCK_BYTES;
    pageheap_exec_stats stats = {
        .struct_bytes = ret_stats->struct_bytes,
        .backend = exec->backend,
        .reserved_bytes = exec->reserved_bytes,
        .mapped_bytes = mapped_bytes,
        .resident_bytes = exec->uses_guards ? pages.resident_bytes : mapped_bytes,
        .in_use_bytes = pages.in_use_bytes,
        .peak_bytes = pages.peak_bytes,
        .piece_bytes = ph_load_relaxed(&exec->slab_count) << exec->slab_log2,
        .given_back_bytes = pages.given_back_bytes,
        .mappings = mappings_of(exec),
        .refused_frees = pages.refused_frees,
        .failed_allocs = pages.failed_allocs,
        .failed_os_calls = pages.failed_os_calls,
        .barriers = ph_load_relaxed(&exec->barriers),
        .last_error = ph_load_relaxed(&exec->heap->last_os_error),
    };
    memcpy(ret_stats, &stats, stats.struct_bytes < sizeof stats ? stats.struct_bytes : sizeof stats);
    return 0;
}
