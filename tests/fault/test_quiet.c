/* SPDX-License-Identifier: MIT */
/* test_quiet.c -- a program at a steady height makes no system call, for any run length up to 16 MiB.
 *
 * The clock is turned as the loop goes on, so that every periodic look at the balance is taken, through
 * several of its periods.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_os.h"
#include "pageheap/pageheap.h"

#define ROUNDS      2500
#define MS_EACH     2 /* so 5 s go by in all: 7 periods of the default decay */
#define BATCH_MAX   16
#define ALL_UP_TO   130
#define LENGTHS_MAX 4096

static void hot_loop(pageheap *heap, size_t pages, unsigned batch, unsigned rounds)
{
    void *runs[BATCH_MAX];
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < batch; i++) {
            runs[i] = pageheap_alloc(heap, pages, 0);
            assert_non_null(runs[i]);
        }
        for (unsigned i = 0; i < batch; i++)
            assert_int_equal(pageheap_free(heap, runs[i], pages), 0);
        if (round % 2 == 0)
            fake_os_turn_clock(2 * MS_EACH);
    }
}

static void assert_quiet(size_t pages, unsigned batch)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    pageheap *heap = pageheap_create(&options);
    assert_non_null(heap);
    hot_loop(heap, pages, batch, 200);
    uint64_t before = fake_os_calls();
    hot_loop(heap, pages, batch, ROUNDS);
    uint64_t calls = fake_os_calls() - before;
    for (unsigned call = 0; call < FAKE_CALLS && calls != 0; call++)
        print_message("calls of kind %u so far: %llu\n", call, (unsigned long long)fake_os_calls_of(call));
    if (calls != 0)
        fail_msg("%zu pages, %u at a time: %llu calls", pages, batch, (unsigned long long)calls);
    assert_int_equal(pageheap_destroy(heap), 0);
}

static size_t next_length(size_t pages)
{
    return pages < ALL_UP_TO ? pages + 1 : pages + pages / 9;
}

static void pairs_are_quiet(void **state)
{
    (void)state;
    for (size_t pages = 1; pages <= LENGTHS_MAX; pages = next_length(pages))
        assert_quiet(pages, 1);
    static const size_t edges[] = { 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2048, 4095, 4096 };
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        assert_quiet(edges[i], 1);
}

static void batches_are_quiet(void **state)
{
    (void)state;
    for (size_t pages = 1; pages <= 512; pages = next_length(pages))
        assert_quiet(pages, BATCH_MAX);
    static const size_t large[] = { 513, 1000, 1536, 4096 };
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        assert_quiet(large[i], 4);
}

/* Several lengths in turn; what is kept ready of all of them together is what any heap may keep. */
static void mixed_lengths_are_quiet(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    uint64_t before = 0;
    for (unsigned round = 0; round < 1000; round++) {
        if (round == 100)
            before = fake_os_calls();
        for (size_t pages = 1; pages <= 8; pages *= 2)
            hot_loop(heap, pages, 3, 2);
    }
    assert_int_equal(fake_os_calls() - before, 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* Looks at the clock in so many pairs of one page, before each of which so much time goes by. */
static uint64_t looks_in(pageheap *heap, unsigned pairs, unsigned ms_each)
{
    uint64_t before = fake_os_looks_at_clock();
    for (unsigned i = 0; i < pairs; i++) {
        fake_os_turn_clock(ms_each);
        assert_int_equal(pageheap_free(heap, pageheap_alloc(heap, 1, 0), 1), 0);
    }
    return fake_os_looks_at_clock() - before;
}

/* Who is in a hurry looks at the clock less often, and soon again when it slows down. */
static void the_clock_is_looked_at(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    (void)looks_in(heap, 512, 0);
    uint64_t looks = looks_in(heap, 64 * 256, 0);
    assert_true(looks >= 64 && looks <= 66);
    assert_true(looks_in(heap, 256, 1) >= 1);
    looks = looks_in(heap, 64 * 64, 1);
    assert_true(looks >= 64 && looks <= 3 * 64); /* when it is time for the balance, once more or twice */
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* What is live at once is seen when no front of a thread has it, and the heap's own has. */
static void guarded_runs_have_a_height(void **state)
{
    (void)state;
    static void *runs[1000];
    pageheap *heap = pageheap_create(NULL);
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_non_null(heap);
    (void)looks_in(heap, 5 * 64 + 3, 1); /* the thread's own ticks stop at an odd number */
    for (unsigned i = 0; i < 1000; i++)
        assert_non_null(runs[i] = pageheap_alloc(heap, 4, PAGEHEAP_GUARD));
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(pageheap_free(heap, runs[i], 4), 0);
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    assert_in_range(stats.peak_bytes, (1000 - 64) * 6 * 4096, 1001 * 6 * 4096); /* with their guards */
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* The measure itself: a new heap's first allocation is not quiet. */
static void calls_are_counted(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    uint64_t before = fake_os_calls();
    assert_non_null(pageheap_alloc(heap, 1, 0));
    assert_true(fake_os_calls() > before);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_counted),      cmocka_unit_test(pairs_are_quiet),
        cmocka_unit_test(batches_are_quiet),      cmocka_unit_test(mixed_lengths_are_quiet),
        cmocka_unit_test(the_clock_is_looked_at), cmocka_unit_test(guarded_runs_have_a_height),
    };
    fake_os_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
