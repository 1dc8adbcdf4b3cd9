/* SPDX-License-Identifier: MIT */
/* resident.c -- resident memory over live memory: while sizes shift, and after most of the memory was freed.
 *
 * All runs are touched.  What the process held before its first allocation is taken off.
 */
#include "../harness.h"
#include "../workload.h"

#include <math.h>

#define MIB           ((size_t)1 << 20)
#define PAGES_PER_MIB (MIB / PEER_PAGE_BYTES)

struct resident {
    struct live_table table;
    struct rng rng;
    size_t base_bytes;
    size_t peak_bytes; /* most resident, without the base */
    size_t peak_pages; /* most live */
};

static int start(struct resident *resident, const struct workload_run *run, size_t capacity)
{
    *resident = (struct resident){ .rng = rng_seeded(run->seed) };
    if (live_table_create(&resident->table, run->peer, capacity) != 0)
        return -1;
    resident->base_bytes = resident_bytes();
    return resident->base_bytes != 0 ? 0 : -1;
}

static size_t sample(struct resident *resident)
{
    size_t now_bytes = resident_bytes();

    now_bytes = now_bytes > resident->base_bytes ? now_bytes - resident->base_bytes : 0;
    if (now_bytes > resident->peak_bytes)
        resident->peak_bytes = now_bytes;
    if (resident->table.pages > resident->peak_pages)
        resident->peak_pages = resident->table.pages;
    return now_bytes;
}

static double over_live(struct resident *resident)
{
    return (double)sample(resident) / (double)(resident->table.pages * PEER_PAGE_BYTES);
}

static bool add_touched(struct resident *resident, size_t pages)
{
    if (!live_table_add(&resident->table, pages))
        return false;
    touch_pages(resident->table.runs[resident->table.count - 1].run, pages);
    return true;
}

static void drop_random(struct resident *resident)
{
    live_table_drop(&resident->table, rng_below(&resident->rng, resident->table.count));
}

/* ---- shifting sizes ---------------------------------------------------------------------- */

#define SHIFT_LIVE_PAGES (256 * PAGES_PER_MIB)
#define SAMPLE_PAGES     (4 * PAGES_PER_MIB)

/* Sizes uniform in [low, high] pages. */
struct phase {
    size_t low_pages;
    size_t high_pages;
};

/* Take runs of this phase's sizes, as much as `volume_pages` in all, and keep the live volume where it is by
 * freeing random runs of any age. */
static bool run_phase(struct resident *resident, const struct phase *phase, size_t volume_pages)
{
    size_t added_pages = 0;
    size_t sampled_pages = 0;

    while (added_pages < volume_pages) {
        size_t pages = rng_between(&resident->rng, phase->low_pages, phase->high_pages);

        while (resident->table.pages + pages > SHIFT_LIVE_PAGES)
            drop_random(resident);
        if (!add_touched(resident, pages))
            return false;
        added_pages += pages;
        if (added_pages - sampled_pages >= SAMPLE_PAGES) {
            sample(resident);
            sampled_pages = added_pages;
        }
    }
    sample(resident);
    return true;
}

static int run_phases(const struct workload_run *run, const struct phase *phases, size_t phases_count,
                      size_t volume_pages, double *ret_peak_over_live)
{
    struct resident resident;

    if (start(&resident, run, SHIFT_LIVE_PAGES) != 0 || !run_phase(&resident, &phases[0], SHIFT_LIVE_PAGES))
        return -1;
    for (size_t i = 0; i < phases_count; i++) {
        if (!run_phase(&resident, &phases[i], volume_pages))
            return -1;
    }
    *ret_peak_over_live = (double)resident.peak_bytes / (double)(resident.peak_pages * PEER_PAGE_BYTES);
    return 0;
}

