/* SPDX-License-Identifier: MIT */
/* test_exec_basic.c -- spans of executable heaps: taken, written, run, shortened, found, given back.
 *
 * Each test runs in every backend that works here, also where pages are writable and executable at once.
 */
#include "exec_test.h"

#define GRANULE  ((size_t)64)
#define ALL_LAST PAGEHEAP_EXEC_RWX

static const size_t sizes[] = {
    1,
    2,
    15,
    16,
    17,
    63,
    64,
    65,
    127,
    128,
    129,
    1000,
    2047,
    2048,
    2049,
    PAGE - 65,
    PAGE - 64,
    PAGE - 1,
    PAGE,
    PAGE + 1,
    2 * PAGE - 1,
    2 * PAGE,
    2 * PAGE + 1,
    65535,
    65536,
    65537,
    1 << 20,
    BLOCK - PAGE,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    BLOCK + PAGE,
    3000000,
    2 * BLOCK,
    8 << 20,
    8,
    32,
    6 * PAGE,
    100 * PAGE,
    5,
};
#define SIZES (sizeof sizes / sizeof sizes[0])

static size_t rounded(size_t bytes, size_t granule)
{
    size_t unit = bytes < PAGE ? granule : PAGE;
    return (bytes + unit - 1) / unit * unit;
}

static void assert_span_is_sound(pageheap_exec *heap, const pageheap_exec_span *span, size_t bytes,
                                 size_t granule)
{
    assert_int_equal(span->bytes, rounded(bytes, granule));
    assert_int_equal((uintptr_t)span->rx % (bytes < PAGE ? granule : PAGE), 0);
    assert_int_equal(span->flags & ~PAGEHEAP_EXEC_FRESH, 0);
    assert_int_equal(span->reserved, 0);
    uint32_t backend = exec_stats(heap).backend;
    if (exec_is_pair(backend))
        assert_true(span->rw != NULL && span->rw != span->rx);
    else
        assert_true(span->rw == NULL || (backend == PAGEHEAP_EXEC_RWX && span->rw == span->rx));
    for (size_t at = 0; at < span->bytes; at += 1 + span->bytes / 7) {
        char *expected = span->rw == NULL ? NULL : (char *)span->rw + at;
        assert_ptr_equal(pageheap_exec_rw(heap, (char *)span->rx + at), expected);
    }
}

static void assert_found(pageheap_exec *heap, const pageheap_exec_span *span)
{
    pageheap_exec_span found;
    size_t at[4] = { 0, 1, span->bytes / 2, span->bytes - 1 };
    for (unsigned i = 0; i < 4; i++) {
        memset(&found, 0xff, sizeof found);
        assert_int_equal(pageheap_exec_find(heap, (char *)span->rx + at[i], &found), 0);
        assert_ptr_equal(found.rx, span->rx);
        assert_ptr_equal(found.rw, span->rw);
        assert_int_equal(found.bytes, span->bytes);
    }
}

static int by_address(const void *a, const void *b)
{
    const pageheap_exec_span *x = a, *y = b;
    return x->rx < y->rx ? -1 : x->rx > y->rx;
}

static void assert_apart(pageheap_exec_span *spans, size_t count)
{
    qsort(spans, count, sizeof *spans, by_address);
    for (size_t i = 1; i < count; i++) {
        assert_true((char *)spans[i - 1].rx + spans[i - 1].bytes <= (char *)spans[i].rx);
        if (spans[0].rw != NULL)
            assert_int_equal((char *)spans[i].rw - (char *)spans[i].rx,
                             (char *)spans[0].rw - (char *)spans[0].rx);
    }
}

