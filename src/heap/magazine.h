/* SPDX-License-Identifier: MIT */
/* magazine.h -- runs of one length, kept ready: stacks of magazines.
 *
 * A magazine is an array.  Before its first run stands the floor, behind its last place the end, so that who
 * takes or keeps a run need not count:
 *
 *     floor (run 0) | run | run | run | empty | ... | empty | end (PH_MAGAZINE_END)
 *                                         ^ the top: behind the newest run
 *
 * A magazine that is full is buried under an empty one, whose floor remembers where the top was; one that is
 * emptied, and lies on another, becomes a spare.  So in every stack only the uppermost is not full.
 */
#ifndef PH_HEAP_MAGAZINE_H
#define PH_HEAP_MAGAZINE_H

#include <stdint.h>

#include "block/block.h"

typedef struct ph_kept {
    uintptr_t run; /* address | PH_RUN_CLEAN | PH_RUN_BIT's; 0 in the floor */
    union {
        _Atomic uint8_t *mark; /* the byte of the run's mark */
        struct ph_kept *below; /* floor: the top of the magazine below, or PH_NO_RUNS; or the next spare */
    };
} ph_kept;

/* What goes along with a run's address, in the bits below a page.
 * PH_RUN_CLEAN  its pages are clean: plain ones read zero, those of code are not ready (ph_backing in heap.h)
 * PH_RUN_BIT    which bit its mark is, in its byte; only with runs out of a magazine
 * The bits between them are 0: so the last six are that number. */
#define PH_RUN_BIT   7u
#define PH_RUN_CLEAN 64u

static PH_ALWAYS_INLINE uintptr_t ph_run_address(uintptr_t run)
{
    return run & ~(((uintptr_t)1 << PH_PAGE_LOG2_MIN) - 1);
}

#define PH_MAGAZINE_END UINTPTR_MAX

/* The top of a stack without magazines: neither a run to take nor room to keep one. */
extern ph_kept ph_no_magazine[2];
#define PH_NO_RUNS (&ph_no_magazine[1])

/* Lengths that are often asked for in numbers have larger magazines. */
enum { PH_MOST, PH_MANY, PH_SOME, PH_FEW, PH_MAGAZINE_KINDS };

static inline unsigned ph_magazine_kind(unsigned pages)
{
    if (pages > 32)
        return pages <= 64 ? PH_SOME : PH_FEW;
    return pages == 1 ? PH_MOST : PH_MANY;
}

static inline size_t ph_magazine_bytes(unsigned kind)
{
    static const uint16_t bytes[PH_MAGAZINE_KINDS] = { 4096, 1024, 256, 128 };
    return bytes[kind];
}

/* Runs in a full one: 254, 62, 14, 6. */
static inline unsigned ph_magazine_capacity(unsigned kind)
{
    return (unsigned)(ph_magazine_bytes(kind) / sizeof(ph_kept)) - 2;
}

/* A walk over a stack, the newest magazine first; the current one has `count` runs from runs[0] on. */
typedef struct ph_magazine_walk {
    ph_kept *runs;
    unsigned count, capacity;
} ph_magazine_walk;

/* False: there is none, or no more. */
static inline bool ph_magazine_next(ph_magazine_walk *walk)
{
    ph_kept *top = walk->runs[-1].below;
    if (top == PH_NO_RUNS)
        return false;
    walk->count = walk->capacity;
    walk->runs = top - walk->capacity;
    return true;
}

static inline bool ph_magazine_first(ph_kept *top, unsigned pages, ph_magazine_walk *ret_walk)
{
    unsigned count = 0;
    for (; top[-1].run != 0; top--)
        count++;
    *ret_walk = (ph_magazine_walk){ top, count, ph_magazine_capacity(ph_magazine_kind(pages)) };
    return top != PH_NO_RUNS;
}

#endif
