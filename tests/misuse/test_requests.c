/* SPDX-License-Identifier: MIT */
/* test_requests.c -- bad requests other than frees: sizes that cannot be, flags that are not, reshaping of
 * what is no run; and every use of a heap that was destroyed. */
#include <errno.h>

#include "pageheap/exec.h"
#include "ruin.h"

static void assert_no_run(void *run, int error)
{
    assert_null(run);
    assert_int_equal(errno, error);
    errno = 0;
}

static void impossible_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        SIZE_MAX,        SIZE_MAX - 4094, SIZE_MAX / PAGE + 2, ((size_t)1 << 52) + 1,
        (size_t)1 << 36, (size_t)1 << 40
    };
    ruin r;
    ruin_build(&r, 1);
    errno = 0;
    assert_no_run(pageheap_alloc(r.heap, 0, 0), EINVAL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *many[2] = { NULL, NULL };
        assert_no_run(pageheap_alloc(r.heap, sizes[i], 0), ENOMEM);
        assert_no_run(pageheap_alloc(r.heap, sizes[i], PAGEHEAP_ZERO | PAGEHEAP_GUARD), ENOMEM);
        assert_no_run(pageheap_alloc_aligned(r.heap, sizes[i], (size_t)1 << 30, 0), ENOMEM);
        assert_no_run(pageheap_resize(r.heap, r.run, 1, sizes[i], PAGEHEAP_MAYMOVE), ENOMEM);
        assert_int_equal(pageheap_alloc_many(r.heap, sizes[i], 0, many, 2), 0);
        assert_int_equal(errno, ENOMEM);
        errno = 0;
    }
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_int_equal(pageheap_get_stats(r.heap, &stats), 0);
    assert_true(stats.failed_allocs >= 4 * sizeof sizes / sizeof sizes[0]);
    ruin_assert_unchanged(&r);
    char *one = pageheap_alloc(r.heap, 1, 0);
    char *two = pageheap_alloc(r.heap, 1, 0);
    char *block_and_one = pageheap_alloc(r.heap, 513, 0);
    assert_true(one != NULL && two != NULL && one != two);
    assert_non_null(block_and_one);
    assert_int_equal(pageheap_free(r.heap, one, 1), 0);
    assert_int_equal(pageheap_free(r.heap, two, 1), 0);
    assert_int_equal(pageheap_free(r.heap, block_and_one, 513), 0);
    ruin_end(&r);
}

static void bad_flags_and_alignments(void **state)
{
    (void)state;
    ruin r;
    ruin_build(&r, 2);
    errno = 0;
    assert_no_run(pageheap_alloc(r.heap, 1, 0x40), EINVAL);
    assert_no_run(pageheap_alloc(r.heap, 1, 0x80000000u), EINVAL);
    assert_no_run(pageheap_alloc(r.heap, 1, PAGEHEAP_MAYMOVE), EINVAL);
    assert_no_run(pageheap_alloc_aligned(r.heap, 1, 0, 0), EINVAL);
    assert_no_run(pageheap_alloc_aligned(r.heap, 1, 3, 0), EINVAL);
    assert_no_run(pageheap_alloc_aligned(r.heap, 1, 4096 + 4096 / 2, 0), EINVAL);
    assert_no_run(pageheap_alloc_aligned(r.heap, 1, (size_t)2 << 30, 0), EINVAL);
    assert_no_run(pageheap_alloc(NULL, 1, 0), EINVAL);
    assert_no_run(pageheap_resize(r.heap, r.run, 2, 0, 0), EINVAL);
    assert_no_run(pageheap_resize(r.heap, r.run, 2, 3, PAGEHEAP_LOCKED), EINVAL);
    assert_no_run(pageheap_resize(r.heap, r.run, 3, 4, PAGEHEAP_MAYMOVE), EINVAL);
    assert_no_run(pageheap_resize(r.heap, r.run + PAGE, 1, 4, PAGEHEAP_MAYMOVE), EINVAL);
    assert_no_run(pageheap_resize(r.heap, NULL, 1, 4, PAGEHEAP_MAYMOVE), EINVAL);
    assert_int_equal(pageheap_alloc_many(r.heap, 1, 0, NULL, 3), 0);
    assert_int_equal(errno, EINVAL);
    ruin_assert_unchanged(&r);
    ruin_end(&r);
}

