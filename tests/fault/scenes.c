/* SPDX-License-Identifier: MIT */
/* scenes.c -- see scenes.h. */
#include "scenes.h"

#include <pthread.h>

#include "fake_os.h"

#define SMALL_REGION (UINT64_C(2) << 20)
#define GIB          (UINT64_C(1) << 30)

static void open_plain(stage *s)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    stage_open(s, &options);
}

/* Regions of one block: every block that is needed is a reservation. */
static void open_cramped(stage *s)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserve_bytes = SMALL_REGION;
    stage_open(s, &options);
}

static void first_alloc(stage *s)
{
    open_plain(s);
    stage_alloc(s, 1, 0);
    stage_alloc(s, 1, PAGEHEAP_ZERO);
}

static void growth_by_regions(stage *s)
{
    open_cramped(s);
    for (unsigned i = 0; i < 4; i++)
        stage_alloc(s, 300, PAGEHEAP_ZERO);
    for (unsigned i = 0; i < 20; i++)
        stage_alloc(s, 31, 0);
}

static void growth_in_a_region(stage *s)
{
    open_plain(s);
    for (unsigned i = 0; i < 6; i++)
        stage_alloc(s, 512, 0);
}

static void large_runs(stage *s)
{
    open_plain(s);
    int first = stage_alloc(s, 1536, PAGEHEAP_ZERO);
    stage_alloc(s, 513, 0);
    if (first >= 0)
        stage_free(s, (unsigned)first);
    stage_alloc(s, 1536, PAGEHEAP_ZERO);
    stage_alloc(s, 1000, PAGEHEAP_ZERO);
}

static void large_runs_in_small_regions(stage *s)
{
    open_cramped(s);
    stage_alloc(s, 1536, PAGEHEAP_ZERO);
    stage_alloc(s, 700, 0);
    stage_free_some(s, 1);
    if (s->heap != NULL)
        pageheap_trim(s->heap, 0);
    stage_alloc(s, 1536, PAGEHEAP_ZERO);
}

static void huge_runs(stage *s)
{
    open_plain(s);
    size_t pages = s->heap == NULL ? 1 : GIB / s->page_bytes + 1;
    int first = stage_alloc(s, pages, PAGEHEAP_ZERO);
    if (first >= 0)
        stage_free(s, (unsigned)first);
    stage_alloc(s, pages, 0);
    stage_alloc(s, 3, 0);
}

static void aligned_runs(stage *s)
{
    open_plain(s);
    stage_alloc_aligned(s, 1, GIB, PAGEHEAP_ZERO);
    stage_alloc_aligned(s, 5, 64 << 20, 0);
    stage_alloc_aligned(s, 9, 65536, PAGEHEAP_ZERO);
    stage_free_some(s, 2);
    stage_alloc_aligned(s, 600, 8 << 20, PAGEHEAP_ZERO);
}

static void guarded_runs(stage *s)
{
    open_plain(s);
    stage_alloc(s, 3, PAGEHEAP_GUARD);
    stage_alloc(s, 3, PAGEHEAP_GUARD | PAGEHEAP_ZERO);
    stage_alloc_aligned(s, 2, 65536, PAGEHEAP_GUARD);
    stage_free_some(s, 2);
    stage_alloc(s, 8, PAGEHEAP_GUARD | PAGEHEAP_ZERO);
    stage_alloc(s, 600, PAGEHEAP_GUARD);
}

static void locked_runs(stage *s)
{
    open_plain(s);
    stage_alloc(s, 4, PAGEHEAP_LOCKED | PAGEHEAP_ZERO);
    stage_alloc(s, 4, PAGEHEAP_NODUMP);
    stage_alloc(s, 2, PAGEHEAP_LOCKED | PAGEHEAP_NODUMP | PAGEHEAP_GUARD);
    stage_free_some(s, 2);
    if (s->heap != NULL)
        pageheap_trim(s->heap, 0);
    stage_alloc(s, 4, PAGEHEAP_LOCKED | PAGEHEAP_ZERO);
    stage_alloc(s, 513, PAGEHEAP_LOCKED | PAGEHEAP_NODUMP);
}

static void tagged_runs(stage *s)
{
    open_plain(s);
    stage_alloc_tagged(s, 4, PAGEHEAP_ZERO, "four");
    stage_alloc_tagged(s, 1200, 0, "long");
    stage_free_some(s, 1);
    stage_alloc_tagged(s, 4, PAGEHEAP_ZERO, "four");
}

