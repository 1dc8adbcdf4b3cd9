/* SPDX-License-Identifier: MIT */
/* pageheap.h -- memory by the page.
 *
 * A heap hands out *runs*: one or more adjacent pages, from one page to many GiB.
 *
 *     #include <pageheap/pageheap.h>
 *
 *     pageheap *heap = pageheap_create(NULL);
 *     char *run = pageheap_alloc(heap, 16, PAGEHEAP_ZERO);      // 16 pages, all zero
 *     ...
 *     int code = pageheap_free(heap, run, 16);                   // 0, or why it was refused
 *     pageheap_destroy(heap);                                    // gives every mapping back
 *
 * Sizes are in pages of pageheap_page_bytes(heap) unless a name says bytes.
 *
 * Errors    A function that returns a pointer returns NULL and sets errno (ENOMEM or EINVAL).
 *           A function that returns int returns 0 or a negative code, PAGEHEAP_E*.
 *           A refused call has changed nothing; errno is untouched by a call that succeeds.
 * Misuse    Every free names its run exactly or is refused: double frees, wrong sizes,
 *           addresses inside a run, addresses of another heap or of nobody.  With
 *           PAGEHEAP_FATAL_MISUSE such a call prints one line and aborts instead.
 * Threads   Every function may be called from any thread at any time between the heap's
 *           create and its destroy.  None may be called from a signal handler.
 * Blocking  No lock on data is held while the system maps, unmaps or takes memory back, or while
 *           memory is cleared.  An allocation that needs new address space may wait for another
 *           thread that asks for some, and one that would fail for one that gives memory back; any
 *           other allocation, and a free, does not.
 */
#ifndef PAGEHEAP_PAGEHEAP_H
#define PAGEHEAP_PAGEHEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PAGEHEAP_API __attribute__((visibility("default")))
#else
#define PAGEHEAP_API
#endif

#define PAGEHEAP_VERSION "0.1.0"

typedef struct pageheap pageheap; /* a heap; opaque */

/* ---- codes: every function that returns int ------------------------------------------- */

#define PAGEHEAP_EINVAL   (-1) /* an argument is malformed: zero pages, unaligned address, unknown flag */
#define PAGEHEAP_ENOTOURS (-2) /* the address does not belong to this heap */
#define PAGEHEAP_EBADRUN  (-3) /* the address is ours, but is not exactly one live run of that size */
#define PAGEHEAP_ENOMEM   (-4) /* the system or the heap's limit refuses more memory */
#define PAGEHEAP_ERANGE   (-5) /* the size or address is beyond what can exist */
#define PAGEHEAP_EACCES   (-6) /* the heap may not be changed: sealed, or a parent's (pageheap/exec.h) */
#define PAGEHEAP_EBUSY    (-7) /* the object is in use in a way that forbids the call */

/* The text of a code, in English, never NULL, never to be freed. */
PAGEHEAP_API const char *pageheap_strerror(int code);

/* ---- flags of one allocation ---------------------------------------------------------- */

#define PAGEHEAP_ZERO     0x01u /* every byte reads zero */
#define PAGEHEAP_LOCKED   0x02u /* locked in RAM if the system allows; pageheap_find tells whether it did */
#define PAGEHEAP_NODUMP   0x04u /* left out of core dumps if the system allows; as above */
#define PAGEHEAP_POPULATE 0x08u /* pages are backed by memory before the call returns */
#define PAGEHEAP_GUARD    0x10u /* an unreadable page on each side */
#define PAGEHEAP_MAYMOVE  0x20u /* pageheap_resize only: the run may get another address */

/* ---- options of a heap ---------------------------------------------------------------- */

#define PAGEHEAP_FATAL_MISUSE 0x01u /* options.flags: a refused free writes one line to stderr and aborts */

#define PAGEHEAP_AT_ONCE      0xfffffffeu /* decay_ms: unused memory goes back as soon as it is noticed */
#define PAGEHEAP_NEVER        0xffffffffu /* decay_ms: unused memory goes back on pageheap_trim only */

#define PAGEHEAP_HUGE_DEFAULT 0u /* huge pages as the system's setting has it */
#define PAGEHEAP_HUGE_NEVER   1u /* no huge pages */
#define PAGEHEAP_HUGE_ALWAYS  2u /* ask for huge pages everywhere */

/* Zero means "default" in every field.  struct_bytes must be sizeof(pageheap_options). */
typedef struct pageheap_options {
    uint32_t struct_bytes;
    uint32_t flags;        /* PAGEHEAP_FATAL_MISUSE */
    uint32_t page_bytes;   /* the heap's page: the system's page or a power-of-two multiple, at most 64 KiB */
    uint32_t decay_ms;     /* how long unused memory stays resident; default 700 */
    uint64_t limit_bytes;  /* refuse allocations beyond this many bytes in use; default none */
    uint64_t retain_bytes; /* keep at most this much unused memory resident; default no bound but decay_ms */
    uint64_t reserve_bytes; /* address space taken at a time: a power of two, 2 MiB to 1 GiB; default 1 GiB */
    uint32_t huge_pages;    /* PAGEHEAP_HUGE_* */
    uint32_t reserved;      /* must be zero */
} pageheap_options;