/* Every size twice, all live at once, each full of its own code; then none. */
static void sizes_of_all_kinds(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec_span spans[2 * SIZES], sorted[2 * SIZES], found;
        pageheap_exec *heap = exec_heap(backend);
        assert_non_null(heap);
        for (uint32_t i = 0; i < 2 * SIZES; i++) {
            assert_int_equal(pageheap_exec_alloc(heap, sizes[i % SIZES], &spans[i]), 0);
            assert_span_is_sound(heap, &spans[i], sizes[i % SIZES], GRANULE);
            assert_int_equal(spans[i].flags, PAGEHEAP_EXEC_FRESH);
            assert_int_equal(pattern_write(heap, &spans[i], i), 0);
        }
        memcpy(sorted, spans, sizeof spans);
        assert_apart(sorted, 2 * SIZES);
        for (uint32_t i = 0; i < 2 * SIZES; i++) {
            assert_found(heap, &spans[i]);
            assert_true(pattern_holds(spans[i].rx, spans[i].bytes, i));
            assert_int_equal(code_run(spans[i].rx), i);
        }
        assert_int_equal(pageheap_exec_check(heap), 0);
        for (uint32_t i = 0; i < 2 * SIZES; i++) {
            bool is_rounded = i % 2 != 0 && (spans[i].bytes < PAGE || sizes[i % SIZES] >= PAGE);
            size_t bytes = is_rounded ? spans[i].bytes : sizes[i % SIZES];
            assert_int_equal(pageheap_exec_free(heap, spans[i].rx, bytes), 0);
            assert_int_equal(pageheap_exec_find(heap, spans[i].rx, &found), PAGEHEAP_ENOTOURS);
            for (uint32_t j = i + 1; j < 2 * SIZES; j += 7)
                assert_int_equal(code_run(spans[j].rx), j);
        }
        pageheap_exec_trim(heap, 0);
        assert_int_equal(exec_stats(heap).in_use_bytes, 0);
        assert_int_equal(exec_stats(heap).piece_bytes, 0);
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

static void granules(void **state)
{
    static const uint32_t good[] = { 0, 16, 32, 64, 128 },
                          bad[] = { 1, 8, 15, 24, 48, 96, 256, 4096, 0x80000010 };
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec_options options = exec_options(backend);
        for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
            pageheap_exec_span spans[500];
            size_t granule = good[i] == 0 ? GRANULE : good[i];
            options.granule_bytes = good[i];
            pageheap_exec *heap = pageheap_exec_create(&options);
            assert_non_null(heap);
            for (uint32_t n = 0; n < 500; n++) {
                size_t bytes = 1 + n * 37 % (n % 5 == 0 ? 4095 : 300);
                assert_int_equal(pattern_alloc(heap, bytes, n, &spans[n]), 0);
                assert_span_is_sound(heap, &spans[n], bytes, granule);
            }
            for (uint32_t n = 0; n < 500; n++)
                assert_true(pattern_holds(spans[n].rx, spans[n].bytes, n) && code_run(spans[n].rx) == n);
            assert_apart(spans, 500);
            assert_int_equal(pageheap_exec_destroy(heap), 0);
        }
        for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            options.granule_bytes = bad[i];
            errno = 0;
            assert_null(pageheap_exec_create(&options));
            assert_int_equal(errno, EINVAL);
        }
    }
}

/* The tail is given back, exactly: what is left is one span, and the tail none. */
static void shrink_to(pageheap_exec *heap, size_t bytes, size_t new_bytes)
{
    pageheap_exec_span span, found;
    assert_int_equal(pattern_alloc(heap, bytes, 4711, &span), 0);
    unsigned char *before = malloc(span.bytes);
    memcpy(before, span.rx, span.bytes);
    size_t unit = bytes < PAGE ? GRANULE : PAGE, left = (new_bytes + unit - 1) / unit * unit;
    assert_int_equal(pageheap_exec_shrink(heap, span.rx, bytes, new_bytes), 0);
    assert_memory_equal(before, span.rx, left);
    assert_int_equal(code_run(span.rx), 4711);
    assert_int_equal(pageheap_exec_find(heap, (char *)span.rx + left - 1, &found), 0);
    assert_ptr_equal(found.rx, span.rx);
    assert_int_equal(found.bytes, left);
    if (left < span.bytes) {
        assert_int_equal(pageheap_exec_find(heap, (char *)span.rx + left, &found), PAGEHEAP_ENOTOURS);
        assert_int_equal(pageheap_exec_find(heap, (char *)span.rx + span.bytes - 1, &found),
                         PAGEHEAP_ENOTOURS);
        assert_true(pageheap_exec_free(heap, span.rx, bytes) < 0);
        assert_true(pageheap_exec_free(heap, (char *)span.rx + left, span.bytes - left) < 0);
        assert_true(pageheap_exec_write(heap, (char *)span.rx + left, before, 1) < 0);
        assert_true(pageheap_exec_write(heap, span.rx, before, left + 1) < 0);
    }
    assert_int_equal(pageheap_exec_check(heap), 0);
    assert_int_equal(pageheap_exec_free(heap, span.rx, new_bytes), 0);
    free(before);
}

