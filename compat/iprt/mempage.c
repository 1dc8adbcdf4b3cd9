/* SPDX-License-Identifier: MIT */
/* mempage.c -- RTMemPage*: memory by the byte, rounded up to pages, from one heap of the process.
 *
 * The heap is made by whoever asks first.  Threads that ask first at once each make one; a heap without runs
 * has no mapping yet, so the losers' cost nothing to destroy, and no lock is needed that a fork could leave
 * taken.
 */
#include <pageheap/iprt.h>

#include <errno.h>
#include <stdatomic.h>

static _Atomic(pageheap *) process_heap; /* written once; release pairs with the acquire in both readers */

static pageheap *make_process_heap(void)
{
    pageheap *made = pageheap_create(NULL);
    if (!made) {
        return NULL;
    }
    pageheap *first = NULL;
    if (atomic_compare_exchange_strong_explicit(&process_heap, &first, made, memory_order_acq_rel,
                                                memory_order_acquire)) {
        return made;
    }
    pageheap_destroy(made);
    return first;
}

/* Round bytes up to pages of `heap`.  No sum of bytes is formed, so nothing can wrap. */
static size_t pages_for(const pageheap *heap, size_t len_bytes)
{
    size_t page_bytes = pageheap_page_bytes(heap);
    size_t whole_pages = len_bytes >> __builtin_ctzl(page_bytes);
    return whole_pages + ((len_bytes & (page_bytes - 1)) != 0);
}

static void *alloc_bytes(size_t len_bytes, uint32_t flags, const char *tag)
{
    pageheap *heap = atomic_load_explicit(&process_heap, memory_order_acquire);
    if (!heap) {
        heap = make_process_heap();
    }
    if (!heap) {
        return NULL;
    }
    /* No bytes are no pages, which is refused there. */
    return pageheap_alloc_tagged(heap, pages_for(heap, len_bytes), flags, tag);
}

void *RTMemPageAllocTag(size_t cb, const char *pszTag)
{
    return alloc_bytes(cb, 0, pszTag);
}

void *RTMemPageAllocZTag(size_t cb, const char *pszTag)
{
    return alloc_bytes(cb, PAGEHEAP_ZERO, pszTag);
}

void *RTMemPageAllocExTag(size_t cb, uint32_t fFlags, const char *pszTag)
{
    if (fFlags & ~RTMEMPAGEALLOC_F_VALID_MASK) {
        errno = EINVAL;
        return NULL;
    }
    /* Memory that is writable and executable at once is what this library exists not to hand out. */
    if (fFlags & RTMEMPAGEALLOC_F_EXECUTABLE) {
        errno = ENOTSUP;
        return NULL;
    }
    uint32_t flags = 0;
    flags |= (fFlags & RTMEMPAGEALLOC_F_ZERO) ? PAGEHEAP_ZERO : 0;
    flags |= (fFlags & RTMEMPAGEALLOC_F_ADVISE_LOCKED) ? PAGEHEAP_LOCKED : 0;
    flags |= (fFlags & RTMEMPAGEALLOC_F_ADVISE_NO_DUMP) ? PAGEHEAP_NODUMP : 0;
    return alloc_bytes(cb, flags, pszTag);
}

void RTMemPageFree(void *pv, size_t cb)
{
    if (!pv) {
        return;
    }
    pageheap *heap = atomic_load_explicit(&process_heap, memory_order_acquire);
    /* Nothing has been handed out yet, so this is no memory of ours. */
    if (!heap) {
        return;
    }
    /* IPRT's call has no result: a refusal shows in pageheap_stats.refused_frees, or aborts if the heap is
     * told to by PAGEHEAP_CONF. */
    (void)pageheap_free(heap, pv, pages_for(heap, cb));
}
