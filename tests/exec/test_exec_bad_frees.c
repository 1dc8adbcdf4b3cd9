/* SPDX-License-Identifier: MIT */
/* test_exec_bad_frees.c -- a million frees and shrinks that name no live span, among 100,000 that live: each
 * is refused, and neither a number nor a byte of live code has changed.
 *
 * test_exec_peer.cpp puts the simplest of them to another allocator.
 */
#include "exec_test.h"

typedef struct stage {
    pageheap_exec *heap, *foreign;
    pageheap *plain;
    pageheap_exec_span *live, *dead; /* dead: freed, and nothing taken since */
    unsigned live_count, dead_count;
    pageheap_exec_span strangers[64]; /* of the foreign heap */
    pageheap_exec_span gone_block;    /* two whole blocks, freed and trimmed */
    char *runs[64];                   /* of the plain heap */
    size_t longest_bytes;
} stage;

/* Half of them pages, mostly one, half pieces. */
static size_t bytes_of(unsigned i)
{
    if (i % 2 == 0)
        return 1 + i * 13 % 1500;
    return i % 64 == 1 ? (2 + i % 5) * PAGE : PAGE;
}

static pageheap_exec_span *spans_make(size_t count)
{
    pageheap_exec_span *spans = calloc(count, sizeof *spans);
    assert_non_null(spans);
    return spans;
}

static void stage_build(stage *s, uint32_t backend, unsigned live_count)
{
    *s = (stage){ .heap = exec_heap(backend), .foreign = exec_heap(backend), .plain = pageheap_create(NULL) };
    assert_non_null(s->heap);
    assert_non_null(s->foreign);
    unsigned all = live_count + live_count / 4;
    s->live = spans_make(all);
    s->dead = spans_make(all);
    assert_int_equal(pattern_alloc(s->heap, 2 * BLOCK, 1, &s->gone_block), 0);
    assert_int_equal(pageheap_exec_free(s->heap, s->gone_block.rx, 2 * BLOCK), 0);
    pageheap_exec_trim(s->heap, 0);
    for (unsigned i = 0; i < all; i++) {
        pageheap_exec_span span;
        assert_int_equal(pageheap_exec_alloc(s->heap, bytes_of(i), &span), 0);
        if (i % 5 == 4) /* free them all later: what is freed now is handed out again */
            s->dead[s->dead_count++] = span;
        else
            s->live[s->live_count++] = span;
    }
    for (unsigned i = 0; i < s->live_count; i++)
        assert_int_equal(pattern_write(s->heap, &s->live[i], i), 0);
    for (unsigned i = 0; i < s->dead_count; i++)
        assert_int_equal(pageheap_exec_free(s->heap, s->dead[i].rx, s->dead[i].bytes), 0);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(pattern_alloc(s->foreign, bytes_of(i), i, &s->strangers[i]), 0);
        s->runs[i] = pageheap_alloc(s->plain, 1 + i % 3, 0);
        assert_non_null(s->runs[i]);
        memset(s->runs[i], (int)i, PAGE);
    }
}

typedef struct bad_free {
    char *rx;
    size_t bytes;
} bad_free;

static size_t wrong_size(const pageheap_exec_span *span, uint64_t random)
{
    size_t unit = span->bytes < PAGE ? 64 : PAGE;
    switch (random % 8) {
    case 0:
        return span->bytes + 1;
    case 1:
        return span->bytes - unit; /* 0 too */
    case 2:
        return span->bytes + unit;
    case 3:
        return span->bytes * 2;
    case 4:
        return span->bytes + BLOCK;
    case 5:
        return span->bytes | (size_t)1 << (32 + random / 8 % 32);
    case 6:
        return SIZE_MAX - random / 8 % 100000;
    default:
        return span->bytes < PAGE ? PAGE * (1 + random / 8 % 3) : random / 8 % (span->bytes - PAGE + 1);
    }
}

static const char *const kinds[] = { "double",      "interior",  "rw pointer", "wrong size", "foreign heap",
                                     "freed block", "unaligned", "plain heap", "stack",      "random" };
#define KINDS (sizeof kinds / sizeof kinds[0])

