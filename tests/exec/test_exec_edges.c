/* SPDX-License-Identifier: MIT */
/* test_exec_edges.c -- what holds at the edges too: behind the end of a long span, and in a heap that is
 * sealed while others write. */
#include <pthread.h>

#include "exec_test.h"

#define ALL_LAST PAGEHEAP_EXEC_RWX

/* What lies behind the end of a long span, in its last block, can be used once the span is no more. */
static void rest_of_the_last_block(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        static const size_t cases[] = { PAGE, 5 * PAGE, 300 * PAGE, BLOCK, BLOCK + 2 * PAGE };
        for (unsigned i = 0; i < 5 * 3; i++) {
            pageheap_exec *heap = exec_heap(backend);
            pageheap_exec_span span;
            assert_int_equal(pattern_alloc(heap, BLOCK + PAGE, 1, &span), 0);
            assert_int_equal(pageheap_exec_free(heap, span.rx, BLOCK + PAGE), 0);
            if (i >= 5)
                pageheap_exec_trim(heap, i >= 10 ? BLOCK : PAGE);
            for (uint32_t n = 0; n < 4 * BLOCK / cases[i % 5]; n++) {
                assert_int_equal(pattern_alloc(heap, cases[i % 5], n, &span), 0);
                assert_true(pattern_holds(span.rx, span.bytes, n));
                assert_int_equal(code_run(span.rx), n);
            }
            assert_int_equal(pageheap_exec_destroy(heap), 0);
        }
    }
}

/* While other threads take and give: each call is done before, or refused; no write is lost half way. */
static void *take_until_refused(void *of)
{
    pageheap_exec *heap = of;
    for (uint32_t n = 0; n < 100000000; n++) {
        pageheap_exec_span span;
        int error = pageheap_exec_alloc(heap, n % 2 ? 100 : PAGE, &span);
        if (error == 0)
            error = pattern_write(heap, &span, n);
        if (error == 0) {
            REQUIRE(code_run(span.rx) == n);
            error = pageheap_exec_free(heap, span.rx, span.bytes);
        }
        REQUIRE(error == 0 || error == PAGEHEAP_EACCES || error == PAGEHEAP_ENOMEM);
        if (error != 0)
            return NULL;
    }
    REQUIRE(false); /* it was never sealed */
    return NULL;
}

static void seal_once(void *of)
{
    (void)of;
    pthread_t threads[2];
    pageheap_exec *heap = pageheap_exec_create(NULL);
    pageheap_exec_span kept;
    REQUIRE(heap != NULL && pattern_alloc(heap, 5000, 9, &kept) == 0);
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, take_until_refused, heap) == 0);
    nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
    REQUIRE(pageheap_exec_seal(heap) == 0);
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    REQUIRE(code_run(kept.rx) == 9 && pattern_holds(kept.rx, kept.bytes, 9));
}

static void seal_amid_work(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 20; n++)
        child_judge(child_status(seal_once, NULL, 30), "seal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rest_of_the_last_block),
        cmocka_unit_test(seal_amid_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
