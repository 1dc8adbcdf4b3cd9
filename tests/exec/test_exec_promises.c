/* SPDX-License-Identifier: MIT */
/* test_exec_promises.c -- what the header says of every span, of spans as long as a page, longer than a
 * block, and at the end of the reservation. */
#include "exec_test.h"

#define ALL_LAST PAGEHEAP_EXEC_RWX

/* A piece can be as long as a page when rounded up; it is given back by that size as well. */
static void longest_pieces(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec *heap = exec_heap(backend);
        for (size_t bytes = PAGE - 70; bytes < PAGE; bytes++) {
            pageheap_exec_span span;
            assert_int_equal(pattern_alloc(heap, bytes, 1, &span), 0);
            assert_true(pageheap_exec_free(heap, span.rx, span.bytes + 1) < 0);
            assert_int_equal(pageheap_exec_free(heap, span.rx, span.bytes), 0);
            assert_int_equal(pattern_alloc(heap, bytes, 1, &span), 0);
            assert_int_equal(pageheap_exec_shrink(heap, span.rx, span.bytes, 1000), 0);
            assert_int_equal(pageheap_exec_free(heap, span.rx, 1024), 0);
        }
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* A compiler takes the most that it could need, and that may be more than a block. */
static void long_spans_shrink(void **state)
{
    static const struct {
        size_t from, to;
    } cases[] = {
        { BLOCK + 1, BLOCK },     { 3 * BLOCK, PAGE },
        { 3 * BLOCK, BLOCK },     { 3 * BLOCK, BLOCK + PAGE },
        { 5 * BLOCK, 70000 },     { 4 * BLOCK, 4 * BLOCK - PAGE },
        { 8 * BLOCK, 5 * BLOCK }, { 5 * BLOCK - PAGE, 4 * BLOCK },
    };
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec *heap = exec_heap(backend);
        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            pageheap_exec_span span, found;
            size_t left = (cases[i].to + PAGE - 1) / PAGE * PAGE;
            assert_int_equal(pattern_alloc(heap, cases[i].from, i, &span), 0);
            assert_int_equal(pageheap_exec_shrink(heap, span.rx, cases[i].from, cases[i].to), 0);
            assert_true(pattern_holds(span.rx, left, i));
            assert_int_equal(pageheap_exec_find(heap, (char *)span.rx + left - 1, &found), 0);
            assert_int_equal(found.bytes, left);
            assert_int_equal(pageheap_exec_find(heap, (char *)span.rx + left, &found), PAGEHEAP_ENOTOURS);
            assert_int_equal(exec_stats(heap).in_use_bytes, left);
            assert_true(pageheap_exec_free(heap, span.rx, span.bytes) < 0);
            assert_int_equal(pageheap_exec_free(heap, span.rx, cases[i].to), 0);
            assert_int_equal(pageheap_exec_check(heap), 0);
        }
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* Within bounds there is place for what lies in one block. */
static void spans_within_lie_in_one_block(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec_span span;
        pageheap_exec *heap = exec_small_heap(backend, 4 * BLOCK);
        assert_int_equal(pageheap_exec_alloc(heap, PAGE, &span), 0);
        assert_int_equal(pageheap_exec_free(heap, span.rx, PAGE), 0);
        char *lo = (char *)((uintptr_t)span.rx & ~(BLOCK - 1)), *hi = lo + 4 * BLOCK;
        assert_int_equal(pageheap_exec_alloc_within(heap, BLOCK + 1, lo, hi, &span), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_alloc_within(heap, BLOCK, lo + BLOCK, hi, &span), 0);
        assert_true((char *)span.rx >= lo + BLOCK && (char *)span.rx + span.bytes <= hi);
        assert_int_equal(pageheap_exec_free(heap, span.rx, span.bytes), 0);
        lo += BLOCK - 5 * PAGE;
        assert_int_equal(pageheap_exec_alloc_within(heap, 10 * PAGE, lo, lo + 10 * PAGE, &span),
                         PAGEHEAP_ERANGE);
        assert_int_equal(pageheap_exec_alloc_within(heap, 5 * PAGE, lo, lo + 10 * PAGE, &span), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* Near the end of the reservation a request is not refused while unused memory is kept for another size. */
static void the_last_of_it(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        static const size_t cases[] = { 2 * PAGE, 64 * PAGE, BLOCK };
        for (unsigned i = 0; i < 3; i++) {
            pageheap_exec_span span, last = { NULL, NULL, 0, 0, 0 };
            pageheap_exec *heap = exec_small_heap(backend, 8 * BLOCK);
            while (pageheap_exec_alloc(heap, cases[i], &span) == 0)
                last = span;
            while (pageheap_exec_alloc(heap, PAGE, &span) == 0)
                continue;
            assert_int_equal(exec_stats(heap).in_use_bytes, 8 * BLOCK);
            assert_int_equal(pageheap_exec_free(heap, last.rx, last.bytes), 0);
            assert_int_equal(pageheap_exec_alloc(heap, PAGE, &span), 0);
            assert_int_equal(pageheap_exec_alloc(heap, 64, &span),
                             last.bytes >= 64 * PAGE ? 0 : PAGEHEAP_ENOMEM);
            assert_int_equal(pageheap_exec_destroy(heap), 0);
        }
    }
}

/* Nothing can be reached from there: an error, and no heap that cannot serve. */
static void near_the_end_of_all(void **state)
{
    (void)state;
    for (uint64_t reach_bytes = 4096; reach_bytes <= (uint64_t)2 << 30; reach_bytes *= 2) {
        for (unsigned i = 0; i < 3; i++) {
            static const uintptr_t ends[] = { UINTPTR_MAX, UINTPTR_MAX - 4095, (uintptr_t)1 << 63 };
            pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
            options.near = (void *)ends[i];
            options.reach_bytes = reach_bytes;
            errno = 0;
            assert_null(pageheap_exec_create(&options));
            assert_true(errno == ENOMEM || errno == EINVAL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest_pieces),
        cmocka_unit_test(long_spans_shrink),
        cmocka_unit_test(spans_within_lie_in_one_block),
        cmocka_unit_test(the_last_of_it),
        cmocka_unit_test(near_the_end_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
