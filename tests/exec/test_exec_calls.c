/* SPDX-License-Identifier: MIT */
/* test_exec_calls.c -- what each call of executable heaps refuses, and that a refusal has changed nothing;
 * writing between begin and end; spans in a range; hooks; limits. */
#include "exec_test.h"

#define ALL_LAST PAGEHEAP_EXEC_RWX

static void assert_no_heap(pageheap_exec_options options)
{
    errno = 0;
    assert_null(pageheap_exec_create(&options));
    assert_int_equal(errno, EINVAL);
}

static void options_are_checked(void **state)
{
    (void)state;
    pageheap_exec_options good = PAGEHEAP_EXEC_OPTIONS_INIT, bad;
    bad = good, bad.struct_bytes = 0;
    assert_no_heap(bad);
    struct {
        pageheap_exec_options known;
        uint64_t unknown; /* of a later version, and set */
    } longer = { PAGEHEAP_EXEC_OPTIONS_INIT, 1 };
    longer.known.struct_bytes = sizeof longer;
    assert_null(pageheap_exec_create(&longer.known));
    const uint32_t known =
        PAGEHEAP_FATAL_MISUSE | PAGEHEAP_EXEC_ANYWHERE | PAGEHEAP_EXEC_NO_FILL | PAGEHEAP_EXEC_HUGE;
    for (unsigned bit = 0; bit < 32; bit++) {
        bad = good;
        bad.flags = 1u << bit;
        if ((bad.flags & known) == 0)
            assert_no_heap(bad);
    }
    bad = good, bad.backend = PAGEHEAP_EXEC_BACKENDS;
    assert_no_heap(bad);
    bad = good, bad.fork_policy = 3;
    assert_no_heap(bad);
    for (uint32_t backend = PAGEHEAP_EXEC_PRIVATE; backend <= PAGEHEAP_EXEC_RWX; backend++) {
        bad = good, bad.backend = backend, bad.fork_policy = PAGEHEAP_EXEC_FORK_SHARE;
        errno = 0;
        assert_null(pageheap_exec_create(&bad));
        assert_true(errno != 0);
    }
    bad = good, bad.reserve_bytes = BLOCK + PAGE;
    assert_no_heap(bad);
    bad = good, bad.reserve_bytes = 1;
    assert_no_heap(bad);
    errno = 4711;
    pageheap_exec *heap = pageheap_exec_create(&good);
    assert_non_null(heap);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
    assert_int_equal(errno, 4711);
}

static void probe_is_checked(void **state)
{
    (void)state;
    pageheap_exec_caps caps = { .struct_bytes = sizeof caps }, again = { .struct_bytes = sizeof caps };
    for (unsigned bit = 1; bit < 32; bit++)
        assert_int_equal(pageheap_exec_probe(1u << bit, &caps), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_exec_probe(0, NULL), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_exec_probe(0, &caps), 0);
    assert_int_equal(caps.errors[PAGEHEAP_EXEC_RWX], ENOTSUP);
    uint32_t first = PAGEHEAP_EXEC_BEST;
    for (uint32_t backend = PAGEHEAP_EXEC_FLIP; backend >= PAGEHEAP_EXEC_MEMFD; backend--)
        first = caps.errors[backend] == 0 ? backend : first;
    assert_int_equal(caps.best, first);
    uint64_t began_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(pageheap_exec_probe(0, &again), 0);
    assert_true(clock_us(CLOCK_THREAD_CPUTIME_ID) - began_us < 100000 * EXEC_SHARE); /* not 100,000 trials */
    assert_memory_equal(&caps, &again, sizeof caps);
    again.struct_bytes = 8; /* as many bytes as it says */
    again.best = 4711, again.errors[1] = 4711;
    if (pageheap_exec_probe(0, &again) == 0)
        assert_int_equal(again.errors[1], 4711);
    assert_true(caps.best == PAGEHEAP_EXEC_BEST || exec_works(caps.best));
}

