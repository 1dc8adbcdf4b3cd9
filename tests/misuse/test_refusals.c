/* SPDX-License-Identifier: MIT */
/* test_refusals.c -- every bad free is refused with its code and changes nothing.
 *
 * On runs of 1 page, 100 pages, 3 blocks and more than a region; from the thread that made the run, from
 * another, and from two at once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ruin.h"

#define THREE_BLOCKS   ((size_t)3 * 512)
#define ABOVE_A_REGION ((size_t)262144 + 1)
#define TWO_AT_ONCE    300

static const size_t lengths[] = { 1, 100, THREE_BLOCKS, ABOVE_A_REGION };
#define LENGTHS (sizeof lengths / sizeof lengths[0])

typedef struct bad_free {
    void *address;
    size_t pages; /* 0 with is_unsized */
    bool is_unsized;
    int code;
} bad_free;

#define BAD_MAX 40

typedef struct bad_list {
    pageheap *heap;
    bad_free bad[BAD_MAX];
    unsigned count;
    unsigned rounds;
    int wrong_code; /* the first */
    unsigned wrong; /* which: index + 1 */
} bad_list;

static void add(bad_list *list, void *address, size_t pages, int code)
{
    assert_true(list->count < BAD_MAX);
    list->bad[list->count++] = (bad_free){ address, pages, false, code };
}

static void add_unsized(bad_list *list, void *address, int code)
{
    assert_true(list->count < BAD_MAX);
    list->bad[list->count++] = (bad_free){ address, 0, true, code };
}

static void list_bad_frees(bad_list *list, const ruin *r)
{
    char *run = r->run;
    size_t pages = r->pages;
    add(list, run, 0, PAGEHEAP_EINVAL);
    add(list, run + 1, pages, PAGEHEAP_EINVAL);
    add(list, run + PAGE / 2, pages, PAGEHEAP_EINVAL);
    add_unsized(list, run + 8, PAGEHEAP_EINVAL);
    add(list, run, pages + 1, PAGEHEAP_EBADRUN);
    add(list, run, 2 * pages, PAGEHEAP_EBADRUN);
    add(list, run, pages + 64, PAGEHEAP_EBADRUN);
    add(list, run, (size_t)1 << 32, PAGEHEAP_EBADRUN);
    add(list, run, ((size_t)1 << 32) + pages, PAGEHEAP_EBADRUN);
    add(list, run, ((size_t)1 << 52) + pages, PAGEHEAP_ERANGE); /* as bytes it wraps to the right size */
    add(list, run, SIZE_MAX, PAGEHEAP_ERANGE);
    add(list, run, SIZE_MAX - 1, PAGEHEAP_ERANGE);
    for (size_t i = 0; i < LENGTHS; i++) {
        if (lengths[i] != pages)
            add(list, run, lengths[i], PAGEHEAP_EBADRUN);
    }
    if (pages == 1)
        return;
    add(list, run, pages - 1, PAGEHEAP_EBADRUN);
    add(list, run, pages / 2, PAGEHEAP_EBADRUN);
    add(list, run, 1, PAGEHEAP_EBADRUN);
    add(list, run + PAGE, pages - 1, PAGEHEAP_EBADRUN);
    add(list, run + PAGE, pages, PAGEHEAP_EBADRUN);
    add(list, run + PAGE, 1, PAGEHEAP_EBADRUN);
    add_unsized(list, run + PAGE, PAGEHEAP_EBADRUN);
    add(list, run + (pages - 1) * PAGE, 1, PAGEHEAP_EBADRUN);
    add_unsized(list, run + (pages - 1) * PAGE, PAGEHEAP_EBADRUN);
    add(list, run + pages / 2 * PAGE, pages - pages / 2, PAGEHEAP_EBADRUN);
    add(list, (char *)((uintptr_t)(run + pages / 2 * PAGE) & ~(((uintptr_t)2 << 20) - 1)), SIZE_MAX,
        PAGEHEAP_ERANGE);
}

/* ---- who calls ------------------------------------------------------------------------- */

