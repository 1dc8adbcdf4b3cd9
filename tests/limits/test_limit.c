/* SPDX-License-Identifier: MIT */
/* test_limit.c -- limit_bytes is exact: that many bytes are served and not one page more, whatever was kept
 * ready, given back to the system, resized or freed by other threads before. */
#include <errno.h>
#include <pthread.h>

#include "meter.h"

#define LIMIT_PAGES 4000
#define RUNS_MAX    LIMIT_PAGES

static char *runs[RUNS_MAX];

static pageheap *limited_heap(void)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.limit_bytes = LIMIT_PAGES * PAGE + PAGE / 2; /* half a page serves nobody */
    pageheap *heap = pageheap_create(&options);
    assert_non_null(heap);
    return heap;
}

/* Fill up from `live_pages`; returns the number of runs. */
static unsigned fill(pageheap *heap, size_t pages, size_t live_pages)
{
    unsigned count = 0;
    for (; live_pages + pages <= LIMIT_PAGES; live_pages += pages) {
        runs[count] = pageheap_alloc(heap, pages, 0);
        if (runs[count++] == NULL)
            fail_msg("refused at %zu of %d pages", live_pages, LIMIT_PAGES);
    }
    errno = 0;
    assert_null(pageheap_alloc(heap, pages, 0));
    assert_int_equal(errno, ENOMEM);
    assert_null(pageheap_alloc_tagged(heap, pages, 0, "over"));
    return count;
}

static void free_all(pageheap *heap, size_t pages, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pageheap_free(heap, runs[i], pages), 0);
}

static const size_t lengths[] = { 1, 7, 100, 512, 600, 1536, 4000, 3, 31 };
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static void every_length_fills_it(void **state)
{
    (void)state;
    pageheap *heap = limited_heap();
    for (unsigned round = 0; round < 3 * LENGTHS; round++) {
        size_t pages = lengths[round % LENGTHS];
        free_all(heap, pages, fill(heap, pages, 0));
    }
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* Holes go back to the system between the rounds: that changes nothing in what is used. */
static void giving_back_changes_nothing(void **state)
{
    (void)state;
    pageheap *heap = limited_heap();
    for (unsigned round = 0; round < 2 * LENGTHS; round++) {
        size_t pages = lengths[round % LENGTHS];
        unsigned count = fill(heap, pages, 0);
        unsigned kept = 0;
        for (unsigned i = 0; i < count; i++) {
            if (i % 3 == 0)
                assert_int_equal(pageheap_free(heap, runs[i], pages), 0);
            else
                runs[kept++] = runs[i];
        }
        pageheap_trim(heap, 0);
        pageheap_tick(heap);
        free_all(heap, pages, kept);
        kept = fill(heap, 2, 0);
        free_all(heap, 2, kept);
        pageheap_trim(heap, round % 2 ? 0 : 1 << 20);
    }
    assert_int_equal(pageheap_destroy(heap), 0);
}

static void resizing_counts(void **state)
{
    (void)state;
    pageheap *heap = limited_heap();
    char *run = pageheap_alloc(heap, 100, 0);
    char *rest = pageheap_alloc(heap, LIMIT_PAGES - 110, 0);
    assert_true(run != NULL && rest != NULL);
    run = pageheap_resize(heap, run, 100, 110, 0);
    assert_non_null(run);
    assert_null(pageheap_resize(heap, run, 110, 111, 0));
    assert_null(pageheap_resize(heap, run, 110, 111, PAGEHEAP_MAYMOVE));
    assert_null(pageheap_alloc(heap, 1, 0));
    run = pageheap_resize(heap, run, 110, 50, 0);
    assert_non_null(run);
    unsigned count = fill(heap, 60, LIMIT_PAGES - 60);
    free_all(heap, 60, count);
    assert_int_equal(pageheap_free(heap, run, 50), 0);
    assert_int_equal(pageheap_free(heap, rest, LIMIT_PAGES - 110), 0);
    free_all(heap, 4000, fill(heap, 4000, 0));
    assert_int_equal(pageheap_destroy(heap), 0);
}

typedef struct helper {
    pageheap *heap;
    size_t pages;
    unsigned count;
} helper;

static void *free_elsewhere(void *of)
{
    const helper *h = of;
    for (unsigned i = 0; i < h->count; i++) {
        if (pageheap_free(h->heap, runs[i], h->pages) != 0)
            abort();
    }
    return NULL;
}

static void frees_by_others_count(void **state)
{
    (void)state;
    pageheap *heap = limited_heap();
    for (unsigned round = 0; round < 2 * LENGTHS; round++) {
        pthread_t thread;
        helper h = { heap, lengths[round % LENGTHS], 0 };
        h.count = fill(heap, h.pages, 0);
        assert_int_equal(pthread_create(&thread, NULL, free_elsewhere, &h), 0);
        pthread_join(thread, NULL);
    }
    free_all(heap, 1, fill(heap, 1, 0));
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_fills_it),
        cmocka_unit_test(giving_back_changes_nothing),
        cmocka_unit_test(resizing_counts),
        cmocka_unit_test(frees_by_others_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
