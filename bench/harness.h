/* SPDX-License-Identifier: MIT */
/* harness.h -- what every workload is made of: random numbers, the clock, tables of live runs,
 * resident memory.
 *
 * All of it is cheap enough to stand inside a measured loop, and takes its memory from the system before the
 * measuring begins, so that no allocator sees it.
 */
#ifndef PH_BENCH_HARNESS_H
#define PH_BENCH_HARNESS_H

#include "peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- random numbers: xorshift64*, three shifts and a multiplication -------------------- */

struct rng {
    uint64_t state; /* never zero */
};

static inline struct rng rng_seeded(uint64_t seed)
{
    return (struct rng){ seed * UINT64_C(0x9e3779b97f4a7c15) | 1 };
}

static inline uint32_t rng_next(struct rng *rng)
{
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    return (uint32_t)(rng->state * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

/* Uniform in [0, bound), without a division; the bias is below bound / 2^32. */
static inline size_t rng_below(struct rng *rng, size_t bound)
{
    return (size_t)((uint64_t)rng_next(rng) * bound >> 32);
}

/* Uniform in [low, high]. */
static inline size_t rng_between(struct rng *rng, size_t low, size_t high)
{
    return low + rng_below(rng, high - low + 1);
}

/* ---- time ------------------------------------------------------------------------------ */

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)

uint64_t clock_now_ns(void);
void clock_sleep_ns(uint64_t duration_ns);

/* Do about `ops` operations; returns how many were done, 0 if memory ran out. */
typedef size_t step_fn(void *state, size_t ops);

/* Nanoseconds per operation of `step`: chunks of about a millisecond, after a warm-up of a quarter of the
 * budget and at least `warm_ops` operations (but at most four budgets), until the budget is used up.  NaN if
 * memory runs out. */
double measure_ns_per_op(step_fn *step, void *state, uint64_t budget_ns, size_t warm_ops);

/* ---- live runs ------------------------------------------------------------------------- */

struct live_run {
    void *run;
    size_t pages;
};

/* A table of runs that are live; its memory is resident from the start. */
struct live_table {
    const struct peer *peer;
    struct live_run *runs;
    size_t count;
    size_t capacity;
    size_t pages; /* in all runs */
};

/* Memory straight from the system, zero, every page of it resident; NULL if there is none.  From 2 MiB on it
 * is whole huge pages where the system has them: walked at random, a large array of small ones would cost TLB
 * misses that no allocator can help. */
void *resident_array(size_t bytes);
void resident_array_unmap(void *array, size_t bytes);

/* 0, or -1 without memory. */
int live_table_create(struct live_table *table, const struct peer *peer, size_t capacity);

/* Take a run into the table; false if memory or room ran out. */
bool live_table_add(struct live_table *table, size_t pages);

/* Give the run at `index` back; the last one takes its place. */
void live_table_drop(struct live_table *table, size_t index);

/* Add runs of 1 .. pages_max pages until there are `count`. */
bool live_table_fill(struct live_table *table, struct rng *rng, size_t count, size_t pages_max);

/* ---- resident memory --------------------------------------------------------------------- */

/* Bytes of this process in RAM, the anonymous apart from what files back. */
struct residency {
    size_t anonymous_bytes;
    size_t file_bytes;
};

/* From /proc/self/statm; zeros if that cannot be read.  Newer kernels count per CPU and may be wrong by some
 * 100 KiB. */
struct residency residency_now(void);

/* Both together. */
size_t resident_bytes(void);

/* Write to each page, as a program would that uses it. */
void touch_pages(void *run, size_t pages);

#endif