static void *call_all(void *of)
{
    bad_list *list = of;
    for (unsigned round = 0; round < list->rounds; round++) {
        for (unsigned i = 0; i < list->count; i++) {
            const bad_free *bad = &list->bad[i];
            int code = bad->is_unsized ? pageheap_free_unsized(list->heap, bad->address)
                                       : pageheap_free(list->heap, bad->address, bad->pages);
            if (code != bad->code && list->wrong == 0) {
                list->wrong = i + 1;
                list->wrong_code = code;
            }
        }
    }
    return NULL;
}

static void assert_codes(const bad_list *list, const ruin *r)
{
    if (list->wrong == 0)
        return;
    const bad_free *bad = &list->bad[list->wrong - 1];
    fail_msg("a run of %zu: free%s of %zu pages at %+td bytes gives %d instead of %d", r->pages,
             bad->is_unsized ? "_unsized" : "", bad->pages, (char *)bad->address - r->run, list->wrong_code,
             bad->code);
}

static void by_threads(const ruin *r, unsigned threads, unsigned rounds)
{
    static bad_list lists[2];
    pthread_t ids[2];
    for (unsigned i = 0; i < threads; i++) {
        lists[i] = (bad_list){ .heap = r->heap, .rounds = rounds };
        list_bad_frees(&lists[i], r);
    }
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, call_all, &lists[i]), 0);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (unsigned i = 0; i < threads; i++)
        assert_codes(&lists[i], r);
}

static void bad_frees_by_the_same_thread(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        ruin r;
        bad_list list = { .rounds = 2 };
        ruin_build(&r, lengths[i]);
        list.heap = r.heap;
        list_bad_frees(&list, &r);
        call_all(&list);
        assert_codes(&list, &r);
        ruin_assert_unchanged(&r);
        assert_int_equal(ruin_stats(r.heap).refused_frees, (uint64_t)list.rounds * list.count);
        ruin_end(&r);
    }
}

static void bad_frees_by_others(unsigned threads, unsigned rounds)
{
    for (size_t i = 0; i < LENGTHS; i++) {
        ruin r;
        ruin_build(&r, lengths[i]);
        by_threads(&r, threads, rounds);
        ruin_assert_unchanged(&r);
        ruin_end(&r);
    }
}

static void bad_frees_by_another_thread(void **state)
{
    (void)state;
    bad_frees_by_others(1, 2);
}

static void bad_frees_by_two_at_once(void **state)
{
    (void)state;
    bad_frees_by_others(2, TWO_AT_ONCE);
}

/* ---- addresses that are nobody's ------------------------------------------------------- */

static char in_data[2 * PAGE];

static char *page_of(void *address)
{
    return (char *)((uintptr_t)address & ~(PAGE - 1));
}

static void foreign_addresses_are_refused(void **state)
{
    (void)state;
    char on_stack[16] = "";
    char *from_malloc = malloc(3 * PAGE);
    ruin r, other;
    ruin_build(&r, 100);
    ruin_build(&other, 100);
    void *const addresses[] = {
        page_of(on_stack + 8),
        page_of(from_malloc + PAGE),
        page_of(in_data + PAGE),
        page_of(r.heap),
        other.run,
        other.neighbours[0],
        other.neighbours[4],
        (void *)(uintptr_t)PAGE,
        (void *)(UINTPTR_MAX & ~(PAGE - 1)),
        (void *)((uintptr_t)1 << 47),
        (void *)((uintptr_t)1 << 48),
        page_of((void *)(uintptr_t)&page_of),
    };
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        assert_int_equal(pageheap_free(r.heap, addresses[i], 1), PAGEHEAP_ENOTOURS);
        assert_int_equal(pageheap_free(r.heap, addresses[i], 100), PAGEHEAP_ENOTOURS);
        assert_int_equal(pageheap_free_unsized(r.heap, addresses[i]), PAGEHEAP_ENOTOURS);
        assert_int_equal(pageheap_discard(r.heap, addresses[i], 1), PAGEHEAP_ENOTOURS);
        errno = 0;
        assert_null(pageheap_resize(r.heap, addresses[i], 1, 2, PAGEHEAP_MAYMOVE));
        assert_int_equal(errno, EINVAL);
    }
    ruin_assert_unchanged(&r);
    ruin_assert_unchanged(&other);
    ruin_end(&r);
    ruin_end(&other);
    free(from_malloc);
}