static void bad_reshaping(size_t pages)
{
    ruin r;
    ruin_build(&r, pages);
    char *run = r.run;
    assert_int_equal(pageheap_split(r.heap, run, pages, 0), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_split(r.heap, run, pages, pages), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_split(r.heap, run, pages, pages + 1), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_split(r.heap, run, pages + 1, 1), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_split(r.heap, run, pages - 1, 1),
                     pages == 2 ? PAGEHEAP_EINVAL : PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_split(r.heap, run + 1, pages, 1), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_split(r.heap, run + PAGE, pages, 1), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_join(r.heap, run, pages, run, pages), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_join(r.heap, run, pages, r.neighbours[0], 2), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_join(r.heap, run, 1, run + PAGE, pages - 1), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_discard(r.heap, run, 0), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_discard(r.heap, run + 8, 1), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_discard(r.heap, run, pages + 1), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_discard(r.heap, run + PAGE, pages), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_discard(r.heap, run, SIZE_MAX), PAGEHEAP_ERANGE);
    ruin_assert_unchanged(&r);
    assert_int_equal(pageheap_free(r.heap, r.neighbours[2], 100), 0);
    assert_int_equal(pageheap_discard(r.heap, r.neighbours[2], 1), PAGEHEAP_ENOTOURS);
    r.neighbours[2] = pageheap_alloc(r.heap, 100, 0);
    ruin_mark(r.neighbours[2], 100);
    ruin_end(&r);
}

static void bad_reshaping_of_all_lengths(void **state)
{
    (void)state;
    bad_reshaping(2);
    bad_reshaping(100);
    bad_reshaping((size_t)3 * 512);
    bad_reshaping((size_t)262144 + 1);
}

/* ---- after the end --------------------------------------------------------------------- */

static int never_called(void *ctx, const pageheap_run *run)
{
    (void)ctx;
    (void)run;
    fail();
    return 0;
}

static void assert_is_gone(pageheap *heap, void *run)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    void *many[2];
    errno = 0;
    assert_int_equal(pageheap_destroy(heap), PAGEHEAP_EINVAL);
    assert_no_run(pageheap_alloc(heap, 1, 0), EINVAL);
    assert_no_run(pageheap_alloc(heap, 600, PAGEHEAP_GUARD), EINVAL);
    assert_no_run(pageheap_alloc_aligned(heap, 1, 65536, 0), EINVAL);
    assert_no_run(pageheap_alloc_tagged(heap, 1, 0, "late"), EINVAL);
    assert_int_equal(pageheap_alloc_many(heap, 1, 0, many, 2), 0);
    assert_int_equal(pageheap_free(heap, run, 3), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_free_unsized(heap, run), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_free_many(heap, &run, 3, 1), 0);
    assert_no_run(pageheap_resize(heap, run, 3, 4, PAGEHEAP_MAYMOVE), EINVAL);
    assert_int_equal(pageheap_split(heap, run, 3, 1), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_discard(heap, run, 3), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_trim(heap, 0), 0);
    assert_int_equal(pageheap_tick(heap), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_check(heap), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_get_stats(heap, &stats), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_each_run(heap, never_called, NULL), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_page_bytes(heap), 0);
}

/* Several, so that the record of one is linked to that of another. */
static void destroyed_heaps_are_refused(void **state)
{
    (void)state;
    enum { HEAPS = 4 };
    pageheap *heaps[HEAPS];
    void *runs[HEAPS];
    for (unsigned i = 0; i < HEAPS; i++) {
        heaps[i] = pageheap_create(NULL);
        runs[i] = pageheap_alloc(heaps[i], 3, 0);
        assert_non_null(runs[i]);
    }
    for (unsigned i = 0; i < HEAPS; i++)
        assert_int_equal(pageheap_destroy(heaps[i]), 0);
    for (unsigned i = 0; i < HEAPS; i++) {
        pageheap_run found;
        assert_is_gone(heaps[i], runs[i]);
        assert_int_equal(pageheap_find(runs[i], &found), PAGEHEAP_ENOTOURS);
    }
}

