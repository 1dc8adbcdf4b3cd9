/* SPDX-License-Identifier: MIT */
/* iprt.h -- the page allocation calls of IPRT, VirtualBox's portable runtime, served by pageheap.
 *
 *     #include <pageheap/iprt.h>
 *
 *     void *pv = RTMemPageAllocZ(cb);       // zeroed, cb rounded up to whole pages
 *     ...
 *     RTMemPageFree(pv, cb);                // the same cb, or any that rounds to the same pages
 *
 * Names, types and status values are IPRT's, so that code written for it compiles against this header.
 * Meanings are kept where they were sound; docs/iprt.md lists each call with what differs, and the test that
 * shows it.
 *
 * RTMemPage*    work on one heap of the process, made on first use, apart from pageheap_default().
 * RTHeapPage*   work on heaps of the caller's own.
 * Threads       any call from any thread, save that no other call may be using a heap that is being deleted.
 */
#ifndef PAGEHEAP_IPRT_H
#define PAGEHEAP_IPRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pageheap.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- status values: 0 or more is success, as in IPRT ---------------------------------- */

#define VINF_SUCCESS           0
#define VERR_INVALID_PARAMETER (-2)
#define VERR_INVALID_HANDLE    (-4)
#define VERR_INVALID_POINTER   (-6)
#define VERR_NO_MEMORY         (-8)
#define VERR_NOT_SUPPORTED     (-37)
#define VERR_ACCESS_DENIED     (-38)
#define VERR_OUT_OF_RANGE      (-54)
#define VERR_NOT_FOUND         (-78)
#define VERR_RESOURCE_BUSY     (-138)

/* ---- pages by the byte ---------------------------------------------------------------- */

/* The tag of the forms that take none: the file that calls.  Define it before including to choose another. */
#ifndef RTMEM_TAG
#define RTMEM_TAG (__FILE__)
#endif

#define RTMEMPAGEALLOC_F_ZERO           UINT32_C(0x1) /* every byte reads zero */
#define RTMEMPAGEALLOC_F_ADVISE_LOCKED  UINT32_C(0x2) /* locked in RAM if the system allows, until freed */
#define RTMEMPAGEALLOC_F_ADVISE_NO_DUMP UINT32_C(0x4) /* left out of core dumps likewise */
#define RTMEMPAGEALLOC_F_EXECUTABLE     UINT32_C(0x8) /* refused: RTMemExecAlloc is for that */
#define RTMEMPAGEALLOC_F_VALID_MASK     UINT32_C(0xf)

/* Take `cb` bytes, rounded up to whole pages, at the start of a page; contents undefined.
 * NULL with errno EINVAL if `cb` is 0, ENOMEM if there is no such memory. */
#define RTMemPageAlloc(cb) RTMemPageAllocTag((cb), RTMEM_TAG)

/* The same with a tag of the caller's: kept by address, so it must outlive the memory; NULL is none. */
PAGEHEAP_API void *RTMemPageAllocTag(size_t cb, const char *pszTag);

/* The same, every byte reading zero. */
#define RTMemPageAllocZ(cb) RTMemPageAllocZTag((cb), RTMEM_TAG)

/* The same with a tag. */
PAGEHEAP_API void *RTMemPageAllocZTag(size_t cb, const char *pszTag);

/* The same with any of RTMEMPAGEALLOC_F_*.  Other bits give NULL with errno EINVAL, _EXECUTABLE NULL with
 * errno ENOTSUP. */
#define RTMemPageAllocEx(cb, fFlags) RTMemPageAllocExTag((cb), (fFlags), RTMEM_TAG)

/* The same with a tag. */
PAGEHEAP_API void *RTMemPageAllocExTag(size_t cb, uint32_t fFlags, const char *pszTag);

/* Give memory back that one of the above returned.  NULL is nothing to do.  `cb` must round up to the pages
 * that were taken; a call that names anything but exactly one live piece changes nothing. */
PAGEHEAP_API void RTMemPageFree(void *pv, size_t cb);

/* ---- code ------------------------------------------------------------------------------ */

/* Take `cb` bytes, rounded up to whole pages, that are readable, writable and executable at once, full of
 * trap instructions.  NULL with errno EINVAL if `cb` is 0, ENOMEM, or what the system says where it allows no
 * such memory.  New programs take pageheap/exec.h. */
#define RTMemExecAlloc(cb) RTMemExecAllocTag((cb), RTMEM_TAG)

/* The same with a tag, which the heap's hooks hear of. */
PAGEHEAP_API void *RTMemExecAllocTag(size_t cb, const char *pszTag);

/* Give it back, as RTMemPageFree. */
PAGEHEAP_API void RTMemExecFree(void *pv, size_t cb);

/* ---- heaps of the caller's own, by the page ------------------------------------------- */

/* Storage for a heap; the fields are the heap's own business. */
typedef struct RTHEAPPAGE {
    uint32_t u32Magic;
    uint32_t u32Reserved;
    pageheap *pHeap;
} RTHEAPPAGE;

typedef RTHEAPPAGE *PRTHEAPPAGE;

/* Make a heap in the caller's storage.  VERR_INVALID_POINTER without storage, VERR_NOT_SUPPORTED for an
 * executable heap, VERR_NO_MEMORY. */
PAGEHEAP_API int RTHeapPageInit(PRTHEAPPAGE pHeap, bool fExec);

/* Delete a heap with all memory that it handed out.  VERR_INVALID_HANDLE if it is none, or no longer one. */
PAGEHEAP_API int RTHeapPageDelete(PRTHEAPPAGE pHeap);

/* Take `cPages` adjacent pages into *ppv, zeroed if `fZero`; the tag as above.  *ppv is NULL unless the call
 * succeeds.  VERR_INVALID_POINTER without ppv, VERR_INVALID_HANDLE, VERR_INVALID_PARAMETER for no pages,
 * VERR_OUT_OF_RANGE for more than can exist, VERR_NO_MEMORY. */
PAGEHEAP_API int RTHeapPageAlloc(PRTHEAPPAGE pHeap, size_t cPages, const char *pszTag, bool fZero,
                                 void **ppv);

/* Give `cPages` pages at `pv` back.  NULL is success.  VERR_INVALID_HANDLE, VERR_INVALID_PARAMETER (no pages,
 * an address inside a page), VERR_OUT_OF_RANGE, VERR_NOT_FOUND (no memory of this heap),
 * VERR_INVALID_POINTER (not exactly one live run); then nothing has changed. */
PAGEHEAP_API int RTHeapPageFree(PRTHEAPPAGE pHeap, void *pv, size_t cPages);

#ifdef __cplusplus
}
#endif

#endif
