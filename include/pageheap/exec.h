/* SPDX-License-Identifier: MIT */
/* exec.h -- memory for machine code: never writable and executable at one address.
 *
 *     #include <pageheap/exec.h>
 *
 *     pageheap_exec *heap = pageheap_exec_create(NULL);
 *     pageheap_exec_span span;
 *     if (pageheap_exec_alloc(heap, size, &span) == 0 &&
 *         pageheap_exec_write(heap, span.rx, code, size) == 0 &&     // or memcpy to span.rw
 *         pageheap_exec_publish(heap, span.rx, size) == 0)
 *         ((void (*)(void))span.rx)();
 *     pageheap_exec_free(heap, span.rx, size);
 *     pageheap_exec_destroy(heap);
 *
 * A heap hands out *spans*.  Code runs at a span's `rx` address.  It is written through `rw`, a second view
 * of the same memory, where the backend has one (rw = rx + a constant of the heap), or with
 * pageheap_exec_write, which works in every backend.
 *
 * Sizes     In bytes.  What is less than a page, rounded up to the heap's granule, is a *piece*, packed with
 *           others; what is more is rounded up to whole pages, and begins at one.  One heap lies in one
 *           reservation of address space, by default within reach of direct calls from the program's own
 *           text; past its end there is an error, never a far address.
 * Backends  How memory comes to be written here and run there; pageheap_exec_probe tells which work.
 * Traps     Fresh and freed memory holds trap instructions, or cannot be reached at all.  A free fills what
 *           has been written; that is known of pageheap_exec_write, _begin_write and _publish, and of
 *           whatever was written at the span's first bytes.  Who writes through `rw` elsewhere in a span and
 *           publishes nothing calls _begin_write.
 * Errors    A function that returns int returns 0 or a negative code of pageheap.h; pageheap_exec_create and
 *           _begin_write return NULL and set errno.  A refused call has changed nothing.  errno is untouched
 *           otherwise.
 * Misuse    A free or shrink names its span exactly or is refused, whatever the address: freed already, in
 *           the middle of a span, its rw address, another heap's, nobody's.  Of a span of whole pages its
 *           pages are what is named: by any size that makes as many, since it may have been shrunk to that.
 * Fork      See PAGEHEAP_EXEC_FORK_*.  A child may always run what was there when it was forked.
 * Threads   Every function may be called from any thread at any time between the heap's create and its
 *           destroy.  pageheap_exec_find and pageheap_exec_rw may be called from a signal handler.
 * Blocking  As in pageheap.h: no lock on data is held across a system call or while memory is filled.
 */
#ifndef PAGEHEAP_EXEC_H
#define PAGEHEAP_EXEC_H

#include <pageheap/pageheap.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pageheap_exec pageheap_exec; /* an executable heap; opaque */

/* ---- backends -------------------------------------------------------------------------- */

#define PAGEHEAP_EXEC_BEST    0u /* the first of the next four that works here */
#define PAGEHEAP_EXEC_MEMFD   1u /* two views of an unnamed file in memory; no descriptor stays open */
#define PAGEHEAP_EXEC_ANON    2u /* two views of shared memory without a file */
#define PAGEHEAP_EXEC_PRIVATE 3u /* private memory, written by force through /proc/self/mem: no rw view */
#define PAGEHEAP_EXEC_FLIP                                                                                   \
    4u /* private memory, executable or, while anything in the page is written, writable */
#define PAGEHEAP_EXEC_RWX      5u /* writable and executable at once: only when asked for by this name */
#define PAGEHEAP_EXEC_BACKENDS 6u

typedef struct pageheap_exec_caps {
    uint32_t struct_bytes; /* set by the caller */
    uint32_t best;         /* what PAGEHEAP_EXEC_BEST stands for here; PAGEHEAP_EXEC_BEST if nothing works */
    int32_t errors[PAGEHEAP_EXEC_BACKENDS]; /* by backend: 0 if it works, else the errno of what was refused;
                                               of _RWX without PAGEHEAP_EXEC_TRY_RWX: ENOTSUP, not tried */
    uint32_t has_guards;                    /* unused pages can be made unreachable one by one (Linux 6.15) */
    uint32_t has_sync_core;                 /* publish can reach every processor's instruction stream */
} pageheap_exec_caps;

