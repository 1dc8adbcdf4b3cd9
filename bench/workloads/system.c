/* SPDX-License-Identifier: MIT */
/* system.c -- what the system sees of a heap: calls, mappings, the cost of one that is empty. */
#include "../harness.h"
#include "../mappings.h"
#include "../peers/peers_all.h"
#include "../syscount.h"
#include "../workload.h"

#include <math.h>

/* ---- system calls in a hot loop --------------------------------------------------------- */

#define WARM_PAIRS          8
#define COUNTED_PAIRS       16
#define EVERY_SIZE_TO_PAGES 512
#define THEN_STEP_PAGES     7

static bool run_pairs(const struct peer *peer, size_t pages, size_t pairs)
{
    for (size_t i = 0; i < pairs; i++) {
        void *run = peer->alloc(pages);

        if (run == NULL)
            return false;
        peer->release(run, pages);
    }
    return true;
}

static size_t next_size(size_t pages, size_t pages_max)
{
    size_t next = pages < EVERY_SIZE_TO_PAGES ? pages + 1 : pages + THEN_STEP_PAGES;

    return next > pages_max && pages < pages_max ? pages_max : next;
}

/* System calls per pair of alloc and free, of the size for which they are most. */
int workload_system_calls(const struct workload_run *run, double *ret_values)
{
    size_t pages_max = run->workload->pages_max;
    double most = 0;

    if (syscount_start() != 0) {
        ret_values[0] = NAN;
        return 0;
    }
    for (size_t pages = 1; pages <= pages_max; pages = next_size(pages, pages_max)) {
        uint64_t before_calls;

        if (!run_pairs(run->peer, pages, WARM_PAIRS))
            return -1;
        before_calls = syscount_now();
        if (!run_pairs(run->peer, pages, COUNTED_PAIRS))
            return -1;
        most = fmax(most, (double)(syscount_now() - before_calls) / COUNTED_PAIRS);
    }
    syscount_stop();
    ret_values[0] = most;
    return 0;
}

/* ---- mappings ---------------------------------------------------------------------------- */

#define MIXED_OPS               1000000
#define LARGE_EVERY             128 /* one operation in so many is of up to pages_max pages */
#define SMALL_PAGES_MAX         64
#define ALLOWED_MAPPINGS        8
#define ALLOWED_PER_RESERVATION 2

/* Mappings that a million mixed operations left behind, over how many are allowed. */
int workload_mappings(const struct workload_run *run, double *ret_values)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    struct rng rng = rng_seeded(run->seed);
    struct live_table table;
    size_t before;
    size_t after;

    if (live_table_create(&table, run->peer, run->workload->live_runs) != 0)
        return -1;
    before = mappings_count();
    if (!live_table_fill(&table, &rng, table.capacity, SMALL_PAGES_MAX))
        return -1;
    for (size_t i = 0; i < MIXED_OPS; i++) {
        size_t pages_max = rng_below(&rng, LARGE_EVERY) == 0 ? run->workload->pages_max : SMALL_PAGES_MAX;

        live_table_drop(&table, rng_below(&rng, table.count));
        if (!live_table_add(&table, rng_between(&rng, 1, pages_max)))
            return -1;
    }
    after = mappings_count();
    if (pageheap_get_stats(peer_pageheap_heap(), &stats) != 0)
        return -1;
    ret_values[0] =
        (double)(after - before) / (double)(ALLOWED_MAPPINGS + ALLOWED_PER_RESERVATION * stats.reservations);
    return 0;
}

/* ---- an empty heap ----------------------------------------------------------------------- */

#define HEAPS 256

static size_t step_create(void *state, size_t ops)
{
    (void)state;
    for (size_t i = 0; i < ops; i++) {
        pageheap *heap = pageheap_create(NULL);

        if (heap == NULL || pageheap_destroy(heap) != 0)
            return 0;
    }
    return ops;
}

/* Microseconds to create and destroy one; KiB of RAM that one holds. */
int workload_empty_heap(const struct workload_run *run, double *ret_values)
{
    static pageheap *heaps[HEAPS];
    size_t base_bytes = resident_bytes();
    size_t full_bytes;

    for (size_t i = 0; i < HEAPS; i++) {
        heaps[i] = pageheap_create(NULL);
        if (heaps[i] == NULL)
            return -1;
    }
    full_bytes = resident_bytes();
    for (size_t i = 0; i < HEAPS; i++)
        pageheap_destroy(heaps[i]);
    ret_values[0] = measure_ns_per_op(step_create, NULL, run->budget_ns, 0) / 1000;
    ret_values[1] = (double)(full_bytes - base_bytes) / 1024 / HEAPS;
    return isnan(ret_values[0]) ? -1 : 0;
}
