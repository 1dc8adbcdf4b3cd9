/* SPDX-License-Identifier: MIT */
/* test_code_sizes.c -- code spans of about a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "pageheap/exec.h"

#define PAGE_BYTES ((size_t)4096)

static void every_span_can_be_freed_by_its_bytes(void **state)
{
    (void)state;
    static const uint32_t granules[] = { 16, 64, 128 };
    for (unsigned g = 0; g < 3; g++) {
        pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
        options.granule_bytes = granules[g];
        pageheap_exec *heap = pageheap_exec_create(&options);
        assert_non_null(heap);
        for (size_t bytes = PAGE_BYTES - 300; bytes <= PAGE_BYTES + 300; bytes++) {
            pageheap_exec_span span;
            assert_int_equal(pageheap_exec_alloc(heap, bytes, &span), 0);
            assert_int_equal(pageheap_exec_free(heap, span.rx, span.bytes), 0);
            assert_int_equal(pageheap_exec_alloc(heap, bytes, &span), 0);
            assert_int_equal(pageheap_exec_free(heap, span.rx, bytes), 0);
        }
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_span_can_be_freed_by_its_bytes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
