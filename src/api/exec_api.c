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
    pageheap_exec *heap = error == 0 ? ph_code_create(&full, &error) : NULL;
    errno = heap == NULL ? -error : saved;
    return heap;
}

int pageheap_exec_destroy(pageheap_exec *heap)
{
    if (!ph_code_exists(heap))
        return PAGEHEAP_EINVAL;
    if (ph_load_relaxed(&heap->state) == PH_CODE_SEALED)
        return PAGEHEAP_EBUSY;
    ph_code_destroy(heap);
    return 0;
}

int pageheap_exec_seal(pageheap_exec *heap)
{
    if (!ph_code_exists(heap))
        return PAGEHEAP_EINVAL;
    int error = ph_code_seal(heap);
    return error == 0 ? 0 : error == -EACCES ? PAGEHEAP_EACCES : PAGEHEAP_ENOMEM;
}

size_t pageheap_exec_trim(pageheap_exec *heap, size_t keep_bytes)
{
    if (!ph_code_is_live(heap))
        return 0;
    ph_pieces_trim(heap);
    return (size_t)(ph_heap_trim(heap->heap, keep_bytes >> heap->page_log2) << heap->page_log2);
}

size_t pageheap_exec_collapse(pageheap_exec *heap)
{
    return ph_code_is_live(heap) ? ph_code_collapse(heap) : 0;
}

int pageheap_exec_check(pageheap_exec *heap)
{
    if (!ph_code_exists(heap))
        return PAGEHEAP_EINVAL;
    const char *wrong = ph_pieces_check(heap);
    if (wrong == NULL)
        return ph_heap_check(heap->heap);
    static const char line[] = "pageheap: a slab's numbers do not hold: ";
    ph_os_complain(line, sizeof line - 1);
    ph_os_complain(wrong, strlen(wrong));
    ph_os_complain("\n", 1);
    return PAGEHEAP_EBADRUN;
}

/* ---- spans -------------------------------------------------------------------------------- */

/* bytes > 0 */
static inline size_t pages_for(const pageheap_exec *heap, size_t bytes)
{
    return ((bytes - 1) >> heap->page_log2) + 1;
}

static inline size_t granules_for(const pageheap_exec *heap, size_t bytes)
{
    return ((bytes - 1) >> heap->granule_log2) + 1;
}

/* What is rounded up to a page is one, so that a span's bytes tell what it is, too. */
static inline bool is_piece_size(const pageheap_exec *heap, size_t bytes)
{
    return bytes <= heap->piece_bytes_max;
}

static inline void describe(const pageheap_exec *heap, uintptr_t rx, size_t bytes, bool was_executed,
                            pageheap_exec_span *ret_span)
{
    PH_STORE_PAIR(&ret_span->rx, rx, (uintptr_t)ph_code_rw(heap, rx));
    ret_span->bytes = bytes;
    ret_span->flags = was_executed ? 0 : PAGEHEAP_EXEC_FRESH;
    ret_span->reserved = 0;
}

static void describe_piece(const pageheap_exec *heap, const ph_kept_piece *piece, size_t granules,
                           pageheap_exec_span *ret_span)
{
    bool was_executed = ph_bits_any(piece->slab->executed, ph_slab_granule(heap, piece->rx), granules);
    describe(heap, piece->rx, granules << heap->granule_log2, was_executed, ret_span);
}

static void describe_pages(const pageheap_exec *heap, uintptr_t rx, size_t pages,
                           pageheap_exec_span *ret_span)
{
    bool was_executed = ph_bits_any(heap->executed, ph_code_page(heap, rx), pages);
    describe(heap, rx, pages << heap->page_log2, was_executed, ret_span);
}

/* Why a heap that is not live will not do this. */
static int refusal(const pageheap_exec *heap)
{
    return ph_code_exists(heap) ? PAGEHEAP_EACCES : PAGEHEAP_EINVAL;
}

