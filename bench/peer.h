/* SPDX-License-Identifier: MIT */
/* peer.h -- the allocators that every table has a row for, behind one interface.
 *
 * A process opens one peer and uses it to its end: each row of a table is a process of its own, so that no
 * allocator sees another's memory.  Every peer is asked for page-aligned runs through the cheapest call of
 * its own that gives them.
 */
#ifndef PH_BENCH_PEER_H
#define PH_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>

enum peer_role {
    PEER_OTHER,
    PEER_OURS,    /* this library: what targets are about */
    PEER_NULL,    /* does nothing: shows what the measuring costs */
    PEER_VARIANT, /* this library used in another way: shown, and never what ours is measured by */
};

struct peer {
    const char *name;        /* as in --allocators: "pageheap", "mmap", "seed", "glibc", ... */
    const char *description; /* one line for --help */
    enum peer_role role;
    int (*open)(void); /* once per process, before any other call; 0, or -1 if it is not installed */
    void *(*alloc)(size_t pages);             /* page-aligned, of 4096-byte pages; NULL if out of memory */
    void (*release)(void *run, size_t pages); /* the size is the one that was asked for */
    void (*idle)(void); /* what a program that goes idle would call now and then; may be NULL */
    void (*trim)(void); /* give back all unused memory at once; may be NULL */
};

#define PEER_PAGE_BYTES ((size_t)4096)

/* All peers, pageheap first; NULL after the last. */
const struct peer *peer_at(size_t index);

/* NULL if there is none.  Also knows "null", which is not in the list: it hands out the same run every
 * time, so that what a measurement of it shows is the cost of measuring. */
const struct peer *peer_named(const char *name);

/* True if open() would succeed; tried in a child process, so that nothing is loaded here. */
bool peer_is_installed(const struct peer *peer);

/* Call first in a program that opens peers.  Some libraries keep their per-thread data where only the
 * libraries loaded at program start have room; this asks the loader for more room and executes the program
 * again, once.  Where that is not possible it returns, and such peers do not open. */
void peer_make_room(void);

#endif
