/* SPDX-License-Identifier: MIT */
/* exec_peer.h -- the allocators of code memory, behind one interface.
 *
 * Code memory is asked for in bytes, and what counts is not its address alone: somebody has to write it and
 * make it fit to run.  So these are peers of their own, in a section of the table of their own; what the
 * runner and the table know of one is the struct peer that it begins with.
 */
#ifndef PH_BENCH_EXEC_PEER_H
#define PH_BENCH_EXEC_PEER_H

#include "peer.h"

#include <stdint.h>

/* A span of code memory. */
struct exec_span {
    void *rx;     /* where it runs */
    void *rw;     /* where it can be written now; NULL: only by `publish` */
    size_t bytes; /* as asked for */
};

struct exec_peer {
    struct peer peer; /* first, see exec_peer_of; its alloc and release are NULL */
    bool (*alloc)(size_t bytes, struct exec_span *ret_span); /* false if out of memory */
    void (*release)(const struct exec_span *span);
    /* Copy `bytes` of code to where the span begins, and make them fit to be run by any thread; may change
     * the span's rw.  False if the system does not let us.  NULL: the spans are no room for any code. */
    bool (*publish)(struct exec_span *span, const void *code, size_t bytes);
    size_t bytes_max; /* the largest span, and the only size if publish is NULL; 0: any */
};

/* The peer that a struct peer of the code section is part of. */
static inline const struct exec_peer *exec_peer_of(const struct peer *peer)
{
    return (const struct exec_peer *)peer;
}

/* All of them, pageheap first; NULL after the last. */
const struct peer *exec_peer_at(size_t index);

#endif