static int alloc_any(pageheap_exec *heap, size_t bytes, pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    ph_kept_piece piece;
    if (is_piece_size(heap, bytes)) {
        size_t granules = granules_for(heap, bytes);
        int code = ph_piece_alloc(heap, (unsigned)granules, &piece);
        if (code == 0)
            describe_piece(heap, &piece, granules, ret_span);
        return code;
    }
    size_t pages = pages_for(heap, bytes);
    int code = ph_code_alloc_pages(heap, pages, &rx);
    if (code == 0)
        describe_pages(heap, rx, pages, ret_span);
    return code;
}

/* Off the hot path, as calls at its end, so that it needs no stack frame. */
static PH_NOINLINE int alloc_slow(pageheap_exec *heap, size_t bytes, pageheap_exec_span *ret_span)
{
    if (!ph_code_is_live(heap))
        return refusal(heap);
    if (ret_span == NULL || bytes == 0)
        return PAGEHEAP_EINVAL;
    int code = alloc_any(heap, bytes, ret_span);
    return code == PAGEHEAP_ENOMEM && !ph_code_is_live(heap) ? refusal(heap) : code; /* sealed meanwhile */
}

/* A kept piece that is not so simple to describe. */
static PH_NOINLINE int alloc_long_piece(pageheap_exec *heap, ph_kept_piece piece, size_t granules,
                                        pageheap_exec_span *ret_span)
{
    describe_piece(heap, &piece, granules, ret_span);
    return 0;
}

static PH_NOINLINE int alloc_piece(pageheap_exec *heap, size_t bytes, pageheap_exec_span *ret_span)
{
    ph_kept_piece piece;
    unsigned first;
    size_t granules = granules_for(heap, bytes);
    if (PH_UNLIKELY(!ph_piece_take_fast(heap, granules, &piece, &first)))
        return alloc_slow(heap, bytes, ret_span);
    if (PH_UNLIKELY(!ph_bits_in_word(first, granules)))
        return alloc_long_piece(heap, piece, granules, ret_span);
    bool was_executed = ph_bits_any_in_word(piece.slab->executed, first, granules);
    describe(heap, piece.rx, granules << heap->granule_log2, was_executed, ret_span);
    return 0;
}

/* A kept run that was never handed out or is not so simple to describe, and a tick perhaps. */
static PH_NOINLINE int alloc_odd_pages(pageheap_exec *heap, uintptr_t run, size_t pages, bool is_due,
                                       pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    if (is_due) {
        ph_heap_tick(heap->heap, ph_thread_last.front);
        ph_front_reheat(ph_thread_last.front, run & ~(uintptr_t)PH_RUN_CLEAN, pages);
    }
    int code = ph_code_finish(heap, run, pages, &rx);
    if (code == 0)
        describe_pages(heap, rx, pages, ret_span);
    return code;
}

int pageheap_exec_alloc(pageheap_exec *heap, size_t bytes, pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    bool is_due;
    if (PH_UNLIKELY(!ph_code_is_live(heap) || ret_span == NULL || bytes == 0))
        return alloc_slow(heap, bytes, ret_span);
    if (is_piece_size(heap, bytes))
        return alloc_piece(heap, bytes, ret_span);
    size_t pages = pages_for(heap, bytes);
    if (PH_UNLIKELY(!ph_code_take_fast(heap, pages, &rx, &is_due)))
        return alloc_slow(heap, bytes, ret_span);
    size_t first = ph_code_fast_page(heap, rx);
    if (PH_UNLIKELY(is_due || (rx & PH_RUN_CLEAN) != 0 || !ph_bits_in_word(first, pages)))
        return alloc_odd_pages(heap, rx, pages, is_due, ret_span);
    describe(heap, rx, pages << PH_FAST_PAGE_LOG2, ph_bits_any_in_word(heap->executed, first, pages),
             ret_span);
    return 0;
}