/* Blocks that no heap ever had, in gigabytes of which others are ours. */
static void every_address_has_an_answer(void **state)
{
    enum { AWAY = 4096, SEVEN = 7 }; /* MiB; a length that no run has */
    (void)state;
    ruin r;
    unsigned live = 0;
    ruin_build(&r, 100);
    for (int mib = -AWAY; mib < AWAY; mib++) {
        pageheap_run found;
        char *address = (char *)((uintptr_t)r.run + ((uintptr_t)mib << 20));
        bool is_live = pageheap_find(address + 1, &found) == 0;
        live += is_live;
        assert_int_not_equal(pageheap_free(r.heap, address, SEVEN), 0);
        assert_int_not_equal(pageheap_split(r.heap, address, SEVEN, 1), 0);
        assert_int_not_equal(pageheap_join(r.heap, address, SEVEN, address + SEVEN * PAGE, 1), 0);
        assert_null(pageheap_resize(r.heap, address, SEVEN, 1, 0));
        assert_true(is_live || pageheap_discard(r.heap, address, 1) != 0);
        assert_true(is_live || pageheap_free_unsized(r.heap, address) != 0);
    }
    assert_in_range(live, 1, 4);
    ruin_assert_unchanged(&r);
    ruin_end(&r);
}

static void null_is_no_misuse(void **state)
{
    (void)state;
    ruin r;
    ruin_build(&r, 1);
    assert_int_equal(pageheap_free(r.heap, NULL, 5), 0);
    assert_int_equal(pageheap_free(r.heap, NULL, 0), 0);
    assert_int_equal(pageheap_free_unsized(r.heap, NULL), 0);
    assert_int_equal(pageheap_free(NULL, r.run, 1), PAGEHEAP_EINVAL);
    ruin_assert_unchanged(&r);
    ruin_end(&r);
}

/* ---- neighbours, exactly placed -------------------------------------------------------- */