static void resizes(stage *s)
{
    open_cramped(s);
    stage_alloc(s, 10, 0);
    stage_alloc(s, 10, 0);
    stage_resize(s, 0, 30, PAGEHEAP_MAYMOVE | PAGEHEAP_ZERO);
    stage_resize(s, 0, 500, PAGEHEAP_MAYMOVE | PAGEHEAP_ZERO);
    stage_resize(s, 0, 2000, PAGEHEAP_MAYMOVE | PAGEHEAP_ZERO);
    stage_resize(s, 1, 3, 0);
    stage_resize(s, 0, 20, PAGEHEAP_MAYMOVE);
}

static void discards(stage *s)
{
    open_plain(s);
    stage_alloc(s, 20, 0);
    stage_alloc(s, 520, 0);
    stage_discard(s, 0, 3, 10);
    stage_discard(s, 1, 100, 400);
    stage_discard(s, 0, 0, 1);
}

static void populated_runs(stage *s)
{
    open_plain(s);
    stage_alloc(s, 20, PAGEHEAP_POPULATE);
    stage_alloc(s, 513, PAGEHEAP_POPULATE | PAGEHEAP_ZERO);
    stage_free_some(s, 2);
    stage_alloc(s, 20, PAGEHEAP_POPULATE | PAGEHEAP_ZERO);
}

static void trim_of_whole_blocks(stage *s)
{
    open_cramped(s);
    for (unsigned i = 0; i < 5; i++)
        stage_alloc(s, 400, 0);
    stage_free_some(s, 1);
    if (s->heap != NULL)
        pageheap_trim(s->heap, 0);
    stage_alloc(s, 400, PAGEHEAP_ZERO);
    stage_alloc(s, 400, PAGEHEAP_ZERO);
}

static void trim_of_holes(stage *s)
{
    open_plain(s);
    for (unsigned i = 0; i < 16; i++)
        stage_alloc(s, 1 + i, 0);
    stage_free_some(s, 2);
    if (s->heap != NULL)
        pageheap_trim(s->heap, 4096);
    for (unsigned i = 0; i < 6; i++)
        stage_alloc(s, 1 + 2 * i, PAGEHEAP_ZERO);
    stage_free_some(s, 3);
    if (s->heap != NULL)
        pageheap_trim(s->heap, 0);
    stage_alloc(s, 40, PAGEHEAP_ZERO);
}

static void purge_by_age(stage *s)
{
    open_plain(s);
    for (unsigned i = 0; i < 12; i++)
        stage_alloc(s, 200, 0);
    stage_alloc(s, 1100, 0);
    stage_free_some(s, 2);
    for (unsigned i = 0; i < 8 && s->heap != NULL; i++) {
        fake_os_turn_clock(400);
        REQUIRE(pageheap_tick(s->heap) == 0);
        stage_alloc(s, 150 + i, PAGEHEAP_ZERO);
    }
}

static void purge_at_once(stage *s)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.decay_ms = PAGEHEAP_AT_ONCE;
    options.retain_bytes = 4096;
    options.reserve_bytes = SMALL_REGION;
    stage_open(s, &options);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++)
            stage_alloc(s, 180, PAGEHEAP_ZERO);
        stage_free_some(s, 2);
        fake_os_turn_clock(1);
        if (s->heap != NULL)
            REQUIRE(pageheap_tick(s->heap) == 0);
    }
}

static void huge_page_advice(stage *s)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.huge_pages = PAGEHEAP_HUGE_NEVER;
    options.reserve_bytes = SMALL_REGION;
    stage_open(s, &options);
    stage_alloc(s, 5, PAGEHEAP_ZERO);
    stage_alloc(s, 511, 0);
}

static void limited_heap(stage *s)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.limit_bytes = UINT64_C(700) * 4096;
    stage_open(s, &options);
    for (unsigned i = 0; i < 4; i++)
        stage_alloc(s, 200, 0); /* the last one is one too many */
    REQUIRE(s->heap == NULL || s->count <= 3);
    stage_free_some(s, 2);
    stage_alloc(s, 300, PAGEHEAP_ZERO);
    stage_alloc(s, 600, 0);
    REQUIRE(s->count <= 2);
}

static void many_at_once(stage *s)
{
    open_cramped(s);
    stage_alloc_many(s, 7, PAGEHEAP_ZERO, 60);
    stage_alloc_many(s, 100, 0, 12);
    stage_free_some(s, 3);
    stage_alloc_many(s, 7, PAGEHEAP_ZERO, 20);
}

static void splits(stage *s)
{
    open_plain(s);
    stage_alloc(s, 30, 0);
    stage_alloc(s, 2, 0);
    stage_split_and_join(s, 0);
    stage_split_and_join(s, 1);
}

/* ---- threads: one after the other, so that the calls come in the same order each time ---- */

static void *alloc_in_thread(void *stage_of)
{
    stage *s = stage_of;
    stage_alloc(s, 5, PAGEHEAP_ZERO);
    stage_alloc(s, 100, 0);
    stage_alloc(s, 600, 0);
    return NULL;
}