static void shrinks(void **state)
{
    static const struct {
        size_t from, to;
    } cases[] = {
        { 128, 64 },         { 128, 1 },        { 1000, 999 },
        { 1000, 960 },       { 1000, 500 },     { 4000, 6 },
        { PAGE - 65, 64 },   { PAGE, 6 },       { PAGE, 4095 },
        { 2 * PAGE, PAGE },  { 100, 100 },      { 2 * PAGE, 5000 },
        { 64 * PAGE, 3000 }, { BLOCK, 6 },      { BLOCK, BLOCK - PAGE },
        { PAGE, PAGE },      { 511 * PAGE, 1 }, { 300 * PAGE, 70000 },
        { BLOCK - 1, PAGE },
    };
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec *heap = exec_heap(backend);
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
                shrink_to(heap, cases[i].from, cases[i].to);
            if (round == 1)
                pageheap_exec_trim(heap, 0);
        }
        pageheap_exec_trim(heap, 0);
        assert_int_equal(exec_stats(heap).in_use_bytes, 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* The tail of a shrunken span serves the next request: the heap is as small as what is left. */
static void shrunken_tails_serve(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec_span span;
        pageheap_exec *heap = exec_small_heap(backend, 2 * BLOCK);
        assert_non_null(heap);
        while (pageheap_exec_alloc(heap, 100 * PAGE, &span) == 0)
            assert_int_equal(pageheap_exec_shrink(heap, span.rx, 100 * PAGE, PAGE), 0);
        unsigned count = 0;
        pageheap_exec_trim(heap, 0);
        for (; count < 5000 && pageheap_exec_alloc(heap, 2048, &span) == 0; count++)
            assert_int_equal(pageheap_exec_shrink(heap, span.rx, 2048, 64), 0);
        assert_true(count >= 1024); /* two a page at least, and half of the pages */
        pageheap_exec_trim(heap, 0);
        while (pageheap_exec_alloc(heap, PAGE, &span) == 0)
            continue;
        assert_int_equal(exec_stats(heap).in_use_bytes, 2 * BLOCK);
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

typedef struct seen {
    const pageheap_exec_span *spans;
    unsigned char times[1000];
    size_t count, others, stop_after;
} seen;

static int see(void *ctx, const pageheap_exec_span *span)
{
    seen *s = ctx;
    for (size_t i = 0; i < s->count; i++) {
        if (s->spans[i].rx == span->rx && s->spans[i].rw == span->rw && s->spans[i].bytes == span->bytes) {
            s->times[i]++;
            return --s->stop_after == 0 ? 4711 : 0;
        }
    }
    s->others++;
    return 0;
}

/* All live spans once, and nothing else: no freed one, no rest of a page that pieces are cut from. */
static void each_span_once(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec_span spans[1000], gone;
        pageheap_exec *heap = exec_heap(backend);
        for (uint32_t i = 0; i < 1000; i++) {
            size_t bytes = i % 100 == 0 ? BLOCK + i * PAGE
                           : i % 3 == 0 ? (1 + i % 9) * PAGE
                                        : 1 + i * 7 % 4000;
            assert_int_equal(pageheap_exec_alloc(heap, bytes, &spans[i]), 0);
            assert_int_equal(pageheap_exec_alloc(heap, bytes, &gone), 0);
            assert_int_equal(pageheap_exec_free(heap, gone.rx, bytes), 0);
        }
        seen s = { .spans = spans, .count = 1000 };
        assert_int_equal(pageheap_exec_each(heap, see, &s), 0);
        assert_int_equal(s.others, 0);
        for (unsigned i = 0; i < 1000; i++)
            assert_int_equal(s.times[i], 1);
        s.stop_after = 10;
        assert_int_equal(pageheap_exec_each(heap, see, &s), 4711);
        assert_int_equal(s.stop_after, 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* Fresh until something was published there, also after that was freed. */
static void freshness(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        static const size_t cases[] = { 64, 2048, PAGE, 5 * PAGE, BLOCK, 3 * BLOCK };
        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            pageheap_exec_span first, again;
            pageheap_exec *heap = exec_small_heap(backend, 3 * BLOCK); /* with hardly another place */
            assert_int_equal(pattern_alloc(heap, cases[i], 1, &first), 0);
            assert_int_equal(first.flags, PAGEHEAP_EXEC_FRESH);
            assert_int_equal(pageheap_exec_free(heap, first.rx, cases[i]), 0);
            bool was_met = false;
            for (unsigned n = 0; n < 200000 && pageheap_exec_alloc(heap, cases[i], &again) == 0 && !was_met;
                 n++) {
                was_met = again.rx == first.rx;
                assert_true(again.rx != first.rx || again.flags == 0);
            }
            assert_true(was_met);
            assert_int_equal(pageheap_exec_destroy(heap), 0);
        }
    }
}

/* No executable address is ever zero bytes: what was freed is clean of old code for the next owner. */
static void taken_again(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec *heap = exec_heap(backend);
        unsigned char *old = malloc(BLOCK);
        pageheap_exec_span span;
        static const size_t cases[] = { 64, 1000, PAGE, 7 * PAGE, BLOCK };
        for (unsigned i = 0; i < 500; i++) {
            size_t bytes = cases[i % (i % 50 == 0 ? 5 : 4)];
            assert_int_equal(pageheap_exec_alloc(heap, bytes, &span), 0);
            pattern_make(old, 0, span.bytes, 4711);
            size_t same = 0;
            for (size_t at = 0; at < span.bytes; at++)
                same += ((unsigned char *)span.rx)[at] == old[at];
            assert_true(same <= span.bytes / 16);
            assert_int_equal(pattern_write(heap, &span, 4711), 0);
            assert_int_equal(code_run(span.rx), 4711);
            assert_int_equal(pageheap_exec_free(heap, span.rx, bytes), 0);
        }
        free(old);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_all_kinds),   cmocka_unit_test(granules),       cmocka_unit_test(shrinks),
        cmocka_unit_test(shrunken_tails_serve), cmocka_unit_test(each_span_once), cmocka_unit_test(freshness),
        cmocka_unit_test(taken_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