int pageheap_exec_alloc_within(pageheap_exec *heap, size_t bytes, const void *lo, const void *hi,
                               pageheap_exec_span *ret_span)
{
    uintptr_t rx;
    if (!ph_code_is_live(heap))
        return refusal(heap);
    if (ret_span == NULL || bytes == 0)
        return PAGEHEAP_EINVAL;
    size_t pages = pages_for(heap, bytes);
    int code = ph_code_alloc_within(heap, pages, (uintptr_t)lo, (uintptr_t)hi, &rx);
    if (code == 0)
        describe_pages(heap, rx, pages, ret_span);
    return code;
}

/* What a free or shrink can know before it looks at the span. */
static int refuse_early(const pageheap_exec *heap, const void *rx, size_t bytes)
{
    if (!ph_code_is_live(heap))
        return refusal(heap);
    if (bytes == 0)
        return PAGEHEAP_EINVAL;
    if (!ph_code_holds(heap, (uintptr_t)rx))
        return PAGEHEAP_ENOTOURS;
    return bytes > PH_WINDOW_BYTES ? PAGEHEAP_ERANGE : 0;
}

static int free_span(pageheap_exec *heap, uintptr_t rx, size_t bytes)
{
    int code = refuse_early(heap, (void *)rx, bytes);
    if (code != 0)
        return code;
    ph_slab *slab = ph_slab_at(heap, rx);
    if (slab != NULL)
        return is_piece_size(heap, bytes) ? ph_piece_free(heap, slab, rx, granules_for(heap, bytes))
                                          : PAGEHEAP_EBADRUN;
    return ph_code_free_pages(heap, rx, pages_for(heap, bytes));
}

static PH_NOINLINE int free_slow(pageheap_exec *heap, void *rx, size_t bytes)
{
    if (rx == NULL)
        return 0;
    int code = free_span(heap, (uintptr_t)rx, bytes);
    return code == 0 || !ph_code_exists(heap) ? code
                                              : ph_judge_bytes(heap->heap, code, "exec_free", rx, bytes);
}

static PH_NOINLINE int free_piece(pageheap_exec *heap, ph_slab *slab, void *rx, size_t bytes)
{
    uintptr_t at = (uintptr_t)rx;
    bool is_possible = is_piece_size(heap, bytes) && (at & heap->granule_mask) == 0;
    if (PH_UNLIKELY(!is_possible || !ph_piece_free_fast(heap, slab, at, granules_for(heap, bytes))))
        return free_slow(heap, rx, bytes);
    return 0;
}

int pageheap_exec_free(pageheap_exec *heap, void *rx, size_t bytes)
{
    uintptr_t at = (uintptr_t)rx;
    if (PH_UNLIKELY(!ph_code_is_live(heap) || !ph_code_holds(heap, at) || bytes == 0 ||
                    heap->hooks.freed != NULL))
        return free_slow(heap, rx, bytes);
    ph_slab *slab = ph_slab_at(heap, at);
    if (slab != NULL)
        return free_piece(heap, slab, rx, bytes);
    if (PH_UNLIKELY(!ph_code_free_fast(heap, at, pages_for(heap, bytes))))
        return free_slow(heap, rx, bytes);
    return 0;
}

int pageheap_exec_shrink(pageheap_exec *heap, void *rx, size_t bytes, size_t new_bytes)
{
    uintptr_t at = (uintptr_t)rx;
    int code = refuse_early(heap, rx, bytes);
    if (code == 0 && (new_bytes == 0 || new_bytes > bytes))
        return PAGEHEAP_EINVAL;
    if (code == 0) {
        ph_slab *slab = ph_slab_at(heap, at);
        if (slab == NULL)
            code = ph_code_shrink_pages(heap, at, pages_for(heap, bytes), pages_for(heap, new_bytes));
        else if (!is_piece_size(heap, bytes))
            code = PAGEHEAP_EBADRUN;
        else
            code = ph_piece_shrink(heap, slab, at, granules_for(heap, bytes), granules_for(heap, new_bytes));
    }
    return code == 0 || !ph_code_exists(heap) ? code
                                              : ph_judge_bytes(heap->heap, code, "exec_shrink", rx, bytes);
}

/* ---- writing and running ------------------------------------------------------------------ */