#define PAGEHEAP_EXEC_TRY_RWX 0x01u /* probe flag: a system that audits refused mappings will log this one */

/* Tell which backends work here.  Each is tried once in a process, by the first call that wants to know;
 * later calls cost nothing.  0; EINVAL. */
PAGEHEAP_API int pageheap_exec_probe(uint32_t flags, pageheap_exec_caps *ret_caps);

/* ---- options --------------------------------------------------------------------------- */

/* What becomes of the heap in the child of fork.
 *   DENY     The child cannot write the parent's code: it has no rw view.  It runs what is there, and sees
 *            what the parent writes there later; whatever would change the heap is refused with EACCES.
 *   PRIVATE  The child has its own copy at the same addresses, and goes on with it independently.  If there
 *            is no memory for the copy, or something that ran first in the child (pthread_atfork) has mapped
 *            its own where the rw view was, the child is as under DENY.  Code that another thread is writing
 *            during the fork may be copied half written.
 *   SHARE    The child has both views of the same memory: it may write live spans, and parent and child see
 *            what the other writes.  It may not alloc, free or trim, because the parent would not know:
 *            EACCES.
 * In the child nothing is between _begin_write and _end_write.
 * Backends of private memory (_PRIVATE, _FLIP, _RWX) give each process its own by nature: DENY means PRIVATE
 * there, and SHARE is refused at create. */
#define PAGEHEAP_EXEC_FORK_DENY    0u
#define PAGEHEAP_EXEC_FORK_PRIVATE 1u
#define PAGEHEAP_EXEC_FORK_SHARE   2u

/* options.flags, beside PAGEHEAP_FATAL_MISUSE */
#define PAGEHEAP_EXEC_ANYWHERE 0x0100u /* wherever there is room: near nothing */
#define PAGEHEAP_EXEC_NO_FILL  0x0200u /* freed memory keeps its bytes until it is written anew */
#define PAGEHEAP_EXEC_HUGE     0x0400u /* back each block whole, by huge pages where the system has them */

/* What happens to the memory, for profilers, debuggers and unwinders: pageheap/exec_tools.h has some ready.
 * Any may be NULL.  Called from the thread that makes the change, before the next change to the same memory:
 * a block is told of before anything in it is, and a span's end, or its tail's when it is shrunk, before
 * anybody else can get it.  So they must not call the heap but for pageheap_exec_find, nor wait for a thread
 * that does. */
typedef struct pageheap_exec_hooks {
    void (*block_mapped)(void *ctx, const void *rx, size_t bytes);
    void (*block_unmapped)(void *ctx, const void *rx, size_t bytes);
    void (*published)(void *ctx, const void *rx, size_t bytes);
    void (*named)(void *ctx, const void *rx, size_t bytes, const char *name);
    void (*freed)(void *ctx, const void *rx, size_t bytes);
    void *ctx;
} pageheap_exec_hooks;

/* Zero means "default" in every field.  struct_bytes must be sizeof(pageheap_exec_options). */
typedef struct pageheap_exec_options {
    uint32_t struct_bytes;
    uint32_t flags;         /* PAGEHEAP_FATAL_MISUSE, PAGEHEAP_EXEC_* */
    uint32_t backend;       /* PAGEHEAP_EXEC_MEMFD ... */
    uint32_t fork_policy;   /* PAGEHEAP_EXEC_FORK_* */
    uint32_t granule_bytes; /* pieces are multiples of this: 16, 32, 64, 128; default 64 */
    uint32_t decay_ms;      /* as in pageheap_options */
    /* Address space of each view, a multiple of 2 MiB; default 1 GiB, on arm64 64 MiB.  If there is less,
     * half of it, and so on: pageheap_exec_stats tells what was got. */
    uint64_t reserve_bytes;
    uint64_t limit_bytes; /* refuse allocations beyond this many bytes in use; default none */
    const void *near;     /* every span lies within reach of this; default the program's entry point */
    uint64_t reach_bytes; /* default: 2 GiB, on arm64 128 MiB: what a direct call reaches */
    const pageheap_exec_hooks *hooks; /* copied; default none */
} pageheap_exec_options;

