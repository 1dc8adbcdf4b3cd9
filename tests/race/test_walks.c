/* SPDX-License-Identifier: MIT */
/* test_walks.c -- a walk over a heap whose regions come and go meanwhile.
 *
 * The callback itself makes them come and go, so each case is the same each time.  A run that nobody
 * touches is seen once; memory of another heap, which lies where the walked one's was, is not seen.
 */
#include "crew.h"

#define RUNS       6u
#define CHANGES    3u
#define BLOCK      512u
#define HUGE_PAGES ((UINT64_C(1) << 30) / 4096 + 1)
#define A_BLOCKS   100u

typedef struct tour {
    pageheap *heap;
    unsigned count, calls;
    size_t pages;
    void *runs[RUNS];
    unsigned seen[RUNS];
    void *more[CHANGES];
    void (*change)(struct tour *t, void *shown);
} tour;

/* With its region, or its mapping. */
static void free_it(tour *t, void *shown)
{
    EXPECT(pageheap_free(t->heap, shown, t->pages) == 0);
    (void)pageheap_trim(t->heap, 0);
}

static void add_one(tour *t, void *shown)
{
    (void)shown;
    t->more[t->calls - 1] = pageheap_alloc(t->heap, t->pages, 0);
    EXPECT(t->more[t->calls - 1] != NULL);
}

static int see_and_change(void *ctx, const pageheap_run *run)
{
    tour *t = ctx;
    t->calls++;
    for (unsigned i = 0; i < t->count; i++)
        t->seen[i] += t->runs[i] == run->start;
    if (t->calls <= CHANGES)
        t->change(t, run->start);
    return 0;
}

static void go_round(void (*change)(tour *, void *), size_t pages, unsigned count)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserve_bytes = 2 << 20; /* a region for each run */
    tour t = { .heap = pageheap_create(&options), .count = count, .pages = pages, .change = change };
    atomic_store(&crew_wrongs, 0);
    assert_non_null(t.heap);
    for (unsigned i = 0; i < count; i++) {
        t.runs[i] = pageheap_alloc(t.heap, pages, 0);
        assert_non_null(t.runs[i]);
    }
    assert_int_equal(pageheap_each_run(t.heap, see_and_change, &t), 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(t.seen[i], 1);
    assert_int_equal(pageheap_check(t.heap), 0);
    assert_int_equal(pageheap_destroy(t.heap), 0);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

static void a_region_goes(void **state)
{
    (void)state;
    go_round(free_it, BLOCK, RUNS);
}

static void a_region_comes(void **state)
{
    (void)state;
    go_round(add_one, BLOCK, RUNS);
}

static void a_huge_run_goes(void **state)
{
    (void)state;
    go_round(free_it, HUGE_PAGES, 2);
}

static void a_huge_run_comes(void **state)
{
    (void)state;
    go_round(add_one, HUGE_PAGES, 2);
}

/* ---- two heaps, one place -------------------------------------------------------------- */

typedef struct succession {
    pageheap *old, *next;
    void *runs[A_BLOCKS];
    unsigned calls, foreign;
} succession;

/* The system likes to give the same addresses again. */
static void succeed(succession *s)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.page_bytes = 16384;
    for (unsigned i = 0; i < A_BLOCKS; i++)
        EXPECT(pageheap_free(s->old, s->runs[i], BLOCK) == 0);
    (void)pageheap_trim(s->old, 0);
    s->next = pageheap_create(&options);
    assert_non_null(s->next);
    for (unsigned i = 0; i < A_BLOCKS; i++)
        assert_non_null(pageheap_alloc(s->next, BLOCK / 4, 0));
}

static int see_run(void *ctx, const pageheap_run *run)
{
    succession *s = ctx;
    s->foreign += run->heap != s->old;
    if (s->calls++ == 0)
        succeed(s);
    return 0;
}

static int see_block(void *ctx, const pageheap_block *block)
{
    succession *s = ctx;
    pageheap_run run;
    if (s->calls++ == 0)
        succeed(s);
    else
        s->foreign += pageheap_find(block->start, &run) == 0 && run.heap != s->old;
    return 0;
}

static void begin(succession *s)
{
    *s = (succession){ .old = pageheap_create(NULL) };
    atomic_store(&crew_wrongs, 0);
    assert_non_null(s->old);
    for (unsigned i = 0; i < A_BLOCKS; i++) {
        s->runs[i] = pageheap_alloc(s->old, BLOCK, 0);
        assert_non_null(s->runs[i]);
    }
}

static void end(const succession *s)
{
    assert_true(s->calls >= 1);
    assert_int_equal(s->foreign, 0);
    assert_int_equal(pageheap_destroy(s->old), 0);
    assert_int_equal(pageheap_destroy(s->next), 0);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

static void runs_of_another_heap(void **state)
{
    (void)state;
    succession s;
    begin(&s);
    assert_int_equal(pageheap_each_run(s.old, see_run, &s), 0);
    end(&s);
}

static void blocks_of_another_heap(void **state)
{
    (void)state;
    succession s;
    begin(&s);
    assert_int_equal(pageheap_each_block(s.old, see_block, &s), 0);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_goes),        cmocka_unit_test(a_region_comes),
        cmocka_unit_test(a_huge_run_goes),      cmocka_unit_test(a_huge_run_comes),
        cmocka_unit_test(runs_of_another_heap), cmocka_unit_test(blocks_of_another_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