void *pageheap_exec_rw(pageheap_exec *heap, const void *rx)
{
    return ph_code_is_writable(heap) && ph_code_holds(heap, (uintptr_t)rx) ? ph_code_rw(heap, (uintptr_t)rx)
                                                                           : NULL;
}

/* 0 if all of [rx, rx + bytes) lies in one live span. */
static int find_all(const pageheap_exec *heap, const void *rx, size_t bytes)
{
    pageheap_exec_span span;
    if (bytes == 0)
        return PAGEHEAP_EINVAL;
    int code = ph_code_find(heap, (uintptr_t)rx, &span);
    if (code != 0)
        return code;
    size_t offset = (size_t)((const char *)rx - (const char *)span.rx);
    return bytes <= span.bytes - offset ? 0 : PAGEHEAP_EBADRUN;
}

/* The same, and the heap may be written: by its own process, or by a child that shares it. */
static int find_writable(const pageheap_exec *heap, const void *rx, size_t bytes)
{
    if (!ph_code_is_writable(heap))
        return refusal(heap);
    return find_all(heap, rx, bytes);
}

int pageheap_exec_write(pageheap_exec *heap, void *rx, const void *code, size_t bytes)
{
    int refused = find_writable(heap, rx, bytes);
    if (refused == 0 && code == NULL)
        refused = PAGEHEAP_EINVAL;
    if (refused != 0)
        return refused;
    ph_code_note_written(heap, (uintptr_t)rx, bytes);
    if (ph_code_write(heap, (uintptr_t)rx, code, bytes) == 0)
        return 0;
    return ph_load_relaxed(&heap->state) == PH_CODE_SEALED ? PAGEHEAP_EACCES : PAGEHEAP_ENOMEM;
}

static void *fail(int error)
{
    errno = error;
    return NULL;
}

void *pageheap_exec_begin_write(pageheap_exec *heap, void *rx, size_t bytes)
{
    int code = find_writable(heap, rx, bytes);
    if (code != 0)
        return fail(code == PAGEHEAP_EACCES ? EACCES : EINVAL);
    if (heap->backend == PAGEHEAP_EXEC_PRIVATE)
        return fail(ENOTSUP);
    int error = ph_code_begin_write(heap, (uintptr_t)rx, bytes);
    if (error != 0)
        return fail(-error);
    ph_code_note_written(heap, (uintptr_t)rx, bytes);
    void *rw = ph_code_rw(heap, (uintptr_t)rx);
    return rw != NULL ? rw : rx;
}

int pageheap_exec_end_write(pageheap_exec *heap, void *rx, size_t bytes)
{
    int code = find_writable(heap, rx, bytes);
    if (code != 0)
        return code;
    int error = ph_code_end_write(heap, (uintptr_t)rx, bytes);
    return error == 0 ? 0 : error == -EINVAL ? PAGEHEAP_EINVAL : PAGEHEAP_ENOMEM;
}

/* One span's part of publishing.  True if something else had been there before. */
static bool publish(pageheap_exec *heap, void *rx, size_t bytes)
{
    ph_code_note_written(heap, (uintptr_t)rx, bytes);
    ph_code_os_flush((uintptr_t)rx, bytes);
    return ph_code_note_executed(heap, (uintptr_t)rx, bytes);
}

/* Other processors may have fetched what was there, if there is another thread for them to run.  The calling
 * thread's own is told of the change by the flush, or, on x86, sees the stores. */
static void fetch_anew(pageheap_exec *heap)
{
    if (ph_code_has_sync_core() && !ph_code_os_is_alone()) {
        ph_fetch_add_relaxed(&heap->barriers, 1);
        (void)ph_code_note(heap, ph_code_os.sync_cores());
    }
}

static void tell_published(const pageheap_exec *heap, const void *rx, size_t bytes)
{
    if (heap->hooks.published != NULL)
        heap->hooks.published(heap->hooks.ctx, rx, bytes);
}