static void *free_in_thread(void *stage_of)
{
    stage_free_some(stage_of, 2);
    return NULL;
}

static void run_thread(stage *s, void *(*work)(void *))
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, work, s) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static void new_threads(stage *s)
{
    open_plain(s);
    for (unsigned i = 0; i < 3; i++)
        run_thread(s, alloc_in_thread);
}

static void alloc_blocks(stage *s)
{
    for (unsigned i = 0; i < 6; i++)
        stage_alloc(s, 512, 0);
}

struct neighbour {
    stage *s;
    pthread_barrier_t gate;
};

static void *alloc_blocks_and_stay(void *of)
{
    struct neighbour *n = of;
    alloc_blocks(n->s);
    pthread_barrier_wait(&n->gate); /* the other thread's turn */
    pthread_barrier_wait(&n->gate);
    return NULL;
}

/* Growing leaves room for other threads' blocks: that is refused too. */
static void threads_apart(stage *s)
{
    pthread_t thread;
    struct neighbour neighbour = { .s = s };
    open_plain(s);
    alloc_blocks(s);
    REQUIRE(pthread_barrier_init(&neighbour.gate, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, alloc_blocks_and_stay, &neighbour) == 0);
    pthread_barrier_wait(&neighbour.gate);
    alloc_blocks(s);
    stage_free_some(s, 2);
    alloc_blocks(s);
    pthread_barrier_wait(&neighbour.gate);
    REQUIRE(pthread_join(thread, NULL) == 0);
    pthread_barrier_destroy(&neighbour.gate);
}

static void hand_off(stage *s)
{
    open_cramped(s);
    for (unsigned i = 0; i < 8; i++)
        stage_alloc(s, 1 + 40 * i, 0);
    run_thread(s, free_in_thread);
    stage_alloc(s, 9, PAGEHEAP_ZERO);
    run_thread(s, alloc_in_thread);
    stage_free_some(s, 2);
    stage_alloc(s, 120, PAGEHEAP_ZERO);
}

/* The owner is no more: its blocks serve and are purged all the same. */
static void orphaned_blocks(stage *s)
{
    open_plain(s);
    run_thread(s, alloc_in_thread);
    run_thread(s, alloc_in_thread);
    stage_free_some(s, 2);
    if (s->heap != NULL)
        pageheap_trim(s->heap, 0);
    stage_alloc(s, 100, PAGEHEAP_ZERO);
}

/* Freed and refilled until refills fetch many runs and records are asked for. */
static void deep_caches(stage *s)
{
    open_plain(s);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 40; i++)
            stage_alloc(s, 1 + i % 3, round % 2 ? PAGEHEAP_ZERO : 0);
        if (round < 4)
            stage_free_some(s, 1);
    }
}

static void several_heaps(stage *s)
{
    open_plain(s);
    stage_alloc(s, 3, 0);
    for (unsigned i = 0; i < 3; i++) {
        stage other;
        open_cramped(&other);
        stage_alloc(&other, 3, PAGEHEAP_ZERO);
        stage_alloc(&other, 600, 0);
        if (other.heap != NULL)
            REQUIRE(pageheap_destroy(other.heap) == 0);
    }
    s->has_lost_heap = fake_os_faults_of(FAKE_UNMAP) != 0 && fake_os_faults_of(FAKE_ADVISE) != 0;
    stage_alloc(s, 3, PAGEHEAP_ZERO);
}

const scene scenes[] = {
    { "first alloc", first_alloc },
    { "growth by regions", growth_by_regions },
    { "growth in a region", growth_in_a_region },
    { "large runs", large_runs },
    { "large runs in small regions", large_runs_in_small_regions },
    { "huge runs", huge_runs },
    { "aligned runs", aligned_runs },
    { "guarded runs", guarded_runs },
    { "locked runs", locked_runs },
    { "tagged runs", tagged_runs },
    { "resizes", resizes },
    { "discards", discards },
    { "populated runs", populated_runs },
    { "trim of whole blocks", trim_of_whole_blocks },
    { "trim of holes", trim_of_holes },
    { "purge by age", purge_by_age },
    { "purge at once", purge_at_once },
    { "huge page advice", huge_page_advice },
    { "limited heap", limited_heap },
    { "many at once", many_at_once },
    { "splits", splits },
    { "new threads", new_threads },
    { "threads apart", threads_apart },
    { "hand-off", hand_off },
    { "orphaned blocks", orphaned_blocks },
    { "deep caches", deep_caches },
    { "several heaps", several_heaps },
};
const unsigned scene_count = sizeof scenes / sizeof scenes[0];
