/* SPDX-License-Identifier: MIT */
/* heappage.c -- RTHeapPage*: heaps in storage that the caller provides, with IPRT's status values. */
#include <pageheap/iprt.h>

#include <errno.h>

#define MAGIC_LIVE UINT32_C(0x52544850)
#define MAGIC_DEAD UINT32_C(0x64656164)

static int status_of(int code)
{
    switch (code) {
    case 0:
        return VINF_SUCCESS;
    case PAGEHEAP_ENOTOURS:
        return VERR_NOT_FOUND;
    case PAGEHEAP_EBADRUN:
        return VERR_INVALID_POINTER;
    case PAGEHEAP_ENOMEM:
        return VERR_NO_MEMORY;
    case PAGEHEAP_ERANGE:
        return VERR_OUT_OF_RANGE;
    case PAGEHEAP_EACCES:
        return VERR_ACCESS_DENIED;
    case PAGEHEAP_EBUSY:
        return VERR_RESOURCE_BUSY;
    default:
        return VERR_INVALID_PARAMETER;
    }
}

static int status_of_errno(int error)
{
    return error == EINVAL ? VERR_INVALID_PARAMETER : VERR_NO_MEMORY;
}

/* Acquire pairs with the release in RTHeapPageInit: who sees the magic sees the heap behind it. */
static bool is_live(const RTHEAPPAGE *storage)
{
    return storage && __atomic_load_n(&storage->u32Magic, __ATOMIC_ACQUIRE) == MAGIC_LIVE;
}

int RTHeapPageInit(PRTHEAPPAGE pHeap, bool fExec)
{
    if (!pHeap) {
        return VERR_INVALID_POINTER;
    }
    if (fExec) {
        return VERR_NOT_SUPPORTED;
    }
    pageheap *heap = pageheap_create(NULL);
    if (!heap) {
        return status_of_errno(errno);
    }
    pHeap->u32Reserved = 0;
    pHeap->pHeap = heap;
    __atomic_store_n(&pHeap->u32Magic, MAGIC_LIVE, __ATOMIC_RELEASE);
    return VINF_SUCCESS;
}

int RTHeapPageDelete(PRTHEAPPAGE pHeap)
{
    if (!pHeap) {
        return VERR_INVALID_HANDLE;
    }
    /* One exchange decides: of two deletes at once, one destroys the heap and the other hears it is gone. */
    uint32_t expected = MAGIC_LIVE;
    if (!__atomic_compare_exchange_n(&pHeap->u32Magic, &expected, MAGIC_DEAD, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED)) {
        return VERR_INVALID_HANDLE;
    }
    pageheap *heap = pHeap->pHeap;
    pHeap->pHeap = NULL;
    return status_of(pageheap_destroy(heap));
}

int RTHeapPageAlloc(PRTHEAPPAGE pHeap, size_t cPages, const char *pszTag, bool fZero, void **ppv)
{
    if (!ppv) {
        return VERR_INVALID_POINTER;
    }
    *ppv = NULL;
    if (!is_live(pHeap)) {
        return VERR_INVALID_HANDLE;
    }
    if (cPages == 0) {
        return VERR_INVALID_PARAMETER;
    }
    /* No object is larger than PTRDIFF_MAX, so such a size is a mistake and not a want of memory. */
    if (cPages > (size_t)PTRDIFF_MAX / pageheap_page_bytes(pHeap->pHeap)) {
        return VERR_OUT_OF_RANGE;
    }
    void *run = pageheap_alloc_tagged(pHeap->pHeap, cPages, fZero ? PAGEHEAP_ZERO : 0, pszTag);
    if (!run) {
        return status_of_errno(errno);
    }
    *ppv = run;
    return VINF_SUCCESS;
}

int RTHeapPageFree(PRTHEAPPAGE pHeap, void *pv, size_t cPages)
{
    if (!pv) {
        return VINF_SUCCESS;
    }
    if (!is_live(pHeap)) {
        return VERR_INVALID_HANDLE;
    }
    return status_of(pageheap_free(pHeap->pHeap, pv, cPages));
}
