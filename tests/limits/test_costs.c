/* SPDX-License-Identifier: MIT */
/* test_costs.c -- what a heap costs that does nothing: RAM, time to make and unmake, records of untouched
 * pages. */
#include "meter.h"

#define EMPTY_HEAP_BYTES   65536
#define BALLAST_PAGES      4096
#define HEAPS              200
#define MAKE_AND_UNMAKE    2000
#define MAKE_AND_UNMAKE_US 200 /* ten times what it takes, for machines that are busy */

/* Each heap serves one page and takes it back: an empty heap that has been used. */
static void empty_heaps_are_small(void **state)
{
    (void)state;
    static pageheap *heaps[HEAPS];
    uint64_t before = meter_rss_bytes();
    for (unsigned i = 0; i < HEAPS; i++) {
        heaps[i] = pageheap_create(NULL);
        assert_non_null(heaps[i]);
        void *run = pageheap_alloc(heaps[i], 1, 0);
        assert_int_equal(pageheap_free(heaps[i], run, 1), 0);
    }
    uint64_t each = (meter_rss_bytes() - before) / HEAPS;
    print_message("%llu bytes of RAM each\n", (unsigned long long)each);
    assert_true(each <= EMPTY_HEAP_BYTES);
    for (unsigned i = 0; i < HEAPS; i++)
        assert_int_equal(pageheap_destroy(heaps[i]), 0);
}

static void heaps_are_made_quickly(void **state)
{
    (void)state;
    uint64_t best_us = UINT64_MAX;
    for (unsigned round = 0; round < 5; round++) {
        uint64_t before_us = clock_us(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < MAKE_AND_UNMAKE; i++)
            assert_int_equal(pageheap_destroy(pageheap_create(NULL)), 0);
        uint64_t took_us = clock_us(CLOCK_MONOTONIC) - before_us;
        best_us = took_us < best_us ? took_us : best_us;
    }
    print_message("%llu us for %d\n", (unsigned long long)best_us, MAKE_AND_UNMAKE);
    assert_true(best_us <= (uint64_t)MAKE_AND_UNMAKE * MAKE_AND_UNMAKE_US);
}

/* Addresses of many GiB that nobody touches: the records are all that there is. */
static void records_are_small(void **state)
{
    (void)state;
    enum { RUNS = 4096, RUN_PAGES = 512 };
    static void *runs[RUNS];
    pageheap *heap = pageheap_create(NULL);
    uint64_t before = meter_rss_bytes();
    for (unsigned i = 0; i < RUNS; i++) {
        runs[i] = pageheap_alloc(heap, RUN_PAGES, 0);
        assert_non_null(runs[i]);
    }
    uint64_t pages = (uint64_t)RUNS * RUN_PAGES;
    uint64_t resident = meter_rss_bytes() - before;
    pageheap_stats stats = meter_stats(heap);
    print_message("%llu bytes of records, %llu of RAM, for %llu pages\n",
                  (unsigned long long)stats.metadata_bytes, (unsigned long long)resident,
                  (unsigned long long)pages);
    assert_true(stats.metadata_bytes * 10 <= pages * 7);
    assert_true(resident * 10 <= pages * 7);
    for (unsigned i = 0; i < RUNS; i++)
        assert_int_equal(pageheap_free(heap, runs[i], RUN_PAGES), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* Lengths in turn, each for a while, and never so many runs of one that its magazine is full.  Nothing is
 * touched, so the limit alone holds down what is kept: so many heights, and the runs since the last look.
 * Returns the most that was kept, in tenths of a height. */
static uint64_t keep_in_turn(uint32_t decay_ms, uint64_t most_heights)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.decay_ms = decay_ms;
    pageheap *heap = pageheap_create(&options);
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    uint64_t most_bytes = 0;
    void *runs[14];
    assert_non_null(heap);
    void *ballast = pageheap_alloc(heap, BALLAST_PAGES, 0); /* most of the height */
    for (unsigned turn = 0; turn < 3 * 64; turn++) {
        size_t pages = 1 + turn % 64;
        assert_int_equal(pageheap_alloc_many(heap, pages, 0, runs, 14), 14);
        assert_int_equal(pageheap_free_many(heap, runs, pages, 14), 14);
        assert_int_equal(pageheap_get_stats(heap, &stats), 0);
        assert_true(stats.cached_bytes <= most_heights * stats.peak_bytes + 64 * 64 * UINT64_C(4096));
        most_bytes = stats.cached_bytes > most_bytes ? stats.cached_bytes : most_bytes;
    }
    assert_int_equal(pageheap_free(heap, ballast, BALLAST_PAGES), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
    return most_bytes * 10 / stats.peak_bytes;
}

static void kept_runs_are_bounded(void **state)
{
    (void)state;
    print_message("%llu tenths of the height kept", (unsigned long long)keep_in_turn(PAGEHEAP_NEVER, 2));
    uint64_t tenths = keep_in_turn(60000, 5);
    print_message(", %llu with a balance\n", (unsigned long long)tenths);
    assert_true(tenths > 30); /* many lengths have room */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_heaps_are_small),
        cmocka_unit_test(heaps_are_made_quickly),
        cmocka_unit_test(records_are_small),
        cmocka_unit_test(kept_runs_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
