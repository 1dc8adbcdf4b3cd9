/* SPDX-License-Identifier: MIT */
/* test_crowd.c -- far more threads than processors, far more heaps than threads, and heaps that end. */
#include <stdio.h>
#include <unistd.h>

#include "crew.h"
#include "heap/heap.h"
#include "map/meta.h"

#define THREADS 64u
#define STEPS   (20000u / CREW_SHARE)

typedef struct hand {
    pageheap **heaps;
    unsigned heap_count;
    unsigned steps;
    uint64_t seed;
} hand;

/* Random runs in random heaps; all are given back in the end. */
static void *work(void *of)
{
    hand *h = of;
    struct {
        pageheap *heap;
        void *run;
        size_t pages;
    } live[40] = { { NULL, NULL, 0 } };
    dice d = dice_from_seed(h->seed);
    for (unsigned step = 0; step < h->steps + 40; step++) {
        unsigned slot = step < h->steps ? (unsigned)dice_below(&d, 40) : step - h->steps;
        if (live[slot].run != NULL) {
            EXPECT(crew_is_intact(live[slot].run, live[slot].pages));
            EXPECT(pageheap_free(live[slot].heap, live[slot].run, live[slot].pages) == 0);
            live[slot].run = NULL;
        }
        if (step >= h->steps)
            continue;
        live[slot].heap = h->heaps[dice_below(&d, h->heap_count)];
        live[slot].pages = 1 + dice_below(&d, 20);
        live[slot].run = pageheap_alloc(live[slot].heap, live[slot].pages, 0);
        EXPECT(live[slot].run != NULL);
        if (live[slot].run != NULL)
            crew_fill(live[slot].run, live[slot].pages);
    }
    return NULL;
}

static void work_in(pageheap **heaps, unsigned heap_count, unsigned threads, unsigned steps)
{
    static hand hands[THREADS];
    dice d = dice_new();
    for (unsigned i = 0; i < threads; i++)
        hands[i] = (hand){ heaps, heap_count, steps, dice_next(&d) };
    crew_run(work, hands, sizeof hands[0], threads);
}

static void many_threads(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    work_in(&heap, 1, THREADS, STEPS);
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    assert_in_range(stats.threads, 1, THREADS);
    assert_int_equal(stats.cached_bytes, 0); /* threads that end keep nothing ready */
    crew_end(heap);
}

static void many_heaps(void **state)
{
    (void)state;
    enum { HEAPS = 1000 };
    static pageheap *heaps[HEAPS];
    crew_create_heaps(heaps, HEAPS);
    work_in(heaps, HEAPS, 8, STEPS);
    for (unsigned i = 0; i < HEAPS; i++)
        crew_end(heaps[i]);
}

/* More heaps than a thread's table of heaps began with, by far. */
static void one_thread_uses_very_many_heaps(void **state)
{
    (void)state;
    enum { HEAPS = 5000 };
    static pageheap *heaps[HEAPS];
    static void *runs[HEAPS];
    crew_create_heaps(heaps, HEAPS);
    for (unsigned i = 0; i < HEAPS; i++) {
        runs[i] = pageheap_alloc(heaps[i], 1, 0);
        if (runs[i] == NULL)
            fail_msg("heap number %u serves nothing", i);
    }
    for (unsigned i = 0; i < HEAPS; i++) {
        assert_int_equal(pageheap_free(heaps[i], runs[i], 1), 0);
        assert_int_equal(pageheap_destroy(heaps[i]), 0);
    }
}

/* Threads that used a heap live on after its end, and use the next one,
 * at the same address as like as not. */
typedef struct relay {
    _Atomic(pageheap *) heap;
    atomic_uint turn, finished;
    atomic_bool is_over;
} relay;

static void *use_each_heap(void *of)
{
    relay *r = *(relay **)of;
    for (unsigned turn = 1;; turn++) {
        for (unsigned round = 0; atomic_load(&r->turn) < turn; round++) {
            if (atomic_load(&r->is_over))
                return NULL;
            crew_wait(round);
        }
        pageheap *heap = atomic_load(&r->heap);
        void *run = pageheap_alloc(heap, 3, 0);
        EXPECT(run != NULL);
        for (unsigned pair = 0; pair < 100; pair++) { /* so that one is hot when the heap ends */
            EXPECT(pageheap_free(heap, run, 3) == 0);
            run = pageheap_alloc(heap, 3, 0);
        }
        if (run != NULL)
            crew_fill(run, 3);
        EXPECT(turn % 2 == 0 || pageheap_free(heap, run, 3) == 0); /* else destroy takes it */
        atomic_fetch_add(&r->finished, 1);
    }
}

