/* SPDX-License-Identifier: MIT */
/* ring.h -- a bounded queue of runs from one thread to one other.
 *
 * Each side keeps a copy of the other's index and looks at the real one only when the copy says full or
 * empty, so a busy queue costs a run much less than one cache line moved.  And who has to wait looks away for
 * a while: a look takes the line from the other side, and with a look at every turn the two would go on run
 * by run, each waiting for the other's lines, whatever the allocator does.
 *
 * Memory order   the release of `filled` in ring_push pairs with the acquire in ring_pop: who sees the index
 *                sees the run.  The release of `emptied` pairs with the acquire in ring_push: a slot is
 *                reused only after it was read.
 */
#ifndef PH_BENCH_RING_H
#define PH_BENCH_RING_H

#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define RING_SLOTS      1024 /* a power of two */
#define RING_LINE_BYTES 128  /* two lines: the prefetcher fetches them in pairs */
#define RING_LOOK_AWAY  32   /* turns of waiting between two looks */
#define RING_LOOKS      16   /* then let another thread run: there may be fewer cores than threads */

struct ring {
    alignas(RING_LINE_BYTES) atomic_size_t filled;  /* runs pushed so far */
    size_t emptied_seen;                            /* the producer's copy of `emptied` */
    alignas(RING_LINE_BYTES) atomic_size_t emptied; /* runs popped so far */
    size_t filled_seen;                             /* the consumer's copy of `filled` */
    alignas(RING_LINE_BYTES) void *slots[RING_SLOTS];
};

#if defined(__x86_64__) || defined(__i386__)
#define RING_RELAX() __builtin_ia32_pause()
#else
#define RING_RELAX() atomic_signal_fence(memory_order_seq_cst)
#endif

static inline void ring_pause(unsigned *looks)
{
    for (unsigned turn = 0; turn < RING_LOOK_AWAY; turn++)
        RING_RELAX();
    if (++*looks % RING_LOOKS == 0)
        sched_yield();
}

/* Waits while the ring is full. */
static inline void ring_push(struct ring *ring, void *run)
{
    size_t filled = atomic_load_explicit(&ring->filled, memory_order_relaxed);
    unsigned looks = 0;

    while (filled - ring->emptied_seen == RING_SLOTS) {
        ring->emptied_seen = atomic_load_explicit(&ring->emptied, memory_order_acquire);
        ring_pause(&looks);
    }
    ring->slots[filled % RING_SLOTS] = run;
    atomic_store_explicit(&ring->filled, filled + 1, memory_order_release);
}

/* Waits while the ring is empty. */
static inline void *ring_pop(struct ring *ring)
{
    size_t emptied = atomic_load_explicit(&ring->emptied, memory_order_relaxed);
    unsigned looks = 0;
    void *run;

    while (emptied == ring->filled_seen) {
        ring->filled_seen = atomic_load_explicit(&ring->filled, memory_order_acquire);
        ring_pause(&looks);
    }
    run = ring->slots[emptied % RING_SLOTS];
    atomic_store_explicit(&ring->emptied, emptied + 1, memory_order_release);
    return run;
}

#endif