#define PAGEHEAP_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        sizeof(pageheap_options), 0, 0, 0, 0, 0, 0, 0, 0                                                     \
    }

/* ---- heaps ---------------------------------------------------------------------------- */

/* Create a heap.  NULL options are all zero.  What is zero comes from PAGEHEAP_CONF, if that names it, or is
 * the default: "decay_ms:100,huge_pages:2", with fields of pageheap_options as keys and decimal numbers as
 * values; malformed, it is ignored as a whole with a line on stderr; ignored in secure execution.
 * Returns NULL with errno EINVAL or ENOMEM, or ENOSYS if the system's pages are larger than 64 KiB.  Cost: no
 * mapping is made before the first allocation. */
PAGEHEAP_API pageheap *pageheap_create(const pageheap_options *options);

/* Destroy a heap and give every mapping of it back, live runs too.  No other thread may be using the
 * heap.  The default heap is refused with EBUSY; a handle that is not a heap with EINVAL. */
PAGEHEAP_API int pageheap_destroy(pageheap *heap);

/* The process-wide heap, made on first use.  NULL with errno ENOMEM only if it cannot be made. */
PAGEHEAP_API pageheap *pageheap_default(void);

/* Bytes in a page of this heap; 0 for NULL. */
PAGEHEAP_API size_t pageheap_page_bytes(const pageheap *heap);

/* ---- runs ----------------------------------------------------------------------------- */

/* Take a run of `pages` adjacent pages.  Contents are undefined without PAGEHEAP_ZERO.
 * NULL with errno EINVAL (no pages, unknown flags) or ENOMEM (the system or the limit refuses; too large). */
PAGEHEAP_API void *pageheap_alloc(pageheap *heap, size_t pages, uint32_t flags);

/* The same at a multiple of `align_bytes`: a power of two, at most 1 GiB; up to a page means a page.  Above
 * 2 MiB the run is whole blocks, like those longer than a block; with guards, what lies between the lower one
 * and the multiple before counts as in use. */
PAGEHEAP_API void *pageheap_alloc_aligned(pageheap *heap, size_t pages, size_t align_bytes, uint32_t flags);

/* The same, labelled: `tag` is kept by address, must outlive the run, and is what pageheap_find reports.  The
 * labels of runs of up to 2 MiB take 4 KiB for each 2 MiB of addresses in which there ever were any. */
PAGEHEAP_API void *pageheap_alloc_tagged(pageheap *heap, size_t pages, uint32_t flags, const char *tag);

/* Take up to `count` runs of `pages` pages each into ret_runs[0..].  Returns how many; errno as
 * pageheap_alloc when fewer than `count`. */
PAGEHEAP_API size_t pageheap_alloc_many(pageheap *heap, size_t pages, uint32_t flags, void **ret_runs,
                                        size_t count);

/* Give a run back.  A NULL run is 0.  EINVAL (zero pages, unaligned), ERANGE (size that cannot exist),
 * ENOTOURS, EBADRUN; then nothing has changed. */
PAGEHEAP_API int pageheap_free(pageheap *heap, void *run, size_t pages);

/* The same without naming the size: the start must still be exact.  EINVAL, ENOTOURS, EBADRUN. */
PAGEHEAP_API int pageheap_free_unsized(pageheap *heap, void *run);

/* Give `count` runs of `pages` pages each back.  Returns how many were accepted; the others are untouched. */
PAGEHEAP_API size_t pageheap_free_many(pageheap *heap, void *const *runs, size_t pages, size_t count);

/* Change a run's size.  In place where possible; with PAGEHEAP_MAYMOVE possibly elsewhere, contents kept
 * up to the smaller size; a run that moves keeps its tag and flags, and begins at a multiple of a page only.
 * New pages read zero with PAGEHEAP_ZERO.  Returns the run's address, or NULL with errno and the run as it
 * was: EINVAL for what pageheap_free would refuse, no new pages, other flags; ENOMEM if there is no memory,
 * or if without PAGEHEAP_MAYMOVE it cannot be done in place.  What pageheap_split refuses with EBUSY never
 * can, not even to shrink. */
PAGEHEAP_API void *pageheap_resize(pageheap *heap, void *run, size_t pages, size_t new_pages, uint32_t flags);

/* Make two runs of one: `head_pages` at `run`, and the rest behind it; 0 < head_pages < pages.  Both have its
 * tag.  EBUSY for runs longer than a block of 2 MiB or aligned to more, and for locked, undumped or
 * guarded ones, which stay whole. */
PAGEHEAP_API int pageheap_split(pageheap *heap, void *run, size_t pages, size_t head_pages);