static size_t resident_bytes(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &all, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void *use_and_end(void *of)
{
    pageheap *heap = *(pageheap **)of;
    EXPECT(pageheap_free(heap, pageheap_alloc(heap, 1, 0), 1) == 0);
    return NULL;
}

/* What a thread takes over from one that has ended comes home when its heap ends, and does not pile up. */
static void fronts_that_are_taken_over_do_not_pile_up(void **state)
{
    (void)state;
    size_t before_bytes = 0;
    for (unsigned turn = 1; turn <= 2000 / CREW_SHARE; turn++) {
        pageheap *heap = pageheap_create(NULL);
        assert_non_null(heap);
        crew_run(use_and_end, &heap, 0, 1);
        assert_int_equal(pageheap_free(heap, pageheap_alloc(heap, 1, 0), 1), 0);
        assert_int_equal(pageheap_destroy(heap), 0);
        if (turn == 100)
            before_bytes = resident_bytes();
    }
    if (CREW_SHARE == 1)
        assert_in_range(resident_bytes(), 0, before_bytes + (4 << 20));
}

/* A thread uses a heap, then others until its table is made anew, and ends, all while the first heap is being
 * destroyed: its front of that heap must not go to a home that is no more, and the home goes with it. */
#define MORE_HEAPS 12u
#define HOME_BYTES PH_LINE_BYTES /* the arena's smallest record */

static struct {
    pageheap *first, *more[MORE_HEAPS];
    struct ph_home *home;
    int (*real_unmap)(void *base, size_t bytes);
    atomic_uint step; /* 1: the heap is used; 2: its end has begun; 3: the thread has ended */
} farewell;

static void farewell_await(unsigned step)
{
    for (unsigned round = 0; atomic_load(&farewell.step) < step; round++)
        crew_wait(round);
}

static int unmap_slowly(void *base, size_t bytes)
{
    unsigned used = 1;
    if (atomic_compare_exchange_strong(&farewell.step, &used, 2))
        farewell_await(3);
    return farewell.real_unmap(base, bytes);
}

static void *use_many_and_end(void *of)
{
    (void)use_and_end(&farewell.first);
    farewell.home = ph_front_mine(farewell.first)->home;
    atomic_store(&farewell.step, 1);
    farewell_await(2);
    for (unsigned i = 0; i < MORE_HEAPS; i++)
        (void)use_and_end(&farewell.more[i]);
    return of;
}

static void *destroy_first(void *of)
{
    EXPECT(pageheap_destroy(farewell.first) == 0);
    return of;
}

/* The record that was freed last is the next one to be had. */
static bool home_is_freed(void)
{
    void *record = ph_meta_alloc(HOME_BYTES);
    bool is_it = record == farewell.home;
    ph_meta_free(record, HOME_BYTES);
    return is_it;
}

static void a_thread_ends_while_its_heap_does(void **state)
{
    (void)state;
    pthread_t user, destroyer;
    farewell.first = pageheap_create(NULL);
    crew_create_heaps(farewell.more, MORE_HEAPS);
    farewell.real_unmap = ph_os.unmap;
    assert_int_equal(pthread_create(&user, NULL, use_many_and_end, NULL), 0);
    farewell_await(1);
    ph_os.unmap = unmap_slowly;
    assert_int_equal(pthread_create(&destroyer, NULL, destroy_first, NULL), 0);
    assert_int_equal(pthread_join(user, NULL), 0);
    assert_false(home_is_freed());
    atomic_store(&farewell.step, 3);
    assert_int_equal(pthread_join(destroyer, NULL), 0);
    assert_true(home_is_freed());
    ph_os.unmap = farewell.real_unmap;
    for (unsigned i = 0; i < MORE_HEAPS; i++)
        crew_end(farewell.more[i]);
}

/* A front that served two heaps stands twice in its thread's table.  That thread ends, has left the front,
 * and is held up; another thread takes the front over, and it must stay that one's. */
static struct {
    pageheap *first, *second, *third, *heirs;
    ph_front *front;
    int (*real_barrier)(void);
    _Atomic unsigned step;
} legacy;

static void legacy_await(unsigned step)
{
    for (unsigned round = 0; atomic_load(&legacy.step) < step; round++)
        crew_wait(round);
}

static void *serve_two_heaps(void *of)
{
    (void)use_and_end(&legacy.first);
    atomic_store(&legacy.step, 1);
    legacy_await(2); /* the first heap is gone */
    (void)use_and_end(&legacy.second);
    (void)use_and_end(&legacy.third);
    legacy.front = ph_front_mine(legacy.second);
    atomic_store(&legacy.step, 3);
    legacy_await(4); /* the front of the third heap is held */
    return of;
}

static void *take_over(void *of)
{
    (void)use_and_end(&legacy.heirs);
    legacy_await(4);
    for (unsigned round = 0; ph_load_relaxed(&legacy.front->has_owner) != 0; round++)
        crew_wait(round);
    (void)use_and_end(&legacy.second);
    EXPECT(ph_front_mine(legacy.second) == legacy.front);
    atomic_store(&legacy.step, 5);
    legacy_await(6);
    EXPECT(legacy.front->home != NULL);
    return of;
}

static int hold_until_taken_over(void)
{
    unsigned ready = 3;
    if (atomic_compare_exchange_strong(&legacy.step, &ready, 4))
        legacy_await(5);
    return legacy.real_barrier();
}

static void *trim_third(void *of)
{
    pageheap_trim(legacy.third, 0);
    return of;
}

/* The one in whose table the two that come after it stand before it. */
static pageheap *create_last_in_table(void)
{
    for (unsigned i = 0; i < 16; i++) {
        pageheap *heap = pageheap_create(NULL);
        assert_non_null(heap);
        if (ph_load_relaxed(&heap->id) % 16 == 15)
            return heap;
        assert_int_equal(pageheap_destroy(heap), 0);
    }
    return NULL;
}

static void a_front_of_two_heaps_is_its_new_threads(void **state)
{
    (void)state;
    pthread_t server, heir, trimmer;
    if (!ph_os_facts_now.has_barrier)
        skip();
    legacy.heirs = pageheap_create(NULL);
    legacy.first = create_last_in_table();
    assert_non_null(legacy.first);
    assert_int_equal(pthread_create(&server, NULL, serve_two_heaps, NULL), 0);
    legacy_await(1);
    assert_int_equal(pageheap_destroy(legacy.first), 0);
    legacy.second = pageheap_create(NULL);
    legacy.third = pageheap_create(NULL);
    atomic_store(&legacy.step, 2);
    legacy_await(3);
    legacy.real_barrier = ph_os.barrier;
    ph_os.barrier = hold_until_taken_over;
    assert_int_equal(pthread_create(&heir, NULL, take_over, NULL), 0);
    assert_int_equal(pthread_create(&trimmer, NULL, trim_third, NULL), 0);
    assert_int_equal(pthread_join(server, NULL), 0);
    atomic_store(&legacy.step, 6);
    assert_int_equal(pthread_join(heir, NULL), 0);
    assert_int_equal(pthread_join(trimmer, NULL), 0);
    ph_os.barrier = legacy.real_barrier;
    crew_end(legacy.second);
    crew_end(legacy.third);
    crew_end(legacy.heirs);
}

static void heaps_end_before_their_threads(void **state)
{
    (void)state;
    static relay r;
    size_t before_bytes = 0;
    relay *same[4] = { &r, &r, &r, &r };
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_each_heap, &same[i]), 0);
    for (unsigned turn = 1; turn <= 1000 / CREW_SHARE; turn++) {
        pageheap *heap = pageheap_create(NULL);
        assert_non_null(heap);
        atomic_store(&r.heap, heap);
        atomic_store(&r.finished, 0);
        atomic_store(&r.turn, turn);
        for (unsigned round = 0; atomic_load(&r.finished) < 4; round++)
            crew_wait(round);
        assert_int_equal(pageheap_check(heap), 0);
        assert_int_equal(pageheap_destroy(heap), 0);
        if (turn == 10)
            before_bytes = resident_bytes();
    }
    if (CREW_SHARE == 1) /* what the threads had of a heap that is gone serves the next one */
        assert_in_range(resident_bytes(), 0, before_bytes + (2 << 20));
    atomic_store(&r.is_over, true);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heaps_end_before_their_threads), /* the first two look at what the process takes */
        cmocka_unit_test(fronts_that_are_taken_over_do_not_pile_up),
        cmocka_unit_test(a_thread_ends_while_its_heap_does),
        cmocka_unit_test(a_front_of_two_heaps_is_its_new_threads),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(many_heaps),
        cmocka_unit_test(one_thread_uses_very_many_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
