/* SPDX-License-Identifier: MIT */
/* test_code_undo.c -- what is half done when the system refuses: a long code span whose second block is not
 * mapped leaves nothing of the first, and pages that a free cannot fill are never handed out as they are. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "os/code_os.h"
#include "pageheap/exec.h"

static ph_code_os_calls real;
static unsigned calls_left;

static int failing_map_shared(void *base, size_t bytes, enum ph_access access)
{
    return calls_left-- == 0 ? -ENOMEM : real.map_shared(base, bytes, access);
}

static uint64_t mapped_after_failure(uint32_t flags)
{
    pageheap_exec_span span;
    pageheap_exec_stats stats = { .struct_bytes = sizeof stats };
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_ANON;
    options.flags = flags;
    pageheap_exec *heap = pageheap_exec_create(&options);
    if (heap == NULL)
        skip();
    real = ph_code_os;
    ph_code_os.map_shared = failing_map_shared;
    calls_left = 1;
    assert_int_equal(pageheap_exec_alloc(heap, 3 << 20, &span), PAGEHEAP_ENOMEM);
    ph_code_os = real;
    (void)pageheap_exec_trim(heap, 0);
    assert_int_equal(pageheap_exec_get_stats(heap, &stats), 0);
    assert_int_equal(stats.in_use_bytes, 0);
    assert_int_equal(pageheap_exec_alloc(heap, 3 << 20, &span), 0);
    assert_int_equal(pageheap_exec_check(heap), 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
    return stats.mapped_bytes;
}

static void a_refused_span_leaves_no_block_mapped(void **state)
{
    (void)state;
    assert_int_equal(mapped_after_failure(0), 0);
    assert_int_equal(mapped_after_failure(PAGEHEAP_EXEC_HUGE), 0); /* which fills blocks whole */
}

static int failing_memory_write(int memory, uintptr_t at, const void *from, size_t bytes)
{
    (void)memory;
    (void)at;
    (void)from;
    (void)bytes;
    return -EIO;
}

static void pages_that_could_not_be_filled_come_back_full_of_traps(void **state)
{
    (void)state;
    static const size_t sizes[] = { 4096, 40960, 5 << 20 };
    static const uint64_t code[] = { 0xc3c3c3c3c3c3c3c3 };
    pageheap_exec_caps caps = { .struct_bytes = sizeof caps };
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_PRIVATE;
    options.reserve_bytes = 6 << 20; /* so that the same is handed out again */
    assert_int_equal(pageheap_exec_probe(0, &caps), 0);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pageheap_exec_span span;
        pageheap_exec *heap = pageheap_exec_create(&options);
        if (heap == NULL || !caps.has_guards)
            skip();
        assert_int_equal(pageheap_exec_alloc(heap, sizes[i], &span), 0);
        assert_int_equal(pageheap_exec_write(heap, span.rx, code, sizeof code), 0);
        real = ph_code_os;
        ph_code_os.memory_write = failing_memory_write;
        assert_int_equal(pageheap_exec_free(heap, span.rx, sizes[i]), 0);
        ph_code_os = real;
        while (pageheap_exec_alloc(heap, sizes[i], &span) == 0)
            assert_int_not_equal(*(const uint64_t *)span.rx, code[0]);
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_span_leaves_no_block_mapped),
        cmocka_unit_test(pages_that_could_not_be_filled_come_back_full_of_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