/* Make one run of two adjacent ones, with the head's tag.  EBADRUN if they are not adjacent live runs that
 * can be one run; pieces of one split run always can.  EBUSY as above. */
PAGEHEAP_API int pageheap_join(pageheap *heap, void *head, size_t head_pages, void *tail, size_t tail_pages);

/* Give the RAM under part of one live run back; the pages stay the caller's and read zero.  EINVAL (zero
 * pages, unaligned), ERANGE, ENOTOURS, EBADRUN (beyond the end of the run). */
PAGEHEAP_API int pageheap_discard(pageheap *heap, void *addr, size_t pages);

/* What pageheap_find and pageheap_each_run tell of a run. */
typedef struct pageheap_run {
    pageheap *heap;
    void *start;
    size_t pages;
    const char *tag;   /* NULL if none */
    uint32_t flags;    /* those of _LOCKED, _NODUMP, _GUARD that are in effect */
    uint32_t reserved; /* zero */
} pageheap_run;

/* Find the live run, of any heap, that holds `addr`: its first byte or any other.  ENOTOURS if there is
 * none, EINVAL without `ret_run`.  The answer is firm for a run that the caller keeps alive meanwhile. */
PAGEHEAP_API int pageheap_find(const void *addr, pageheap_run *ret_run);

/* Call `fn` for each live run, in no stated order, until it returns non-zero, which is then returned.
 * No lock is held during the call; runs that come or go meanwhile may or may not be seen. */
typedef int pageheap_run_fn(void *ctx, const pageheap_run *run);
PAGEHEAP_API int pageheap_each_run(pageheap *heap, pageheap_run_fn *fn, void *ctx);

/* A block: the 2 MiB of address space that runs are cut from. */
typedef struct pageheap_block {
    void *start;
    size_t pages;          /* in the block */
    size_t unused_pages;   /* neither handed out nor kept ready by a thread */
    size_t resident_pages; /* of the unused: those that still hold memory */
    size_t longest_pages;  /* the longest run that could be taken */
} pageheap_block;

typedef int pageheap_block_fn(void *ctx, const pageheap_block *block);

/* Call `fn` for each block, as pageheap_each_run does for runs.  Runs of more than 1 GiB are mapped apart,
 * and their blocks are not among these. */
PAGEHEAP_API int pageheap_each_block(pageheap *heap, pageheap_block_fn *fn, void *ctx);

/* ---- giving memory back --------------------------------------------------------------- */

/* Give unused memory back to the system until at most `keep_bytes` of it stay resident.  Drains every
 * thread's cache, waits, and is exact.  Returns the bytes given back. */
PAGEHEAP_API size_t pageheap_trim(pageheap *heap, size_t keep_bytes);

/* Let time pass: what the heap holds beyond the most that was in use within the last decay_ms goes back.
 * Cheap; allocating does this by itself, a program that goes idle calls it.  0, or EINVAL. */
PAGEHEAP_API int pageheap_tick(pageheap *heap);

/* ---- looking inside ------------------------------------------------------------------- */

/* struct_bytes is set by the caller; as many bytes as it says are filled. */
typedef struct pageheap_stats {
    uint32_t struct_bytes;
    uint32_t page_bytes;
    uint64_t reserved_bytes;  /* address space taken from the system */
    uint64_t committed_bytes; /* of it, readable and writable */
    uint64_t
        resident_bytes; /* the most that may be backed by RAM: in use, cached or unused and not given back */
    uint64_t in_use_bytes;     /* in live runs */
    uint64_t peak_bytes;       /* the most in_use_bytes seen when the heap grew */
    uint64_t cached_bytes;     /* freed, kept ready by threads */
    uint64_t unused_bytes;     /* freed, in blocks, still resident */
    uint64_t metadata_bytes;   /* this heap's records */
    uint64_t given_back_bytes; /* returned to the system so far */
    uint64_t live_runs;
    uint64_t alloc_calls;     /* successful */
    uint64_t free_calls;      /* successful */
    uint64_t refused_frees;   /* misuse caught */
    uint64_t failed_allocs;   /* out of memory */
    uint64_t failed_os_calls; /* system calls that failed, each handled */
    uint64_t reservations;
    uint64_t blocks;
    uint64_t threads;     /* threads that have used the heap at the same time, at most */
    uint64_t revocations; /* times that one thread had to stop another's fast path */
} pageheap_stats;

/* Fill *ret_stats.  Counters of running threads may lag by the operation in progress.  0, or EINVAL. */
PAGEHEAP_API int pageheap_get_stats(pageheap *heap, pageheap_stats *ret_stats);

/* Recount every cached number of the heap from its bitmaps.  0 if all agree; else EBADRUN, after one line
 * per mismatch on stderr.  Stops the other threads meanwhile; for tests and debuggers. */
PAGEHEAP_API int pageheap_check(pageheap *heap);

/* The version of the library in use, as in PAGEHEAP_VERSION. */
PAGEHEAP_API const char *pageheap_version(void);

#ifdef __cplusplus
}
#endif

#endif