/* What is certainly no live span, of kind `kind`. */
static bad_free bad_free_make(stage *s, unsigned kind, dice *d)
{
    const pageheap_exec_span *live = &s->live[dice_below(d, s->live_count)];
    const pageheap_exec_span *dead = &s->dead[dice_below(d, s->dead_count)];
    uint64_t random = dice_next(d);
    char *rx = live->rx;
    size_t granule_at = live->bytes < PAGE ? 64 : PAGE;
    switch (kind) {
    case 0:
        return (bad_free){ dead->rx, dead->bytes };
    case 1: /* a tail that would be a span, a byte in the middle, or a length that reaches into the next */
        if (live->bytes > granule_at && random % 2)
            return (bad_free){ rx + granule_at, live->bytes - granule_at };
        return (bad_free){ rx + 1 + random % (live->bytes - 1), live->bytes };
    case 2:
        return (bad_free){ live->rw == NULL || live->rw == rx ? rx + 8 : live->rw, live->bytes };
    case 3:
        return (bad_free){ rx, wrong_size(live, random) };
    case 4:
        live = &s->strangers[random % 64];
        return (bad_free){ live->rx, live->bytes };
    case 5:
        return (bad_free){ (char *)s->gone_block.rx + (random % 512) * PAGE, random % 2 ? PAGE : 2 * BLOCK };
    case 6:
        return (bad_free){ rx + (random % 2 ? 1 : -1) * (ptrdiff_t)(1 + random / 2 % 15), live->bytes };
    case 7:
        return (bad_free){ s->runs[random % 64], (1 + random % 64 % 3) * PAGE };
    case 8:
        return (bad_free){ (char *)&random, 64 };
    default:
        return (bad_free){ (char *)(uintptr_t)(random | 1), 1 + (size_t)(random >> 32) };
    }
}

/* A freed block may have been taken again: then its pages are live ones. */
static bool is_live(stage *s, const bad_free *bad)
{
    pageheap_exec_span found;
    return pageheap_exec_find(s->heap, bad->rx, &found) == 0 && found.rx == bad->rx &&
           (bad->bytes + PAGE - 1) / PAGE == found.bytes / PAGE;
}

static void assert_all_whole(stage *s)
{
    for (unsigned i = 0; i < s->live_count; i++)
        assert_true(pattern_holds(s->live[i].rx, s->live[i].bytes, i));
    for (unsigned i = 0; i < 64; i++) {
        assert_true(pattern_holds(s->strangers[i].rx, s->strangers[i].bytes, i));
        assert_int_equal(s->runs[i][PAGE - 1], i);
    }
}

static void refuse_all(stage *s, unsigned count, dice *d)
{
    unsigned refused[KINDS] = { 0 };
    for (unsigned n = 0; n < count; n++) {
        unsigned kind = (unsigned)dice_below(d, KINDS);
        bad_free bad = bad_free_make(s, kind, d);
        if (kind == 5 && is_live(s, &bad))
            continue;
        int error = n % 4 == 3 ? pageheap_exec_shrink(s->heap, bad.rx, bad.bytes, 1 + bad.bytes / 2)
                               : pageheap_exec_free(s->heap, bad.rx, bad.bytes);
        if (error != PAGEHEAP_EINVAL && error != PAGEHEAP_ENOTOURS && error != PAGEHEAP_EBADRUN &&
            error != PAGEHEAP_ERANGE)
            fail_msg("%s of %zu bytes at %p: answer %d", kinds[kind], bad.bytes, (void *)bad.rx, error);
        refused[kind]++;
    }
    for (unsigned kind = 0; kind < KINDS; kind++)
        assert_true(refused[kind] != 0);
}

static void stage_end(stage *s)
{
    for (unsigned i = 0; i < s->live_count; i++) {
        assert_int_equal(code_run(s->live[i].rx), i);
        assert_int_equal(pageheap_exec_free(s->heap, s->live[i].rx, s->live[i].bytes), 0);
        assert_true(pageheap_exec_free(s->heap, s->live[i].rx, s->live[i].bytes) < 0);
    }
    pageheap_exec_trim(s->heap, 0);
    assert_int_equal(exec_stats(s->heap).in_use_bytes, 0);
    assert_int_equal(pageheap_exec_check(s->heap), 0);
    assert_int_equal(pageheap_exec_destroy(s->heap), 0);
    assert_int_equal(pageheap_exec_destroy(s->foreign), 0);
    assert_int_equal(pageheap_destroy(s->plain), 0);
    free(s->live);
    free(s->dead);
}

