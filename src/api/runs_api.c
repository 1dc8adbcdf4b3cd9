/* SPDX-License-Identifier: MIT */
/* runs_api.c -- the public calls on runs: arguments are judged here, then one call down. */
#include "api/misuse.h"
#include "heap/fast.h"

#include <errno.h>
#include <string.h>

#include "pageheap/pageheap.h"

#define ALLOC_FLAGS (PAGEHEAP_ZERO | PAGEHEAP_LOCKED | PAGEHEAP_NODUMP | PAGEHEAP_POPULATE | PAGEHEAP_GUARD)

/* More than any machine has, and small enough that no sum of page counts and alignments wraps. */
#define BYTES_MAX (UINT64_C(1) << PH_ADDRESS_LOG2)

static void *fail(int error)
{
    errno = error;
    return NULL;
}

static void *fail_for_want(pageheap *heap)
{
    ph_fetch_add_relaxed(&heap->failed_allocs, 1);
    return fail(ENOMEM);
}

static bool is_possible(const pageheap *heap, uint64_t pages)
{
    return pages <= BYTES_MAX >> heap->page_log2;
}

/* ---- alloc ----------------------------------------------------------------------------- */

/* What the flags ask of the contents; outside of every lock. */
static void *finish(pageheap *heap, uintptr_t run, uint64_t pages, uint32_t flags)
{
    void *base = (void *)ph_run_address(run);
    size_t bytes = (size_t)pages << heap->page_log2;
    ph_os_unpoison(base, bytes);
    if ((flags & PAGEHEAP_ZERO) && !(run & PH_RUN_CLEAN))
        ph_os_clear(base, bytes);
    if (flags & PAGEHEAP_POPULATE) /* what this leaves, the first touch does */
        (void)ph_heap_note(heap, ph_os.advise(base, bytes, PH_ADVICE_POPULATE));
    return base;
}

/* Labels of runs of up to a block stand in their block's table; what else a free must undo, in a record. */
static uintptr_t alloc_anywhere(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t flags,
                                const char *tag)
{
    bool is_short = pages <= heap->block_pages && align_bytes <= PH_BLOCK_BYTES;
    if ((flags & PH_FLAGS_SPECIAL) != 0 || (tag != NULL && !is_short))
        return (uintptr_t)ph_special_alloc(heap, pages, align_bytes, flags, tag);
    if (is_short) {
        uint64_t align_pages = ph_max_u64(align_bytes >> heap->page_log2, 1);
        return ph_run_alloc(heap, (unsigned)pages, (unsigned)align_pages, tag);
    }
    if (pages <= PH_REGION_PAGES_MAX(heap))
        return ph_large_alloc(heap, pages, align_bytes, PH_LARGE_LIVE);
    return ph_huge_alloc(heap, pages, align_bytes, PH_LARGE_LIVE);
}

static void *alloc_checked(pageheap *heap, uint64_t pages, uint64_t align_bytes, uint32_t flags,
                           const char *tag)
{
    if (!ph_heap_is_valid(heap) || pages == 0 || (flags & ~ALLOC_FLAGS) != 0)
        return fail(EINVAL);
    if (align_bytes > PH_WINDOW_BYTES || (align_bytes & (align_bytes - 1)) != 0)
        return fail(EINVAL);
    if (!is_possible(heap, pages))
        return fail_for_want(heap);
    uintptr_t run = alloc_anywhere(heap, pages, align_bytes, flags, tag);
    if (run == 0)
        return fail_for_want(heap);
    return finish(heap, run, pages, flags);
}

/* Off the hot path, as calls at its end, so that it needs no stack frame. */
static PH_NOINLINE void *alloc_slow(pageheap *heap, size_t pages, uint32_t flags)
{
    if (flags != 0 || PH_HAS_ASAN || !ph_heap_is_valid(heap) || pages - 1 >= PH_REGION_PAGES_MAX(heap))
        return alloc_checked(heap, pages, 0, flags, NULL);
    uintptr_t run = pages <= heap->block_pages ? ph_run_alloc(heap, (unsigned)pages, 1, NULL)
                                               : ph_large_alloc(heap, pages, 0, PH_LARGE_LIVE);
    return run != 0 ? (void *)ph_run_address(run) : fail_for_want(heap);
}