/* Runs of 2, 1 and 2 pages side by side. */
static void free_over_a_neighbour(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    char *a = pageheap_alloc(heap, 5, 0);
    char *b = a + 2 * PAGE, *c = a + 3 * PAGE;
    void *next[3];
    assert_int_equal(pageheap_split(heap, a, 5, 2), 0);
    assert_int_equal(pageheap_split(heap, b, 3, 1), 0);
    assert_int_equal(pageheap_free(heap, a, 3), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_free(heap, a, 5), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_free(heap, b, 2), PAGEHEAP_EBADRUN);
    for (unsigned i = 0; i < 3; i++) {
        next[i] = pageheap_alloc(heap, 1, 0);
        assert_ptr_not_equal(next[i], b);
    }
    assert_int_equal(pageheap_free(heap, a, 2), 0);
    assert_int_equal(pageheap_free(heap, b, 1), 0);
    assert_int_equal(pageheap_free(heap, c, 2), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pageheap_free(heap, next[i], 1), 0);
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* One page with a free page behind it, freed as two. */
static void free_over_a_hole(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    char *run = pageheap_alloc(heap, 2, 0);
    assert_int_equal(pageheap_split(heap, run, 2, 1), 0);
    assert_int_equal(pageheap_free(heap, run + PAGE, 1), 0);
    assert_int_equal(pageheap_free(heap, run, 2), PAGEHEAP_EBADRUN);
    pageheap_trim(heap, 0); /* the page is a hole now, not kept ready */
    assert_int_equal(pageheap_free(heap, run, 2), PAGEHEAP_EBADRUN);
    assert_int_equal(ruin_stats(heap).in_use_bytes, PAGE);
    assert_int_equal(pageheap_free(heap, run, 1), 0);
    assert_int_equal(ruin_stats(heap).in_use_bytes, 0);
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* No pages, at the first page of a block and inside one. */
static void free_of_no_pages(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    char *first = pageheap_alloc_aligned(heap, 1, (size_t)2 << 20, 0);
    char *inside = pageheap_alloc(heap, 1, 0);
    assert_int_equal(pageheap_free(heap, first, 0), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_free(heap, inside, 0), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_free(heap, first, 1), 0);
    assert_int_equal(pageheap_free(heap, inside, 1), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* What a heap keeps ready after some runs of this length were freed. */
static uint64_t kept_bytes_of(pageheap *heap, size_t pages)
{
    void *runs[6];
    uint64_t before = ruin_stats(heap).cached_bytes;
    assert_int_equal(pageheap_alloc_many(heap, pages, 0, runs, 6), 6);
    assert_int_equal(pageheap_free_many(heap, runs, pages, 6), 6);
    return ruin_stats(heap).cached_bytes - before;
}

/* A heap that has refused frees of every length keeps as much ready as any other. */
static void refusals_cost_nothing_later(void **state)
{
    static const size_t kept[] = { 7, 40, 5, 1 };
    (void)state;
    pageheap *heap = pageheap_create(NULL), *other = pageheap_create(NULL);
    void *run = pageheap_alloc(heap, 3, 0);
    void *same = pageheap_alloc(other, 3, 0);
    for (size_t pages = 512; pages > 0; pages--) {
        for (unsigned time = 0; time < 2 && pages != 3; time++)
            assert_int_equal(pageheap_free(heap, run, pages), PAGEHEAP_EBADRUN);
    }
    for (unsigned i = 0; i < sizeof kept / sizeof kept[0]; i++)
        assert_int_equal(kept_bytes_of(heap, kept[i]), kept_bytes_of(other, kept[i]));
    assert_int_equal(pageheap_free(heap, run, 3), 0);
    assert_int_equal(pageheap_free(other, same, 3), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
    assert_int_equal(pageheap_destroy(other), 0);
}

#define LARGE_PAGE ((size_t)16384)

typedef struct large_pages {
    pageheap *heap;
    char *first, *second;
    int codes[6];
} large_pages;

static void *free_inside_a_large_page(void *of)
{
    large_pages *l = of;
    for (unsigned round = 0; round < 2; round++) /* so that the heap knows this thread */
        (void)pageheap_free(l->heap, pageheap_alloc(l->heap, 1, 0), 1);
    l->codes[0] = pageheap_free(l->heap, l->first + PAGE, 2);
    l->codes[1] = pageheap_free(l->heap, l->first, 2); /* from now on the other thread expects such frees */
    for (unsigned i = 0; i < 3; i++)
        l->codes[2 + i] = pageheap_free(l->heap, l->second + (i + 1) * PAGE, 2);
    l->codes[5] = pageheap_free_unsized(l->heap, l->second + PAGE);
    return NULL;
}

/* The system's pages are smaller than the heap's:
 * an address may be that of a page and still not the heap's. */
static void free_inside_a_large_page_by_another_thread(void **state)
{
    (void)state;
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.page_bytes = LARGE_PAGE;
    large_pages l = { .heap = pageheap_create(&options) };
    assert_non_null(l.heap);
    l.first = pageheap_alloc(l.heap, 2, 0);
    l.second = pageheap_alloc(l.heap, 2, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_inside_a_large_page, &l), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(l.codes[i], i == 1 ? 0 : PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_check(l.heap), 0);
    assert_int_equal(ruin_stats(l.heap).in_use_bytes, 2 * LARGE_PAGE);
    assert_int_equal(pageheap_free(l.heap, l.second, 2), 0);
    assert_int_equal(pageheap_destroy(l.heap), 0);
}

/* Side by side, runs begin at any bit of their block's tags, and end in sight from there or not: no other
 * length will do. */
static void no_length_but_its_own(void **state)
{
    (void)state;
    enum { RUNS = 17, FIRST = 55, LAST = 66 };
    void *runs[RUNS];
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    for (size_t pages = 1; pages <= 130; pages++) { /* so that there is room to keep any */
        assert_int_equal(pageheap_alloc_many(heap, pages, 0, runs, 2), 2);
        assert_int_equal(pageheap_free_many(heap, runs, pages, 2), 2);
    }
    for (size_t right = FIRST; right <= LAST; right++) {
        assert_int_equal(pageheap_alloc_many(heap, right, 0, runs, RUNS), RUNS);
        for (unsigned i = 0; i < RUNS; i++) {
            for (size_t pages = 1; pages <= 130; pages++) {
                if (pages != right)
                    assert_int_equal(pageheap_free(heap, runs[i], pages), PAGEHEAP_EBADRUN);
            }
        }
        assert_int_equal(pageheap_free_many(heap, runs, right, RUNS), RUNS);
        assert_int_equal(pageheap_free_many(heap, runs, right, RUNS), 0);
    }
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

static void *bad_frees_without_a_run(void *heap)
{
    for (unsigned i = 0; i < 8; i++) { /* more than once: then the heap is the thread's last */
        if (pageheap_free(heap, (void *)(uintptr_t)8192, 1) != PAGEHEAP_ENOTOURS)
            return NULL;
    }
    return heap;
}

/* From threads that have nothing of the heap's: none of its memory, and once none of any heap's. */
static void nothing_has_come_yet(void **state)
{
    (void)state;
    for (unsigned life = 0; life < 3; life++) {
        pthread_t thread;
        void *answer;
        pageheap *heap = pageheap_create(NULL);
        assert_non_null(heap);
        assert_non_null(bad_frees_without_a_run(heap));
        assert_int_equal(pthread_create(&thread, NULL, bad_frees_without_a_run, heap), 0);
        assert_int_equal(pthread_join(thread, &answer), 0);
        assert_non_null(answer);
        assert_int_equal(pageheap_check(heap), 0);
        void *run = life == 0 ? NULL : pageheap_alloc(heap, 1, 0); /* what the next life's front remembers */
        assert_int_equal(pageheap_free(heap, run, 1), 0);
        assert_int_equal(pageheap_destroy(heap), 0);
    }
}

/* Live runs on both sides of a multiple of 1 GiB, where the tables of blocks change: what lies 1 GiB from a
 * run is not taken for it. */
static void a_gib_away_is_another_place(void **state)
{
    (void)state;
    enum { RUNS = 5000, PAGES = 64, STEP = 7 }; /* 1.2 GiB; STEP and RUNS have no factor in common */
    static void *runs[RUNS];
    uint64_t refused = 0;
    pageheap_run found;
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    if (pageheap_alloc_many(heap, PAGES, 0, runs, RUNS) != RUNS) { /* the system counts strictly */
        assert_int_equal(pageheap_destroy(heap), 0);
        skip();
    }
    for (unsigned i = 0; i < RUNS; i++) {
        for (int away = -2; away <= 2; away++) {
            char *there = (char *)((uintptr_t)runs[i] + (uintptr_t)(away * ((intptr_t)1 << 30)));
            if (there == NULL || (pageheap_find(there, &found) == 0 && found.start == there))
                continue;
            refused++;
            assert_true(pageheap_free(heap, there, PAGES) < 0);
        }
    }
    assert_true(refused >= RUNS);
    assert_int_equal(pageheap_check(heap), 0);
    for (unsigned i = 0; i < RUNS; i++)
        assert_int_equal(pageheap_free(heap, runs[i * STEP % RUNS], PAGES), 0);
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_has_come_yet),
        cmocka_unit_test(a_gib_away_is_another_place),
        cmocka_unit_test(no_length_but_its_own),
        cmocka_unit_test(bad_frees_by_the_same_thread),
        cmocka_unit_test(bad_frees_by_another_thread),
        cmocka_unit_test(bad_frees_by_two_at_once),
        cmocka_unit_test(foreign_addresses_are_refused),
        cmocka_unit_test(every_address_has_an_answer),
        cmocka_unit_test(null_is_no_misuse),
        cmocka_unit_test(free_over_a_neighbour),
        cmocka_unit_test(free_over_a_hole),
        cmocka_unit_test(free_of_no_pages),
        cmocka_unit_test(refusals_cost_nothing_later),
        cmocka_unit_test(free_inside_a_large_page_by_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