static void play(uint32_t backend, unsigned live_count, unsigned frees)
{
    stage s;
    dice d = dice_new();
    stage_build(&s, backend, live_count);
    assert_all_whole(&s);
    pageheap_exec_stats before = exec_stats(s.heap), foreign_before = exec_stats(s.foreign);
    refuse_all(&s, frees, &d);
    pageheap_exec_stats after = exec_stats(s.heap), foreign_after = exec_stats(s.foreign);
    assert_true(exec_is_same(&before, &after));
    assert_true(exec_is_same(&foreign_before, &foreign_after));
    assert_true(after.refused_frees > before.refused_frees);
    assert_all_whole(&s);
    assert_int_equal(pageheap_exec_check(s.heap), 0);
    /* A plain heap knows nothing of executable spans. */
    for (unsigned i = 0; i < 1000 && i < s.live_count; i++) {
        char *page = (char *)((uintptr_t)s.live[i].rx & ~(PAGE - 1));
        assert_true(pageheap_free(s.plain, page, 1) < 0);
        assert_true(pageheap_free_unsized(s.plain, page) < 0);
    }
    stage_end(&s);
}

static void all_are_refused(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    {
        bool is_full = backend == PAGEHEAP_EXEC_MEMFD || exec_is_long();
        play(backend, (is_full ? 100000 : 10000) / EXEC_SHARE, (is_full ? 1000000 : 200000) / EXEC_SHARE);
    }
}

/* A million double frees of one hot span: what makes a pair fast must not make it blind. */
static void hot_double_frees(void **state)
{
    (void)state;
    static const size_t cases[] = { 64, 1000, PAGE, 3 * PAGE, BLOCK };
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    {
        pageheap_exec *heap = exec_heap(backend);
        for (unsigned i = 0; i < 5; i++) {
            pageheap_exec_span span;
            for (unsigned n = 0; n < 300; n++) {
                assert_int_equal(pageheap_exec_alloc(heap, cases[i], &span), 0);
                assert_true(pageheap_exec_free(heap, span.rx, span.bytes + 1) < 0);
                assert_int_equal(pageheap_exec_free(heap, span.rx, cases[i]), 0);
                assert_true(pageheap_exec_free(heap, span.rx, cases[i]) < 0);
                assert_true(pageheap_exec_shrink(heap, span.rx, cases[i], 1) < 0);
                assert_true(pageheap_exec_write(heap, span.rx, &span, 6) < 0);
                assert_true(pageheap_exec_publish(heap, span.rx, 6) < 0);
            }
        }
        assert_int_equal(pageheap_exec_check(heap), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* With the flag a bad free ends the process, and a good one does not. */
static void die_of_it(void *kind)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    pageheap_exec_span span;
    options.flags = PAGEHEAP_FATAL_MISUSE;
    pageheap_exec *heap = pageheap_exec_create(&options);
    REQUIRE(heap != NULL && pageheap_exec_alloc(heap, 3 * PAGE, &span) == 0);
    REQUIRE(pageheap_exec_free(heap, span.rx, 3 * PAGE) == 0);
    REQUIRE(pageheap_exec_alloc(heap, 3 * PAGE, &span) == 0);
    REQUIRE(freopen("/dev/null", "w", stderr) != NULL);
    if (*(int *)kind == 0)
        (void)pageheap_exec_free(heap, span.rx, 2 * PAGE);
    else if (*(int *)kind == 1)
        (void)pageheap_exec_free(heap, (char *)span.rx + PAGE, PAGE);
    else
        (void)pageheap_exec_shrink(heap, span.rx, PAGE, 64);
}

static void fatal_if_asked(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        int status = child_status(die_of_it, &kind, 20);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fatal_if_asked),
        cmocka_unit_test(hot_double_frees),
        cmocka_unit_test(all_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