/* The uppermost magazine is empty, or the front is shared or has labels: there may be a run all the same. */
static PH_NOINLINE void *alloc_kept(pageheap *heap, size_t pages)
{
    ph_front *front = ph_front_last(heap);
    uintptr_t run = 0;
    bool is_due;
    if (front == NULL || pages - 1 >= front->block_pages)
        return alloc_slow(heap, pages, 0);
    if (!ph_labelled_alloc(heap, pages, NULL, &run, &is_due) &&
        !ph_shared_alloc(front, pages, &run, &is_due)) {
        run = ph_run_take_kept(front, (unsigned)pages, NULL);
        is_due = ph_front_is_tick_due(front);
    }
    if (run == 0)
        return alloc_slow(heap, pages, 0);
    if (is_due)
        ph_heap_tick(heap, front);
    return (void *)ph_run_address(run);
}

static PH_NOINLINE void *alloc_tick(pageheap *heap, void *run, size_t pages)
{
    ph_heap_tick(heap, ph_thread_last.front);
    ph_front_reheat(ph_thread_last.front, (uintptr_t)run, pages);
    return run;
}

/* Zeroed runs take the hot path too; they stand apart because clearing them costs what it costs. */
static PH_NOINLINE void *alloc_flagged(pageheap *heap, size_t pages, uint32_t flags)
{
    uintptr_t run;
    bool is_due;
    if (flags != PAGEHEAP_ZERO || !ph_fast_alloc(heap, pages, &run, &is_due))
        return alloc_slow(heap, pages, flags);
    if (is_due)
        ph_heap_tick(heap, ph_thread_last.front);
    return finish(heap, run, pages, flags);
}

/* A run made live; the front is left. */
static PH_ALWAYS_INLINE void *alloc_end(pageheap *heap, uintptr_t run, size_t pages, ph_front *front)
{
    run = ph_run_address(run);
    if (PH_UNLIKELY(ph_front_leave_counting(front)))
        return alloc_tick(heap, (void *)run, pages);
    return (void *)run;
}

/* The front, which has been entered and is open, has no hot run of that length. */
static PH_NOINLINE void *alloc_popped(pageheap *heap, size_t pages, ph_front *front)
{
    uintptr_t run;
    if (PH_LIKELY(ph_fast_pop(front, pages, &run)))
        return alloc_end(heap, run, pages, front);
    ph_front_leave_fast(front);
    return alloc_kept(heap, pages);
}

/* The front, which has been entered, has a hot run, or something is to be attended to. */
static PH_ALWAYS_INLINE void *alloc_hot(pageheap *heap, size_t pages, ph_front *front)
{
    uintptr_t run;
    if (PH_UNLIKELY(!ph_fast_is_hot(&front->allocs_for, heap))) {
        ph_front_leave_fast(front);
        return alloc_kept(heap, pages);
    }
    if (!ph_fast_take_hot(front, pages, &run))
        return alloc_popped(heap, pages, front);
    return alloc_end(heap, run, pages, front);
}

PH_HOT void *pageheap_alloc(pageheap *heap, size_t pages, uint32_t flags)
{
    uintptr_t run;
    if (PH_UNLIKELY(flags != 0 || PH_HAS_ASAN))
        return alloc_flagged(heap, pages, flags);
    ph_front *front = ph_fast_enter();
    if (PH_UNLIKELY(!ph_fast_is_open(&front->allocs_for, heap)))
        return alloc_hot(heap, pages, front);
    if (PH_LIKELY(ph_fast_pop(front, pages, &run)))
        return alloc_end(heap, run, pages, front);
    ph_front_leave_fast(front);
    return alloc_kept(heap, pages);
}