#define PAGEHEAP_EXEC_OPTIONS_INIT                                                                           \
    {                                                                                                        \
        sizeof(pageheap_exec_options), 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL                                    \
    }

/* ---- heaps ----------------------------------------------------------------------------- */

/* Create a heap.  NULL with errno EINVAL; ENOMEM (no address space, or none within reach); or what the
 * system says where it allows no executable memory of the kind asked for (see pageheap_exec_probe). */
PAGEHEAP_API pageheap_exec *pageheap_exec_create(const pageheap_exec_options *options);

/* Give everything back, live spans too.  Nobody may be using the heap or running its code.  EINVAL; EBUSY
 * for a sealed heap, which the system keeps until the process ends. */
PAGEHEAP_API int pageheap_exec_destroy(pageheap_exec *heap);

/* ---- spans ----------------------------------------------------------------------------- */

typedef struct pageheap_exec_span {
    void *rx; /* where it runs */
    void *rw; /* where it is written; NULL in a backend without a second view: then _write, _begin_write */
    size_t bytes;      /* what was asked for, rounded up */
    uint32_t flags;    /* PAGEHEAP_EXEC_FRESH */
    uint32_t reserved; /* zero */
} pageheap_exec_span;

#define PAGEHEAP_EXEC_FRESH 0x01u /* nothing was ever published there */

/* Take a span of at least `bytes`, full of traps.  0; EINVAL (no bytes), ENOMEM, ERANGE (more than 1 GiB),
 * EACCES (in a child that may not, or sealed).  Cost: some 10 ns while the thread's cache has one. */
PAGEHEAP_API int pageheap_exec_alloc(pageheap_exec *heap, size_t bytes, pageheap_exec_span *ret_span);

/* The same with every byte in [lo, hi), whole pages, none across a multiple of 2 MiB; EINVAL for more bytes
 * than that, ERANGE if there is no such room.  Cost: a search of the blocks in that range, with the threads
 * that own them stopped one after the other. */
PAGEHEAP_API int pageheap_exec_alloc_within(pageheap_exec *heap, size_t bytes, const void *lo, const void *hi,
                                            pageheap_exec_span *ret_span);

/* Give a span back: `bytes` as asked for or as span.bytes.  NULL is 0.  EINVAL, ENOTOURS, EBADRUN, ERANGE,
 * EACCES. */
PAGEHEAP_API int pageheap_exec_free(pageheap_exec *heap, void *rx, size_t bytes);

/* Give the tail of a span back, as a compiler wants that took the most it could need.  The span has
 * new_bytes, rounded up, from then on; it stays what it is, piece or pages.  As _free; EINVAL if new_bytes is
 * 0 or greater than bytes. */
PAGEHEAP_API int pageheap_exec_shrink(pageheap_exec *heap, void *rx, size_t bytes, size_t new_bytes);

/* ---- writing and running --------------------------------------------------------------- */

/* The second view of an address of this heap, NULL if it has none or the address is not of this heap. */
PAGEHEAP_API void *pageheap_exec_rw(pageheap_exec *heap, const void *rx);

/* Copy `bytes` of code to `rx`, which lies with all of them in one live span.  Works in every backend.
 * EINVAL, ENOTOURS, EBADRUN, EACCES, ENOMEM (the system would not let us write). */
PAGEHEAP_API int pageheap_exec_write(pageheap_exec *heap, void *rx, const void *code, size_t bytes);

/* Where to write [rx, rx + bytes) of one live span until _end_write: the second view; or rx itself, where the
 * backend has to make the pages writable and nobody can run them meanwhile.  NULL with errno EINVAL, ENOTSUP
 * (_PRIVATE: use _write) or what the system said.  Calls nest, and are counted by the page. */
PAGEHEAP_API void *pageheap_exec_begin_write(pageheap_exec *heap, void *rx, size_t bytes);
PAGEHEAP_API int pageheap_exec_end_write(pageheap_exec *heap, void *rx, size_t bytes);

