/* SPDX-License-Identifier: MIT */
/* test_exec_mappings.c -- how many mappings a heap makes: two a block at most, and a few, whatever lives in
 * it.
 *
 * A heap that changes the protection of single pages makes one for each, and meets the system's limit of
 * 65530. */
#include "exec_test.h"

#define SPANS 100000

static pageheap_exec_span spans[SPANS];
static size_t lines_before;

static void assert_few(pageheap_exec *heap, const char *when)
{
    pageheap_exec_stats stats = exec_stats(heap);
    size_t lines = maps_count() - lines_before;
    size_t blocks = (size_t)(stats.mapped_bytes / BLOCK);
    print_message("    %s: %zu mappings for %zu blocks, said to be at most %llu\n", when, lines, blocks,
                  (unsigned long long)stats.mappings);
    assert_true(lines <= 2 * blocks + 8);
    assert_true(lines <= stats.mappings + 4); /* and the heap's own records */
}

static void one_page_each(void **state)
{
    (void)state;
    (void)exec_works(PAGEHEAP_EXEC_RWX); /* what is tried once is tried before */
    assert_int_equal(pageheap_exec_destroy(pageheap_exec_create(NULL)), 0);
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_FLIP)
    {
        unsigned count = backend == PAGEHEAP_EXEC_MEMFD || exec_is_long() ? SPANS : SPANS / 10;
        unsigned char code[16];
        lines_before = maps_count();
        pageheap_exec *heap = exec_heap(backend);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(pageheap_exec_alloc(heap, PAGE, &spans[i]), 0);
            code_make(code, i);
            assert_int_equal(pageheap_exec_write(heap, spans[i].rx, code, CODE_BYTES), 0);
            assert_int_equal(pageheap_exec_publish(heap, spans[i].rx, CODE_BYTES), 0);
        }
        assert_few(heap, "all live");
        for (uint32_t i = 0; i < count; i += 2)
            assert_int_equal(pageheap_exec_free(heap, spans[i].rx, PAGE), 0);
        assert_few(heap, "every second freed");
        size_t given_bytes = pageheap_exec_trim(heap, 0);
        assert_few(heap, "trimmed");
        assert_true(exec_is_pair(backend) ? given_bytes >= count / 2 * PAGE / 10 * 9 : given_bytes != 0);
        for (uint32_t i = 1; i < count; i += 2)
            assert_int_equal(code_run(spans[i].rx), i);
        for (uint32_t i = 0; i < count; i += 2)
            assert_int_equal(pageheap_exec_alloc(heap, PAGE, &spans[i]), 0);
        assert_few(heap, "all live again");
        for (uint32_t i = 0; i < count; i += 3)
            assert_int_equal(pageheap_exec_free(heap, spans[i].rx, PAGE), 0);
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
        assert_true(maps_count() <= lines_before + 2); /* room for records, which stays the library's */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_page_each) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