void *pageheap_alloc_aligned(pageheap *heap, size_t pages, size_t align_bytes, uint32_t flags)
{
    if (align_bytes == 0)
        return fail(EINVAL);
    return alloc_checked(heap, pages, align_bytes, flags, NULL);
}

void *pageheap_alloc_tagged(pageheap *heap, size_t pages, uint32_t flags, const char *tag)
{
    uintptr_t run;
    bool is_due;
    if (tag == NULL)
        return pageheap_alloc(heap, pages, flags);
    if ((flags & ~PAGEHEAP_ZERO) != 0 || !ph_labelled_alloc(heap, pages, tag, &run, &is_due))
        return alloc_checked(heap, pages, 0, flags, tag);
    if (is_due)
        (void)alloc_tick(heap, (void *)ph_run_address(run), pages);
    return finish(heap, run, pages, flags);
}

size_t pageheap_alloc_many(pageheap *heap, size_t pages, uint32_t flags, void **ret_runs, size_t count)
{
    size_t done = 0;
    if (ret_runs == NULL && count != 0) {
        errno = EINVAL;
        return 0;
    }
    while (done < count && (ret_runs[done] = pageheap_alloc(heap, pages, flags)) != NULL)
        done++;
    return done;
}

/* ---- free ------------------------------------------------------------------------------ */

/* AddressSanitizer must hear of a free before it happens: afterwards the run may be somebody else's.
 * `pages` 0 means whatever its length is. */
static int free_poisoned(pageheap *heap, void *run, size_t pages)
{
    pageheap_run found;
    bool is_right = PH_HAS_ASAN && ph_run_find_in(heap, (uintptr_t)run, &found) == 0 && found.start == run &&
                    (pages == 0 || pages == found.pages);
    if (is_right)
        ph_os_poison(run, found.pages << heap->page_log2);
    int code = ph_run_free(heap, (uintptr_t)run, pages);
    if (is_right && code != 0)
        ph_os_unpoison(run, found.pages << heap->page_log2);
    return code;
}

/* A free is tried in ways that get slower and know more; each does it, or has changed nothing.
 *
 *     pageheap_free  this thread's run of up to 57 pages, and to 64 by chance, with room in its magazine
 *     free_far       this thread's longer run, or no room; another thread's, if that is shared; a long run
 *     free_slow      everything, judged anew from the start: a refusal gets its reason here alone
 */
static PH_NOINLINE int free_slow(pageheap *heap, void *run, size_t pages)
{
    int code;
    if (run == NULL)
        return 0;
    if (!ph_heap_is_valid(heap) || pages == 0)
        code = PAGEHEAP_EINVAL;
    else if (!is_possible(heap, pages))
        code = PAGEHEAP_ERANGE;
    else
        code = free_poisoned(heap, run, pages);
    return ph_judge(heap, code, "free", run, pages);
}

/* This thread's own run: of more than 57 pages, or one for which there was no room. */
static bool free_mine(ph_front *mine, uintptr_t address, size_t pages)
{
    const ph_block *block = ph_block_of_ours(address);
    ph_front_roll(mine, block, address, pages);
    return ph_fast_free_long(mine->heap, block, address, pages);
}

static PH_NOINLINE int free_far(pageheap *heap, void *run, size_t pages)
{
    uintptr_t address = (uintptr_t)run;
    ph_front *owner = ph_owner_at(address);
    bool is_done = false;
    ph_front *mine = ph_front_last(heap);
    if (PH_UNLIKELY(mine == NULL || owner == NULL || pages == 0 || PH_HAS_ASAN ||
                    (address & (ph_heap_page_bytes(heap) - 1)) != 0))
        return free_slow(heap, run, pages);
    if (owner == mine)
        is_done = pages <= PH_BLOCK_PAGES_MAX && free_mine(mine, address, pages);
    else if (owner != &heap->special)
        is_done = ph_run_free_foreign(mine, owner, address, pages);
    else if (ph_load_relaxed(&ph_block_of_ours(address)->kind) == PH_BLOCK_LARGE)
        is_done = ph_large_free(heap, ph_block_of_ours(address), address, pages) == 0;
    return is_done ? 0 : free_slow(heap, run, pages);
}