/* Each refusal by its code; the numbers of the heap stay as they were. */
static void arguments_are_checked(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec *heap = exec_heap(backend);
        pageheap_exec_span a, b, none, big;
        char code[64] = { 0 };
        assert_int_equal(pattern_alloc(heap, 64, 1, &a), 0);
        assert_int_equal(pattern_alloc(heap, 64, 2, &b), 0);
        assert_int_equal(pattern_alloc(heap, 3 * PAGE, 3, &big), 0);
        pageheap_exec_stats before = exec_stats(heap);
        errno = 4711;
        memset(&none, 0x55, sizeof none);
        assert_int_equal(pageheap_exec_alloc(heap, 0, &none), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_alloc(heap, 64, NULL), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_alloc(NULL, 64, &none), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_alloc(heap, ((size_t)1 << 30) + 1, &none), PAGEHEAP_ERANGE);
        assert_int_equal(pageheap_exec_alloc(heap, SIZE_MAX, &none), PAGEHEAP_ERANGE);
        assert_int_equal(pageheap_exec_alloc(heap, SIZE_MAX - PAGE + 1, &none), PAGEHEAP_ERANGE);
        assert_int_equal(((unsigned char *)&none)[0], 0x55);
        assert_int_equal(pageheap_exec_free(heap, NULL, 64), 0);
        assert_int_equal(pageheap_exec_free(heap, a.rx, 0), PAGEHEAP_EINVAL);
        assert_true(pageheap_exec_free(heap, a.rx, SIZE_MAX) < 0);
        assert_true(pageheap_exec_free(heap, code, 64) < 0);
        assert_int_equal(pageheap_exec_shrink(heap, a.rx, 64, 0), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_shrink(heap, a.rx, 64, 65), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_shrink(heap, big.rx, 3 * PAGE, SIZE_MAX), PAGEHEAP_EINVAL);
        assert_true(pageheap_exec_shrink(heap, big.rx, 2 * PAGE, PAGE) < 0);
        assert_true(pageheap_exec_shrink(heap, (char *)big.rx + PAGE, 2 * PAGE, PAGE) < 0);
        assert_true(pageheap_exec_write(heap, a.rx, code, 65) < 0);
        assert_true(pageheap_exec_write(heap, a.rx, NULL, 6) < 0);
        assert_true(pageheap_exec_write(heap, code, code, 6) < 0);
        assert_true(pageheap_exec_write(heap, (char *)a.rx + 63, code, 2) < 0);
        assert_true(pageheap_exec_write(heap, big.rx, code, SIZE_MAX) < 0);
        assert_true(pageheap_exec_write(heap, (char *)big.rx + 3 * PAGE - 1, code, 2) < 0);
        assert_true(pageheap_exec_publish(heap, a.rx, 65) < 0);
        assert_true(pageheap_exec_publish(heap, code, 6) < 0);
        assert_true(pageheap_exec_publish(heap, (char *)big.rx + 1, 3 * PAGE) < 0);
        assert_int_equal(pageheap_exec_find(heap, code, &none), PAGEHEAP_ENOTOURS);
        assert_int_equal(pageheap_exec_find(heap, NULL, &none), PAGEHEAP_ENOTOURS);
        assert_int_equal(pageheap_exec_find(heap, a.rx, NULL), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_get_stats(heap, NULL), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_destroy(NULL), PAGEHEAP_EINVAL);
        assert_null(pageheap_exec_rw(heap, code));
        assert_null(pageheap_exec_rw(heap, NULL));
        assert_int_equal(errno, 4711);
        pageheap_exec_stats after = exec_stats(heap);
        assert_true(exec_is_same(&before, &after));
        assert_true(pattern_holds(a.rx, 64, 1) && pattern_holds(b.rx, 64, 2) &&
                    pattern_holds(big.rx, 3 * PAGE, 3));
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* ---- writing --------------------------------------------------------------------------- */

/* Two pieces of one page are written at once, nested: while any is, they may not run; then both do. */
static void begin_and_end_nest(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec *heap = exec_heap(backend);
        pageheap_exec_span span[2];
        assert_int_equal(pattern_alloc(heap, 64, 1, &span[0]), 0);
        assert_int_equal(pattern_alloc(heap, 5 * PAGE, 2, &span[1]), 0);
        for (unsigned i = 0; i < 2; i++) {
            void *rx = span[i].rx;
            errno = 0;
            unsigned char *at = pageheap_exec_begin_write(heap, rx, span[i].bytes);
            if (backend == PAGEHEAP_EXEC_PRIVATE) {
                assert_null(at);
                assert_int_equal(errno, ENOTSUP);
                continue;
            }
            assert_ptr_equal(at, exec_is_pair(backend) ? span[i].rw : rx);
            assert_ptr_equal(pageheap_exec_begin_write(heap, (char *)rx + 8, 8), at + 8);
            code_make(at, 70 + i);
            assert_int_equal(pageheap_exec_end_write(heap, rx, span[i].bytes), 0);
            at[9] = at[9]; /* the inner one goes on */
            at[15] = 0xcc;
            assert_int_equal(maps_count_wx() != 0, backend == PAGEHEAP_EXEC_RWX);
            assert_int_equal(pageheap_exec_end_write(heap, (char *)rx + 8, 8), 0);
            assert_int_equal(pageheap_exec_publish(heap, rx, span[i].bytes), 0);
            assert_int_equal(code_run(rx), 70 + i);
            if (backend != PAGEHEAP_EXEC_RWX)
                assert_int_equal(maps_at(rx).perms[1], '-');
            assert_int_equal(maps_at(rx).perms[2], 'x');
            assert_null(pageheap_exec_begin_write(heap, rx, span[i].bytes + 1));
            assert_null(pageheap_exec_begin_write(heap, rx, 0));
        }
        assert_true(pageheap_exec_free(heap, span[0].rx, 64) == 0);
        assert_null(pageheap_exec_begin_write(heap, span[0].rx, 64));
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* What has been written and published again and again runs as it was written last, in pieces of one page. */
static void rewritten_many_times(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec *heap = exec_heap(backend);
        pageheap_exec_span spans[64], many[3];
        unsigned char code[64];
        for (uint32_t i = 0; i < 64; i++)
            assert_int_equal(pattern_alloc(heap, i % 2 ? 64 : PAGE, i, &spans[i]), 0);
        for (uint32_t round = 0; round < 3000; round++) {
            uint32_t i = round * 37 % 64;
            code_make(code, round);
            assert_int_equal(pageheap_exec_write(heap, spans[i].rx, code, CODE_BYTES), 0);
            assert_int_equal(pageheap_exec_publish(heap, spans[i].rx, CODE_BYTES), 0);
            assert_int_equal(code_run(spans[i].rx), round);
        }
        memcpy(many, spans, sizeof many);
        assert_int_equal(pageheap_exec_publish_many(heap, many, 3), 0);
        assert_int_equal(pageheap_exec_publish_many(heap, many, 0), 0);
        assert_int_equal(pageheap_exec_free(heap, many[1].rx, many[1].bytes), 0);
        uint64_t barriers = exec_stats(heap).barriers;
        assert_true(pageheap_exec_publish_many(heap, many, 3) < 0);
        assert_int_equal(exec_stats(heap).barriers, barriers);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* ---- in a range ------------------------------------------------------------------------ */

/* A heap of two blocks, full of one-page spans: which of its pages are taken is known. */
typedef struct full {
    pageheap_exec *heap;
    char *base;
    unsigned char is_taken[1024];
} full;

static void full_make(full *f, uint32_t backend)
{
    static char *pages[1024];
    pageheap_exec_span span;
    unsigned count = 0;
    *f = (full){ .heap = exec_small_heap(backend, 2 * BLOCK), .base = (char *)UINTPTR_MAX };
    assert_non_null(f->heap);
    for (int error = 0; error == 0;) {
        error = pageheap_exec_alloc(f->heap, PAGE, &span);
        assert_true(error == 0 || error == PAGEHEAP_ENOMEM);
        assert_true(error != 0 || count < 1024);
        if (error == 0)
            pages[count++] = span.rx;
    }
    assert_int_equal(count, 1024); /* the last page too, and nothing of the heap's own among them */
    for (unsigned i = 0; i < count; i++)
        f->base = pages[i] < f->base ? pages[i] : f->base;
    for (unsigned i = 0; i < count; i++) {
        assert_true(pages[i] < f->base + 1024 * PAGE);
        f->is_taken[(size_t)(pages[i] - f->base) / PAGE] = 1;
    }
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(f->is_taken[i], 1);
}

/* A hole of so many pages within [lo, hi), pages of the heap.  Spans of up to a block lie in one. */
static bool full_has_hole(const full *f, size_t lo, size_t hi, size_t pages)
{
    size_t length = 0;
    for (size_t page = lo; page < hi; page++) {
        length = f->is_taken[page] ? 0 : page % 512 == 0 ? 1 : length + 1;
        if (length == pages)
            return true;
    }
    return false;
}

static void full_try_within(full *f, dice *d)
{
    pageheap_exec_span span;
    size_t pages = 1 + dice_below(d, dice_below(d, 4) ? 4 : 30), lo = dice_below(d, 1024);
    size_t hi = lo + dice_below(d, 1025 - lo);
    if (dice_below(d, 4) == 0 && lo + pages <= 1024)
        hi = lo + pages; /* exactly here or nowhere */
    /* Whole pages: half of one, on either side, is none. */
    char *from = f->base + lo * PAGE - (lo ? dice_below(d, PAGE) : 0), *to = f->base + hi * PAGE;
    int error = pageheap_exec_alloc_within(f->heap, pages * PAGE - dice_below(d, 100), from, to, &span);
    if (!full_has_hole(f, lo, hi, pages)) {
        assert_int_equal(error, hi == lo && error == PAGEHEAP_EINVAL ? PAGEHEAP_EINVAL : PAGEHEAP_ERANGE);
        return;
    }
    assert_int_equal(error, 0);
    assert_true((char *)span.rx >= from && (char *)span.rx + span.bytes <= to);
    assert_int_equal(span.bytes, pages * PAGE);
    size_t first = (size_t)((char *)span.rx - f->base) / PAGE;
    assert_int_equal((uintptr_t)span.rx % PAGE, 0);
    for (size_t page = first; page < first + pages; page++) {
        assert_int_equal(f->is_taken[page], 0);
        f->is_taken[page] = 1;
    }
    assert_int_equal(pattern_write(f->heap, &span, (uint32_t)first), 0);
    assert_int_equal(code_run(span.rx), first);
    if (pages > 1) { /* leave one-page spans only, so that any of them can be freed */
        for (size_t page = first; page < first + pages; page++)
            f->is_taken[page] = 0;
        assert_int_equal(pageheap_exec_free(f->heap, span.rx, span.bytes), 0);
    }
}

static void within_a_range(void **state)
{
    (void)state;
    dice d = dice_new();
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        full f;
        pageheap_exec_span span;
        full_make(&f, backend);
        for (unsigned round = 0; round < 20000 / EXEC_SHARE; round++) {
            size_t page = dice_below(&d, 1024);
            if (f.is_taken[page] && dice_below(&d, 3) != 0) {
                assert_int_equal(pageheap_exec_free(f.heap, f.base + page * PAGE, PAGE), 0);
                f.is_taken[page] = 0;
            }
            full_try_within(&f, &d);
        }
        char *lo = f.base, *hi = f.base + 2 * BLOCK;
        assert_true(pageheap_exec_alloc_within(f.heap, PAGE, hi, lo, &span) < 0);
        assert_int_equal(pageheap_exec_alloc_within(f.heap, PAGE, hi, hi + BLOCK, &span), PAGEHEAP_ERANGE);
        assert_int_equal(pageheap_exec_alloc_within(f.heap, PAGE, lo - BLOCK, lo, &span), PAGEHEAP_ERANGE);
        assert_int_equal(pageheap_exec_alloc_within(f.heap, 0, lo, hi, &span), PAGEHEAP_EINVAL);
        assert_int_equal(pageheap_exec_check(f.heap), 0);
        for (size_t page = 0; page < 1024; page++)
            assert_int_equal(f.is_taken[page] && pageheap_exec_free(f.heap, f.base + page * PAGE, PAGE) != 0,
                             0);
        assert_int_equal(pageheap_exec_alloc_within(f.heap, BLOCK, lo + 1, hi, &span), 0);
        assert_ptr_equal(span.rx, lo + BLOCK);
        assert_int_equal(pageheap_exec_destroy(f.heap), 0);
    }
}

/* ---- hooks and limits ------------------------------------------------------------------ */

typedef struct events {
    pageheap_exec *heap;
    size_t mapped_bytes, unmapped_bytes;
    unsigned published, named, freed, wrongs;
    pageheap_exec_span last;
} events;

static void on_mapped(void *ctx, const void *rx, size_t bytes)
{
    events *e = ctx;
    e->mapped_bytes += bytes;
    e->wrongs += rx == NULL || bytes % BLOCK != 0;
}

static void on_unmapped(void *ctx, const void *rx, size_t bytes)
{
    events *e = ctx;
    e->unmapped_bytes += bytes;
    e->wrongs += rx == NULL || bytes % BLOCK != 0;
}

static void on_published(void *ctx, const void *rx, size_t bytes)
{
    events *e = ctx;
    pageheap_exec_span found;
    e->published++;
    e->wrongs += pageheap_exec_find(e->heap, rx, &found) != 0 || found.rx != rx || found.bytes < bytes;
}

static void on_named(void *ctx, const void *rx, size_t bytes, const char *name)
{
    events *e = ctx;
    e->named++;
    e->wrongs += rx != e->last.rx || bytes != e->last.bytes || strcmp(name, "four") != 0;
}

static void on_freed(void *ctx, const void *rx, size_t bytes)
{
    events *e = ctx;
    e->freed++;
    e->wrongs += rx != e->last.rx || bytes != e->last.bytes;
}

static void hooks_hear_of_all(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        events e = { 0 };
        pageheap_exec_hooks hooks = { on_mapped, on_unmapped, on_published, on_named, on_freed, &e };
        pageheap_exec_options options = exec_options(backend);
        options.hooks = &hooks;
        e.heap = pageheap_exec_create(&options);
        memset(&hooks, 0, sizeof hooks); /* they are copied */
        static const size_t cases[] = { 64, PAGE, 5 * PAGE, BLOCK, 3 * BLOCK };
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(pattern_alloc(e.heap, cases[i % 5], i, &e.last), 0);
            assert_int_equal(e.published, i + 1);
            assert_int_equal(pageheap_exec_name(e.heap, e.last.rx, e.last.bytes, "four"), 0);
            assert_true(pageheap_exec_free(e.heap, e.last.rx, e.last.bytes + PAGE) < 0);
            assert_int_equal(e.freed, i);
            assert_int_equal(pageheap_exec_free(e.heap, e.last.rx, e.last.bytes), 0);
            assert_int_equal(e.freed, i + 1);
        }
        assert_int_equal(e.named, 100);
        assert_true(e.mapped_bytes >= 3 * BLOCK);
        assert_int_equal(e.mapped_bytes - e.unmapped_bytes, exec_stats(e.heap).mapped_bytes);
        assert_int_equal(pageheap_exec_destroy(e.heap), 0);
        assert_int_equal(e.mapped_bytes, e.unmapped_bytes);
        assert_int_equal(e.wrongs, 0);
    }
}

