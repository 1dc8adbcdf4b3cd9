/* SPDX-License-Identifier: MIT */
/* test_hot_run.c -- who takes and frees in turn has a hot run; who does not has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heap/front.h"
#include "os/os.h"
#include "pageheap/pageheap.h"

/* Three ticks: one that leaves what was, one that begins, one that finds the same. */
#define PAIRS (3 * PH_TICK_CALLS)

/* Without a barrier, or with other pages than 4 KiB, the hot path is closed. */
static pageheap *create_or_skip(void)
{
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    if (!ph_os_facts_now.has_barrier || pageheap_page_bytes(heap) != 4096)
        skip();
    return heap;
}

static char *loop(pageheap *heap, size_t pages)
{
    char *run = NULL;
    for (unsigned pair = 0; pair < PAIRS; pair++) {
        run = pageheap_alloc(heap, pages, 0);
        assert_non_null(run);
        assert_int_equal(pageheap_free(heap, run, pages), 0);
    }
    return run;
}

static uintptr_t hot_run(void)
{
    return ph_load_relaxed(&ph_thread_last.front->hot_run);
}

static void the_run_of_a_loop_is_hot(void **state)
{
    (void)state;
    pageheap *heap = create_or_skip();
    for (size_t pages = 1; pages <= PH_BLOCK_PAGES_MAX; pages += 1 + pages / 2) {
        char *run = loop(heap, pages);
        assert_int_equal(hot_run(), (uintptr_t)run);
        assert_int_not_equal(pageheap_free(heap, run, pages), 0);
        assert_ptr_equal(pageheap_alloc(heap, pages, 0), run);
        assert_int_not_equal(pageheap_free(heap, run, pages + 1), 0);
        assert_int_equal(pageheap_free(heap, run, pages), 0);
    }
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* Kept or live at the tick that ends it, the run is one like others from then on. */
static void who_stops_looping_has_none(void **state)
{
    (void)state;
    for (unsigned is_live = 0; is_live < 2; is_live++) {
        pageheap *heap = create_or_skip();
        char *run = loop(heap, 3);
        if (is_live)
            assert_ptr_equal(pageheap_alloc(heap, 3, 0), run);
        for (unsigned i = 0; i < PH_TICK_CALLS; i++)
            assert_non_null(pageheap_alloc(heap, 1 + i % 2, 0));
        assert_int_equal(hot_run(), 0);
        assert_int_equal(pageheap_check(heap), 0);
        assert_int_equal(pageheap_free(heap, run, 3) == 0, is_live);
        assert_int_not_equal(pageheap_free(heap, run, 3), 0);
        assert_ptr_equal(pageheap_alloc(heap, 3, 0), run);
        assert_int_equal(pageheap_destroy(heap), 0);
    }
}

/* Runs with labels have none: each allocation writes what its run is called. */
static void who_has_labels_has_none(void **state)
{
    (void)state;
    pageheap *heap = create_or_skip();
    char *run = loop(heap, 3);
    assert_int_equal(hot_run(), (uintptr_t)run);
    void *labelled = pageheap_alloc_tagged(heap, 3, 0, "labelled");
    assert_non_null(labelled);
    assert_int_equal(hot_run(), 0);
    assert_int_equal(pageheap_check(heap), 0);
    (void)loop(heap, 3);
    assert_int_equal(hot_run(), 0);
    pageheap_run found;
    assert_int_equal(pageheap_find(labelled, &found), 0);
    assert_string_equal(found.tag, "labelled");
    assert_int_equal(pageheap_free(heap, labelled, 3), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* A hot run leaves the other lengths as they were: taken, freed, refused. */
static void beside_the_hot_run_all_is_as_ever(void **state)
{
    (void)state;
    pageheap *heap = create_or_skip();
    char *hot = loop(heap, 2);
    assert_int_equal(hot_run(), (uintptr_t)hot);
    for (size_t pages = 1; pages <= PH_BLOCK_PAGES_MAX; pages += 1 + pages / 4) {
        char *runs[3];
        for (unsigned i = 0; i < 3; i++)
            assert_non_null(runs[i] = pageheap_alloc(heap, pages, i == 2 ? PAGEHEAP_ZERO : 0));
        for (unsigned i = 0; i < 3; i++) {
            assert_int_not_equal(pageheap_free(heap, runs[i], pages + 1), 0);
            assert_int_equal(pageheap_free(heap, runs[i], pages), 0);
            assert_int_not_equal(pageheap_free(heap, runs[i], pages), 0);
        }
        assert_int_equal(pageheap_check(heap), 0);
    }
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* F7: a door that somebody has closed stays closed, whatever becomes of the hot run meanwhile. */
static void what_is_closed_stays_closed(void **state)
{
    (void)state;
    pageheap *heap = create_or_skip();
    char *run = loop(heap, 1);
    ph_front *front = ph_thread_last.front;
    assert_int_equal(ph_load_relaxed(&front->frees_for), front->hot_key);
    ph_front_close(front);
    uintptr_t closed = ph_load_relaxed(&front->frees_for);
    ph_front_forget_hot(front);
    assert_int_equal(ph_load_relaxed(&front->frees_for), closed);
    assert_int_equal(ph_load_relaxed(&front->allocs_for), closed);
    ph_front_heat(front, (uintptr_t)run, 1);
    assert_int_equal(ph_load_relaxed(&front->frees_for), closed);
    assert_int_equal(ph_load_relaxed(&front->allocs_for), closed);
    ph_front_open(front);
    assert_int_equal(ph_load_relaxed(&front->allocs_for), front->hot_key);
    assert_int_equal(pageheap_free(heap, run, 1), 0); /* out, as whatever is hot begins */
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_run_of_a_loop_is_hot),    cmocka_unit_test(who_stops_looping_has_none),
        cmocka_unit_test(who_has_labels_has_none),     cmocka_unit_test(beside_the_hot_run_all_is_as_ever),
        cmocka_unit_test(what_is_closed_stays_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