/* The front, which has been entered and is open, has not this run for its hot one. */
static PH_NOINLINE int free_popped(pageheap *heap, void *run, size_t pages, ph_front *front)
{
    bool is_done = ph_fast_return(front, (uintptr_t)run, pages);
    ph_front_leave_fast(front);
    return is_done ? 0 : free_far(heap, run, pages);
}

/* As alloc_hot. */
static PH_ALWAYS_INLINE int free_hot(pageheap *heap, void *run, size_t pages, ph_front *front)
{
    bool is_done = false;
    if (PH_LIKELY(ph_fast_is_hot(&front->frees_for, heap))) {
        if (PH_UNLIKELY((uintptr_t)run != ph_load_held(&front->hot_run)))
            return free_popped(heap, run, pages, front);
        is_done = ph_fast_return_hot(front, pages);
    }
    ph_front_leave_fast(front);
    return PH_LIKELY(is_done) ? 0 : free_far(heap, run, pages);
}

PH_HOT int pageheap_free(pageheap *heap, void *run, size_t pages)
{
    if (PH_HAS_ASAN)
        return free_far(heap, run, pages);
    ph_front *front = ph_fast_enter();
    if (PH_UNLIKELY(!ph_fast_is_open(&front->frees_for, heap)))
        return free_hot(heap, run, pages, front);
    bool is_done = ph_fast_return(front, (uintptr_t)run, pages);
    ph_front_leave_fast(front);
    return PH_LIKELY(is_done) ? 0 : free_far(heap, run, pages);
}

int pageheap_free_unsized(pageheap *heap, void *run)
{
    if (run == NULL)
        return 0;
    int code = ph_heap_is_valid(heap) ? free_poisoned(heap, run, 0) : PAGEHEAP_EINVAL;
    return ph_judge(heap, code, "free_unsized", run, 0);
}

size_t pageheap_free_many(pageheap *heap, void *const *runs, size_t pages, size_t count)
{
    size_t accepted = 0;
    for (size_t i = 0; runs != NULL && i < count; i++)
        accepted += pageheap_free(heap, runs[i], pages) == 0;
    return accepted;
}

/* ---- reshape --------------------------------------------------------------------------- */

/* The run that begins at `run` and has `pages` pages, or the code that free would give. */
static int find_exact(pageheap *heap, const void *run, size_t pages, pageheap_run *ret_found)
{
    if (!ph_heap_is_valid(heap) || pages == 0 || ((uintptr_t)run & (ph_heap_page_bytes(heap) - 1)) != 0)
        return PAGEHEAP_EINVAL;
    if (!is_possible(heap, pages))
        return PAGEHEAP_ERANGE;
    int code = ph_run_find_in(heap, (uintptr_t)run, ret_found);
    if (code != 0)
        return code;
    return ret_found->start == run && ret_found->pages == pages ? 0 : PAGEHEAP_EBADRUN;
}

static void *move_run(pageheap *heap, const pageheap_run *old, size_t new_pages, uint32_t flags)
{
    uint32_t kept = old->flags & PH_FLAGS_SPECIAL;
    char *moved = alloc_checked(heap, new_pages, 0, kept, old->tag);
    if (moved == NULL)
        return NULL;
    size_t old_bytes = old->pages << heap->page_log2;
    size_t new_bytes = new_pages << heap->page_log2;
    ph_os_copy(moved, old->start, old_bytes < new_bytes ? old_bytes : new_bytes);
    if ((flags & PAGEHEAP_ZERO) && new_bytes > old_bytes)
        ph_os_clear(moved + old_bytes, new_bytes - old_bytes);
    if (pageheap_free(heap, old->start, old->pages) != 0) { /* freed by another thread meanwhile: misuse */
        (void)pageheap_free(heap, moved, new_pages);
        return fail(EINVAL);
    }
    return moved;
}

