/* SPDX-License-Identifier: MIT */
/* memexec.c -- RTMemExec*: memory that is written and run at one address, as the call means it.
 *
 * It comes from one executable heap of the process, of the backend that hands out such memory; the heap is
 * made by whoever asks first, as in mempage.c.  New programs take pageheap/exec.h instead.
 */
#include <pageheap/exec.h>
#include <pageheap/iprt.h>

#include <errno.h>
#include <stdatomic.h>

static _Atomic(pageheap_exec *)
    process_heap; /* written once; release pairs with the acquire in both readers */

static pageheap_exec *make_process_heap(void)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_RWX;
    pageheap_exec *made = pageheap_exec_create(&options);
    if (!made) {
        return NULL;
    }
    pageheap_exec *first = NULL;
    if (atomic_compare_exchange_strong_explicit(&process_heap, &first, made, memory_order_acq_rel,
                                                memory_order_acquire)) {
        return made;
    }
    pageheap_exec_destroy(made);
    return first;
}

/* The original hands out whole pages, and a whole page is never a piece; nothing can wrap. */
static size_t at_least_a_page(size_t len_bytes)
{
    const size_t page_bytes = pageheap_page_bytes(pageheap_default());
    return len_bytes < page_bytes ? page_bytes : len_bytes;
}

static void *fail(int code)
{
    errno = code == PAGEHEAP_EINVAL ? EINVAL : ENOMEM;
    return NULL;
}

void *RTMemExecAllocTag(size_t cb, const char *pszTag)
{
    pageheap_exec_span span;
    if (cb == 0) {
        return fail(PAGEHEAP_EINVAL);
    }
    pageheap_exec *heap = atomic_load_explicit(&process_heap, memory_order_acquire);
    if (!heap) {
        heap = make_process_heap();
    }
    if (!heap || !pageheap_default()) {
        return NULL;
    }
    int code = pageheap_exec_alloc(heap, at_least_a_page(cb), &span);
    if (code != 0) {
        return fail(code);
    }
    if (pszTag) {
        pageheap_exec_name(heap, span.rx, span.bytes, pszTag);
    }
    return span.rx;
}

void RTMemExecFree(void *pv, size_t cb)
{
    pageheap_exec *heap = atomic_load_explicit(&process_heap, memory_order_acquire);
    if (!pv || !heap || cb == 0) {
        return;
    }
    /* The original's call has no result: a refusal shows in pageheap_exec_stats.refused_frees. */
    (void)pageheap_exec_free(heap, pv, at_least_a_page(cb));
}
