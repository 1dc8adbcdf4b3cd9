/* SPDX-License-Identifier: MIT */
/* test_ends.c -- a thread that ends waits for those who are in its fronts, and nobody waits with it but who
 * destroys that heap; and what its end costs depends on the heaps it used, not on all there are.
 */
#include "crew.h"
#include "heap/heap.h"

#define PATIENCE_MS 5000
#define MOMENT_MS   50

static bool comes_true(atomic_bool *fact)
{
    uint64_t until_ms = crew_now_ms() + PATIENCE_MS;
    for (unsigned round = 0; !atomic_load(fact) && crew_now_ms() < until_ms; round++)
        crew_wait(round);
    return atomic_load(fact);
}

/* ---- one that ends, and one that begins ------------------------------------------------ */

static struct {
    pageheap *heap, *other;
    atomic_bool has_used, may_end, is_done;
} play;

static void *use_and_end(void *of)
{
    EXPECT(pageheap_free(play.heap, pageheap_alloc(play.heap, 1, 0), 1) == 0);
    atomic_store(&play.has_used, true);
    EXPECT(comes_true(&play.may_end));
    return of;
}

/* The front of a thread that waits for it, at its end, because we hold it. */
static ph_front *hold_one_that_ends(pthread_t *ret_thread)
{
    play.heap = pageheap_create(NULL);
    assert_non_null(play.heap);
    atomic_store(&crew_wrongs, 0);
    atomic_store(&play.has_used, false);
    atomic_store(&play.may_end, false);
    atomic_store(&play.is_done, false);
    assert_int_equal(pthread_create(ret_thread, NULL, use_and_end, NULL), 0);
    assert_true(comes_true(&play.has_used));
    ph_front *front = ph_load_acquire(&play.heap->fronts);
    ph_front_lock(front);
    atomic_store(&play.may_end, true);
    for (unsigned round = 0; ph_load_relaxed(&front->lock.state) != 2; round++) /* somebody sleeps there */
        crew_wait(round);
    return front;
}

static void *begin(void *of)
{
    EXPECT(pageheap_free(play.other, pageheap_alloc(play.other, 1, 0), 1) == 0);
    EXPECT(pageheap_destroy(pageheap_create(NULL)) == 0);
    atomic_store(&play.is_done, true);
    return of;
}

static void others_do_not_wait_with_it(void **state)
{
    (void)state;
    pthread_t ends, begins;
    play.other = pageheap_create(NULL);
    assert_non_null(play.other);
    ph_front *front = hold_one_that_ends(&ends);
    assert_int_equal(pthread_create(&begins, NULL, begin, NULL), 0);
    bool is_done = comes_true(&play.is_done);
    ph_front_unlock(front);
    pthread_join(begins, NULL);
    pthread_join(ends, NULL);
    assert_true(is_done);
    crew_end(play.heap);
    crew_end(play.other);
}

static void *destroy(void *of)
{
    EXPECT(pageheap_destroy(play.heap) == 0);
    atomic_store(&play.is_done, true);
    return of;
}

static void its_heap_waits_for_it(void **state)
{
    (void)state;
    pthread_t ends, destroys;
    ph_front *front = hold_one_that_ends(&ends);
    assert_int_equal(pthread_create(&destroys, NULL, destroy, NULL), 0);
    nanosleep(&(struct timespec){ 0, MOMENT_MS * 1000000L }, NULL);
    bool has_waited = !atomic_load(&play.is_done);
    ph_front_unlock(front);
    pthread_join(destroys, NULL);
    pthread_join(ends, NULL);
    assert_true(has_waited);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

/* ---- one that looks for a run -------------------------------------------------------------- */

static void *find_it(void *run)
{
    pageheap_run found;
    (void)pageheap_find(run, &found); /* nobody keeps it alive: any answer will do */
    return NULL;
}

/* Runs with guards are looked for with a lock of their heap, which we hold. */
static void its_heap_waits_for_who_looks(void **state)
{
    (void)state;
    pthread_t finds, destroys;
    play.heap = pageheap_create(NULL);
    assert_non_null(play.heap);
    void *run = pageheap_alloc(play.heap, 1, PAGEHEAP_GUARD);
    assert_non_null(run);
    atomic_store(&crew_wrongs, 0);
    atomic_store(&play.is_done, false);
    ph_mutex_lock(&play.heap->attributes.lock);
    assert_int_equal(pthread_create(&finds, NULL, find_it, run), 0);
    for (unsigned round = 0; ph_load_relaxed(&play.heap->attributes.lock.state) != 2; round++)
        crew_wait(round);
    assert_int_equal(pthread_create(&destroys, NULL, destroy, NULL), 0);
    nanosleep(&(struct timespec){ 0, MOMENT_MS * 1000000L }, NULL);
    bool has_waited = !atomic_load(&play.is_done);
    ph_mutex_unlock(&play.heap->attributes.lock);
    pthread_join(finds, NULL);
    pthread_join(destroys, NULL);
    assert_true(has_waited);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

/* ---- one of many heaps ----------------------------------------------------------------- */

#define USED   400u
#define UNUSED (6000u / (CREW_SHARE > 1 ? 4 : 1))
#define ROUNDS 10u
#define FACTOR 4u /* a look at each of all heaps takes ten times as long, and more */

static pageheap *used[USED], *unused[UNUSED];

/* Tells the time by processor: all other threads sleep meanwhile. */
static void *use_all(void *ret_us)
{
    for (unsigned i = 0; i < USED; i++)
        EXPECT(pageheap_free(used[i], pageheap_alloc(used[i], 1, 0), 1) == 0);
    *(uint64_t *)ret_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    return NULL;
}

/* The shortest of several, but for the first, in which all is new. */
static uint64_t measure_end_us(void)
{
    uint64_t least_us = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t from_us = 0;
        crew_run(use_all, &from_us, 0, 1);
        uint64_t took_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - from_us;
        least_us = round != 0 && took_us < least_us ? took_us : least_us;
    }
    return least_us;
}

static void heaps_that_it_did_not_use_cost_nothing(void **state)
{
    (void)state;
    atomic_store(&crew_wrongs, 0);
    crew_create_heaps(used, USED);
    uint64_t few_us = measure_end_us();
    crew_create_heaps(unused, UNUSED);
    uint64_t many_us = measure_end_us();
    print_message("%llu us among %u heaps, %llu us among %u\n", (unsigned long long)few_us, USED,
                  (unsigned long long)many_us, USED + UNUSED);
    for (unsigned i = 0; i < USED; i++)
        assert_int_equal(pageheap_destroy(used[i]), 0);
    for (unsigned i = 0; i < UNUSED; i++)
        assert_int_equal(pageheap_destroy(unused[i]), 0);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
    assert_true(many_us < FACTOR * few_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_do_not_wait_with_it),
        cmocka_unit_test(its_heap_waits_for_it),
        cmocka_unit_test(its_heap_waits_for_who_looks),
        cmocka_unit_test(heaps_that_it_did_not_use_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