static void limit_holds(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, ALL_LAST)
    {
        pageheap_exec_options options = exec_options(backend);
        pageheap_exec_span spans[200], big;
        options.limit_bytes = 100 * PAGE;
        pageheap_exec *heap = pageheap_exec_create(&options);
        assert_int_equal(pageheap_exec_alloc(heap, 101 * PAGE, &big), PAGEHEAP_ENOMEM);
        unsigned count = 0;
        while (count < 200 && pageheap_exec_alloc(heap, PAGE, &spans[count]) == 0)
            count++;
        assert_int_equal(count, 100);
        pageheap_exec_stats stats = exec_stats(heap);
        assert_true(stats.failed_allocs >= 2);
        assert_int_equal(stats.in_use_bytes, 100 * PAGE);
        assert_int_equal(stats.peak_bytes >= PAGE && stats.peak_bytes <= 100 * PAGE, 1);
        assert_int_equal(pageheap_exec_alloc(heap, 64, &big), PAGEHEAP_ENOMEM);
        assert_int_equal(pageheap_exec_free(heap, spans[0].rx, PAGE), 0);
        assert_int_equal(pageheap_exec_alloc(heap, PAGE, &spans[0]), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_checked),   cmocka_unit_test(probe_is_checked),
        cmocka_unit_test(arguments_are_checked), cmocka_unit_test(begin_and_end_nest),
        cmocka_unit_test(rewritten_many_times),  cmocka_unit_test(within_a_range),
        cmocka_unit_test(hooks_hear_of_all),     cmocka_unit_test(limit_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