/* Small runs come and go: half of the live volume is replaced in each phase. */
int workload_shifting(const struct workload_run *run, double *ret_values)
{
    static const struct phase phases[] = {
        { 1, 31 }, { 8, 31 }, { 16, 31 }, { 8, 31 }, { 1, 31 }, { 8, 31 }, { 16, 31 }, { 8, 31 },
    };

    return run_phases(run, phases, sizeof phases / sizeof phases[0], SHIFT_LIVE_PAGES / 2, &ret_values[0]);
}

/* Each phase unlike the one before, up to the size of a block; a fifth of the older runs outlives each. */
int workload_leaping(const struct workload_run *run, double *ret_values)
{
    static const struct phase phases[] = {
        { 1, 4 }, { 8, 31 }, { 2, 6 }, { 32, 128 }, { 1, 31 }, { 128, 512 }, { 1, 1 }, { 16, 64 },
    };

    return run_phases(run, phases, sizeof phases / sizeof phases[0], SHIFT_LIVE_PAGES / 2 * 3,
                      &ret_values[0]);
}

/* ---- after most of the memory was freed -------------------------------------------------- */

#define KEPT_TENTHS        1
#define ACTIVE_NS          (1200 * NS_PER_MS)
#define ACTIVITY_RUNS      4 /* per millisecond */
#define ACTIVITY_PAGES_MAX 31
#define IDLE_EVERY_MS      10

/* A program that goes on with little to do: each millisecond it frees the few runs of the last one and
 * allocates a few new ones, and now and then it says that it is idle.  Returns the most resident memory over
 * live memory in that time; NaN if memory ran out. */
static double stay_active(struct resident *resident, uint64_t duration_ns)
{
    const struct peer *peer = resident->table.peer;
    uint64_t end_ns = clock_now_ns() + duration_ns;
    size_t kept_runs = resident->table.count;
    double most = 0;
    unsigned ms = 0;

    while (clock_now_ns() < end_ns) {
        while (resident->table.count > kept_runs)
            live_table_drop(&resident->table, resident->table.count - 1);
        for (size_t i = 0; i < ACTIVITY_RUNS; i++) {
            if (!add_touched(resident, rng_between(&resident->rng, 1, ACTIVITY_PAGES_MAX)))
                return NAN;
        }
        if (++ms % IDLE_EVERY_MS == 0) {
            if (peer->idle != NULL)
                peer->idle();
            most = fmax(most, over_live(resident));
        }
        clock_sleep_ns(NS_PER_MS);
    }
    return most;
}

static int fill_and_free(struct resident *resident, const struct workload_run *run, size_t live_mib)
{
    size_t live_pages = live_mib * PAGES_PER_MIB;
    size_t kept_pages;

    if (start(resident, run, live_pages) != 0)
        return -1;
    while (resident->table.pages < live_pages) {
        if (!add_touched(resident, rng_between(&resident->rng, 1, run->workload->pages_max)))
            return -1;
    }
    kept_pages = resident->table.pages / 10 * KEPT_TENTHS;
    while (resident->table.pages > kept_pages)
        drop_random(resident);
    return 0;
}

static double trim_and_measure(struct resident *resident)
{
    const struct peer *peer = resident->table.peer;

    if (peer->trim != NULL)
        peer->trim();
    return over_live(resident);
}

int workload_after_free(const struct workload_run *run, double *ret_values)
{
    struct resident resident;

    if (fill_and_free(&resident, run, 512) != 0 || isnan(stay_active(&resident, ACTIVE_NS)))
        return -1;
    ret_values[0] = over_live(&resident);
    ret_values[1] = trim_and_measure(&resident);
    return 0;
}

int workload_after_free_long(const struct workload_run *run, double *ret_values)
{
    struct resident resident;

    if (fill_and_free(&resident, run, 4096) != 0 || isnan(stay_active(&resident, ACTIVE_NS)))
        return -1;
    ret_values[0] = over_live(&resident);
    ret_values[1] = trim_and_measure(&resident);
    ret_values[2] = stay_active(&resident, 60 * NS_PER_SECOND);
    return isnan(ret_values[2]) ? -1 : 0;
}
