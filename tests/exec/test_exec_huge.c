/* SPDX-License-Identifier: MIT */
/* test_exec_huge.c -- blocks that are in use as a whole are backed by huge pages, in both views, if the
 * system can; and stay so while code in them is written and published. */
#include "exec_test.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define BLOCKS 4

/* Bytes that are mapped by huge pages, in all the lines of smaps that [addr, addr + bytes) meets. */
static uint64_t huge_bytes_at(const void *addr, size_t bytes)
{
    char text[512];
    uint64_t sum = 0;
    bool is_inside = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        unsigned long long lo, hi, kib;
        if (sscanf(text, "%llx-%llx ", &lo, &hi) == 2)
            is_inside = lo < (uintptr_t)addr + bytes && (uintptr_t)addr < hi;
        else if (is_inside && (sscanf(text, "AnonHugePages: %llu", &kib) == 1 ||
                               sscanf(text, "ShmemPmdMapped: %llu", &kib) == 1 ||
                               sscanf(text, "FilePmdMapped: %llu", &kib) == 1))
            sum += kib * 1024;
    }
    if (file != NULL)
        fclose(file);
    return sum;
}

/* Whether the system makes huge pages of memory of this kind when asked to. */
static bool system_can(bool is_shared)
{
    int flags = MAP_ANONYMOUS | MAP_FIXED | (is_shared ? MAP_SHARED : MAP_PRIVATE);
    char *area = mmap(NULL, 2 * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(area != MAP_FAILED);
    char *block = area + (BLOCK - (uintptr_t)area % BLOCK) % BLOCK; /* aligned, and within its file too */
    assert_ptr_equal(mmap(block, BLOCK, PROT_READ | PROT_WRITE, flags, -1, 0), block);
    memset(block, 1, BLOCK);
    bool can = madvise(block, BLOCK, MADV_COLLAPSE) == 0 && huge_bytes_at(block, BLOCK) >= BLOCK;
    munmap(area, 2 * BLOCK);
    return can;
}

static void assert_huge(const pageheap_exec_span *span)
{
    assert_true(huge_bytes_at(span->rx, span->bytes) >= span->bytes);
    if (span->rw != NULL)
        assert_true(huge_bytes_at(span->rw, span->bytes) >= span->bytes);
}

static void collapse(void **state)
{
    (void)state;
    if (!system_can(true) || !system_can(false))
        skip();
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_FLIP)
    {
        pageheap_exec *heap = exec_heap(backend);
        pageheap_exec_span span, small[512], other;
        unsigned char code[16];
        assert_int_equal(pattern_alloc(heap, BLOCKS * BLOCK, 1, &span), 0);
        for (uint32_t i = 0; i < 512; i++) /* a block that is full of pages */
            assert_int_equal(pattern_alloc(heap, PAGE, i, &small[i]), 0);
        assert_int_equal(pattern_alloc(heap, PAGE, 7, &other), 0); /* and one that is not */
        assert_true(pageheap_exec_collapse(heap) >= BLOCKS);
        assert_huge(&span);
        assert_true(pattern_holds(span.rx, span.bytes, 1));
        for (uint32_t i = 0; i < 512; i++)
            assert_true(pattern_holds(small[i].rx, PAGE, i) && code_run(small[i].rx) == i);
        for (uint32_t n = 0; n < 1000; n++) {
            char *at = (char *)span.rx + n % (BLOCKS * 512) * PAGE + n % 8 * 16;
            code_make(code, n);
            assert_int_equal(pageheap_exec_write(heap, at, code, CODE_BYTES), 0);
            assert_int_equal(pageheap_exec_publish(heap, at, CODE_BYTES), 0);
            assert_int_equal(code_run(at), n);
        }
        if (backend != PAGEHEAP_EXEC_FLIP) /* which has to split them */
            assert_huge(&span);
        assert_int_equal(code_run(other.rx), 7);
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_free(heap, span.rx, span.bytes), 0);
        pageheap_exec_trim(heap, 0);
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* Whole blocks from the start: what is taken is huge where the system can, without another call. */
static void huge_heap(void **state)
{
    (void)state;
    if (!system_can(true) || !system_can(false))
        skip();
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_FLIP)
    {
        pageheap_exec_options options = exec_options(backend);
        pageheap_exec_span spans[600], big;
        options.flags = PAGEHEAP_EXEC_HUGE;
        pageheap_exec *heap = pageheap_exec_create(&options);
        for (uint32_t i = 0; i < 600; i++)
            assert_int_equal(pattern_alloc(heap, i % 2 ? PAGE : 300, i, &spans[i]), 0);
        assert_int_equal(pattern_alloc(heap, BLOCKS * BLOCK, 7, &big), 0);
        if (backend == PAGEHEAP_EXEC_FLIP)
            (void)pageheap_exec_collapse(heap);
        assert_huge(&big);
        for (uint32_t i = 0; i < 600; i++)
            assert_true(pattern_holds(spans[i].rx, spans[i].bytes, i) && code_run(spans[i].rx) == i);
        for (uint32_t i = 0; i < 600; i += 3)
            assert_int_equal(pageheap_exec_free(heap, spans[i].rx, spans[i].bytes), 0);
        pageheap_exec_trim(heap, 0);
        assert_huge(&big);
        for (uint32_t i = 1; i < 600; i += 3)
            assert_int_equal(code_run(spans[i].rx), i);
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(collapse), cmocka_unit_test(huge_heap) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