int pageheap_exec_publish(pageheap_exec *heap, void *rx, size_t bytes)
{
    int code = find_writable(heap, rx, bytes);
    if (code != 0)
        return code;
    if (publish(heap, rx, bytes))
        fetch_anew(heap);
    tell_published(heap, rx, bytes);
    return 0;
}

int pageheap_exec_publish_many(pageheap_exec *heap, const pageheap_exec_span *spans, size_t count)
{
    bool was_any = false;
    if (!ph_code_is_writable(heap))
        return refusal(heap);
    if (spans == NULL && count != 0)
        return PAGEHEAP_EINVAL;
    for (size_t i = 0; i < count; i++) {
        int code = find_writable(heap, spans[i].rx, spans[i].bytes);
        if (code != 0)
            return code;
    }
    for (size_t i = 0; i < count; i++)
        was_any = publish(heap, spans[i].rx, spans[i].bytes) || was_any;
    if (was_any)
        fetch_anew(heap);
    for (size_t i = 0; i < count; i++)
        tell_published(heap, spans[i].rx, spans[i].bytes);
    return 0;
}

int pageheap_exec_name(pageheap_exec *heap, const void *rx, size_t bytes, const char *name)
{
    if (!ph_code_exists(heap) || name == NULL)
        return PAGEHEAP_EINVAL;
    int code = find_all(heap, rx, bytes);
    if (code == 0 && heap->hooks.named != NULL)
        heap->hooks.named(heap->hooks.ctx, rx, bytes, name);
    return code;
}

/* ---- looking inside ----------------------------------------------------------------------- */

int pageheap_exec_find(pageheap_exec *heap, const void *addr, pageheap_exec_span *ret_span)
{
    if (!ph_code_exists(heap) || ret_span == NULL)
        return PAGEHEAP_EINVAL;
    return ph_code_find(heap, (uintptr_t)addr, ret_span);
}

int pageheap_exec_each(pageheap_exec *heap, pageheap_exec_span_fn *fn, void *ctx)
{
    return ph_code_exists(heap) && fn != NULL ? ph_code_each(heap, fn, ctx) : PAGEHEAP_EINVAL;
}

/* Each mapped block has a line for each view, and what is not mapped one more in each; where neighbours are
 * of one kind the system joins them. */
static uint64_t mappings_of(const pageheap_exec *heap)
{
    uint64_t views = ph_code_backend(heap)->has_rw ? 2 : 1;
    return views * ph_load_relaxed(&heap->mapped_blocks) + views + 1;
}

int pageheap_exec_get_stats(pageheap_exec *heap, pageheap_exec_stats *ret_stats)
{
    pageheap_stats pages = { .struct_bytes = sizeof pages };
    if (!ph_code_exists(heap) || ret_stats == NULL ||
        ret_stats->struct_bytes < sizeof ret_stats->struct_bytes)
        return PAGEHEAP_EINVAL;
    (void)pageheap_get_stats(heap->heap, &pages);
    uint64_t mapped_bytes = ph_load_relaxed(&heap->mapped_blocks) * PH_BLOCK_BYTES;
    pageheap_exec_stats stats = {
        .struct_bytes = ret_stats->struct_bytes,
        .backend = heap->backend,
        .reserved_bytes = heap->reserved_bytes,
        .mapped_bytes = mapped_bytes,
        .resident_bytes = heap->uses_guards ? pages.resident_bytes : mapped_bytes,
        .in_use_bytes = pages.in_use_bytes,
        .peak_bytes = pages.peak_bytes,
        .piece_bytes = ph_load_relaxed(&heap->slab_count) << heap->slab_log2,
        .given_back_bytes = pages.given_back_bytes,
        .mappings = mappings_of(heap),
        .refused_frees = pages.refused_frees,
        .failed_allocs = pages.failed_allocs,
        .failed_os_calls = pages.failed_os_calls,
        .barriers = ph_load_relaxed(&heap->barriers),
        .last_error = ph_load_relaxed(&heap->heap->last_os_error),
    };
    memcpy(ret_stats, &stats, stats.struct_bytes < sizeof stats ? stats.struct_bytes : sizeof stats);
    return 0;
}