static void default_heap_stays(void **state)
{
    (void)state;
    pageheap *heap = pageheap_default();
    assert_non_null(heap);
    assert_int_equal(pageheap_destroy(heap), PAGEHEAP_EBUSY);
    assert_ptr_equal(pageheap_default(), heap);
    assert_int_equal(pageheap_destroy(NULL), PAGEHEAP_EINVAL);
}

/* What the pointer points to is not looked into: it may look like anything. */
static void what_is_no_heap_is_not_destroyed(void **state)
{
    (void)state;
    static uint64_t words[4096];
    pageheap *heap = pageheap_create(NULL);
    pageheap_exec *code = pageheap_exec_create(NULL);
    assert_true(heap != NULL && code != NULL);
    assert_int_equal(pageheap_destroy((pageheap *)(void *)words), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_exec_destroy((pageheap_exec *)(void *)words), PAGEHEAP_EINVAL);
    memset(words, 0x5a, sizeof words);
    assert_int_equal(pageheap_destroy((pageheap *)(void *)words), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_exec_destroy((pageheap_exec *)(void *)words), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_destroy((pageheap *)(void *)((char *)heap + 1)), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_destroy((pageheap *)(void *)code), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_exec_destroy((pageheap_exec *)(void *)heap), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_exec_destroy(code), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* Where what the caller holds begins far above the whole run, in another window perhaps. */
static void guarded_runs_of_every_alignment_are_freed(void **state)
{
    (void)state;
    static const size_t lengths[] = { 1, 512, 513, 262142, 262143, 262144, 300000 };
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    for (size_t align_bytes = PAGE; align_bytes <= (size_t)1 << 30; align_bytes *= 2) {
        for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            char *run = pageheap_alloc_aligned(heap, lengths[i], align_bytes, PAGEHEAP_GUARD);
            assert_non_null(run);
            assert_int_equal((uintptr_t)run % align_bytes, 0);
            assert_int_equal(pageheap_free(heap, run, lengths[i] + 1), PAGEHEAP_EBADRUN);
            assert_int_equal(pageheap_free(heap, run + PAGE, lengths[i]), PAGEHEAP_EBADRUN);
            assert_int_equal(pageheap_free(heap, run, lengths[i]), 0);
            assert_int_not_equal(pageheap_free(heap, run, lengths[i]), 0);
            run = pageheap_alloc_aligned(heap, lengths[i], align_bytes, PAGEHEAP_GUARD);
            assert_int_equal(pageheap_free_unsized(heap, run), 0);
        }
    }
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* A run that is named rightly but cannot be cut: refused, where misuse is fatal too, and not counted. */
static void to_stay_whole_is_no_misuse(void **state)
{
    (void)state;
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.flags = PAGEHEAP_FATAL_MISUSE;
    pageheap *heap = pageheap_create(&options);
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_non_null(heap);
    char *long_run = pageheap_alloc(heap, 600, 0);
    char *guarded = pageheap_alloc(heap, 6, PAGEHEAP_GUARD);
    assert_int_equal(pageheap_split(heap, long_run, 600, 300), PAGEHEAP_EBUSY);
    assert_int_equal(pageheap_split(heap, guarded, 6, 3), PAGEHEAP_EBUSY);
    assert_null(pageheap_resize(heap, guarded, 6, 3, 0));
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    assert_int_equal(stats.refused_frees, 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_heap_is_not_destroyed),
        cmocka_unit_test(guarded_runs_of_every_alignment_are_freed),
        cmocka_unit_test(to_stay_whole_is_no_misuse),
        cmocka_unit_test(impossible_sizes),
        cmocka_unit_test(bad_flags_and_alignments),
        cmocka_unit_test(bad_reshaping_of_all_lengths),
        cmocka_unit_test(destroyed_heaps_are_refused),
        cmocka_unit_test(default_heap_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