/* What was written to [rx, rx + bytes) of one live span is to be run from now on, by any thread: instruction
 * caches are brought up to date, and where code was published before, every processor that runs this process
 * fetches anew.  EINVAL, ENOTOURS, EBADRUN. */
PAGEHEAP_API int pageheap_exec_publish(pageheap_exec *heap, void *rx, size_t bytes);

/* The same for the whole of `count` spans, with one interruption of the other processors.  Nothing is done
 * unless all of them are live. */
PAGEHEAP_API int pageheap_exec_publish_many(pageheap_exec *heap, const pageheap_exec_span *spans,
                                            size_t count);

/* Tell the hooks what the code at [rx, rx + bytes) is called. */
PAGEHEAP_API int pageheap_exec_name(pageheap_exec *heap, const void *rx, size_t bytes, const char *name);

/* ---- looking inside -------------------------------------------------------------------- */

/* The live span that holds this rx address.  ENOTOURS if there is none.  No lock: firm for a span that is
 * kept alive meanwhile, such as the one whose code is running. */
PAGEHEAP_API int pageheap_exec_find(pageheap_exec *heap, const void *addr, pageheap_exec_span *ret_span);

/* Call `fn` for each live span, in no stated order, until it returns non-zero, which is then returned. */
typedef int pageheap_exec_span_fn(void *ctx, const pageheap_exec_span *span);
PAGEHEAP_API int pageheap_exec_each(pageheap_exec *heap, pageheap_exec_span_fn *fn, void *ctx);

/* struct_bytes is set by the caller; as many bytes as it says are filled. */
typedef struct pageheap_exec_stats {
    uint32_t struct_bytes;
    uint32_t backend;        /* the one in use */
    uint64_t reserved_bytes; /* address space of each view */
    uint64_t mapped_bytes;   /* of it, in blocks that have memory */
    uint64_t resident_bytes; /* the most that may be backed by RAM */
    uint64_t in_use_bytes;   /* in live spans; pieces that threads keep ready count too */
    uint64_t peak_bytes;     /* the most in_use_bytes seen when the heap grew */
    uint64_t piece_bytes;    /* in the runs of pages that pieces are cut from, part of in_use_bytes */
    uint64_t given_back_bytes;
    uint64_t mappings; /* the most lines that the heap adds to /proc/self/maps */
    uint64_t refused_frees;
    uint64_t failed_allocs;
    uint64_t failed_os_calls;
    uint64_t barriers;  /* times that publish interrupted other processors */
    int32_t last_error; /* the errno of the last system call that failed, 0 if none did */
    uint32_t reserved;  /* zero */
} pageheap_exec_stats;

/* Fill *ret_stats.  Counters of running threads may lag by the operation in progress.  0, or EINVAL. */
PAGEHEAP_API int pageheap_exec_get_stats(pageheap_exec *heap, pageheap_exec_stats *ret_stats);

/* Recount every cached number of the heap.  0, or EBADRUN after one line per mismatch on stderr. */
PAGEHEAP_API int pageheap_exec_check(pageheap_exec *heap);

/* ---- giving memory back, and keeping it ------------------------------------------------- */

/* Give unused memory back to the system until at most `keep_bytes` of it stay.  Returns the bytes given
 * back. */
PAGEHEAP_API size_t pageheap_exec_trim(pageheap_exec *heap, size_t keep_bytes);

/* Back blocks that are fully in use by huge pages, in both views.  Returns how many were; the system copies
 * 2 MiB for each. */
PAGEHEAP_API size_t pageheap_exec_collapse(pageheap_exec *heap);

/* For code that is there for good: no byte of this heap can be written or freed from now on, by nobody in
 * this process.  The rw view is dropped, and the rx view sealed where the system can (Linux 6.10).  Nobody
 * may be writing through rw, or between _begin_write and _end_write, meanwhile.  0; EINVAL; EACCES (in a
 * child that may not, or sealed already); ENOMEM. */
PAGEHEAP_API int pageheap_exec_seal(pageheap_exec *heap);

#ifdef __cplusplus
}
#endif

#endif