void *pageheap_resize(pageheap *heap, void *run, size_t pages, size_t new_pages, uint32_t flags)
{
    pageheap_run found;
    bool is_clean = false;
    if ((flags & ~(PAGEHEAP_ZERO | PAGEHEAP_MAYMOVE)) != 0 || new_pages == 0)
        return fail(EINVAL);
    int code = find_exact(heap, run, pages, &found);
    if (code != 0)
        return (void)ph_judge(heap, code, "resize", run, pages), fail(EINVAL);
    if (new_pages == pages)
        return run;
    if (!is_possible(heap, new_pages))
        return fail(ENOMEM);
    size_t old_bytes = pages << heap->page_log2;
    code = ph_run_resize(heap, (uintptr_t)run, pages, new_pages, &is_clean);
    if (code == 0) {
        if (new_pages > pages)
            finish(heap, ((uintptr_t)run + old_bytes) | (is_clean ? PH_RUN_CLEAN : 0), new_pages - pages,
                   flags);
        return run;
    }
    if (!(flags & PAGEHEAP_MAYMOVE))
        return fail(ENOMEM);
    return move_run(heap, &found, new_pages, flags);
}

int pageheap_split(pageheap *heap, void *run, size_t pages, size_t head_pages)
{
    pageheap_run found;
    if (head_pages == 0 || head_pages >= pages)
        return PAGEHEAP_EINVAL;
    int code = find_exact(heap, run, pages, &found);
    if (code == 0)
        code = ph_run_split(heap, (uintptr_t)run, pages, head_pages);
    return ph_judge(heap, code, "split", run, pages);
}

int pageheap_join(pageheap *heap, void *head, size_t head_pages, void *tail, size_t tail_pages)
{
    pageheap_run found;
    int code = find_exact(heap, head, head_pages, &found);
    if (code == 0)
        code = find_exact(heap, tail, tail_pages, &found);
    if (code == 0)
        code = ph_run_join(heap, (uintptr_t)head, head_pages, (uintptr_t)tail, tail_pages);
    return ph_judge(heap, code, "join", head, head_pages);
}

int pageheap_discard(pageheap *heap, void *addr, size_t pages)
{
    pageheap_run found;
    if (!ph_heap_is_valid(heap) || pages == 0 || ((uintptr_t)addr & (ph_heap_page_bytes(heap) - 1)) != 0)
        return PAGEHEAP_EINVAL;
    if (!is_possible(heap, pages))
        return PAGEHEAP_ERANGE;
    int code = ph_run_find_in(heap, (uintptr_t)addr, &found);
    size_t bytes = pages << heap->page_log2;
    if (code == 0 && (size_t)((char *)addr - (char *)found.start) + bytes > found.pages << heap->page_log2)
        code = PAGEHEAP_EBADRUN;
    if (code != 0)
        return ph_judge(heap, code, "discard", addr, pages);
    if (ph_heap_note(heap, ph_os.advise(addr, bytes, PH_ADVICE_DISCARD)) != 0)
        ph_os_clear(addr, bytes); /* locked memory, say: zero is the promise, RAM the hope */
    return 0;
}

int pageheap_find(const void *addr, pageheap_run *ret_run)
{
    pageheap_run run;
    if (ret_run == NULL)
        return PAGEHEAP_EINVAL;
    int code = ph_run_find((uintptr_t)addr, &run);
    if (code == 0 && run.heap->exec != NULL)
        code = PAGEHEAP_ENOTOURS; /* code is found by pageheap_exec_find */
    if (code == 0)
        *ret_run = run;
    return code;
}
