/* SPDX-License-Identifier: MIT */
/* test_again.c -- a run that is freed and handed out again at once, then ends in every way that there is.
 *
 * After some rounds the heap remembers such a run, to give it out and take it back quickly.  Whatever else
 * happens to it, a free that names what it was must be refused.
 */
#include <pthread.h>
#include <stdbool.h>

#include "ruin.h"

#define PAGES   6
#define HEATING 200 /* rounds after which a heap surely has noticed */

/* A live run of `pages` pages that has been freed and handed out again many times. */
static char *made_again(pageheap *heap, size_t pages)
{
    void *run = pageheap_alloc(heap, pages, 0);
    for (unsigned round = 0; round < HEATING; round++) {
        assert_int_equal(pageheap_free(heap, run, pages), 0);
        assert_ptr_equal(pageheap_alloc(heap, pages, 0), run);
    }
    return run;
}

static void assert_not_live(pageheap *heap, void *run, size_t pages)
{
    assert_int_equal(pageheap_free(heap, run, pages), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_free(heap, run, pages), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_check(heap), 0);
}

static void freed_without_its_length(void **state)
{
    pageheap *heap = *state;
    char *run = made_again(heap, PAGES);
    assert_int_equal(pageheap_free_unsized(heap, run), 0);
    assert_not_live(heap, run, PAGES);
}

static void freed_twice(void **state)
{
    pageheap *heap = *state;
    char *run = made_again(heap, PAGES);
    assert_int_equal(pageheap_free(heap, run, PAGES + 1), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_free(heap, run, PAGES - 1), PAGEHEAP_EBADRUN);
    for (unsigned bit = 36; bit < 64; bit++) { /* no length is so great that it looks like another */
        size_t huge = (size_t)1 << bit;
        assert_int_equal(pageheap_free(heap, run, huge | PAGES), PAGEHEAP_ERANGE);
        assert_null(pageheap_alloc(heap, huge | PAGES, 0));
    }
    assert_int_equal(pageheap_free(heap, run, PAGES), 0);
    for (unsigned bit = 36; bit < 64; bit++) {
        size_t huge = (size_t)1 << bit;
        assert_int_equal(pageheap_free(heap, run, huge | PAGES), PAGEHEAP_ERANGE);
        assert_null(pageheap_alloc(heap, huge | PAGES, 0));
    }
    assert_not_live(heap, run, PAGES);
}

static void split(void **state)
{
    pageheap *heap = *state;
    char *run = made_again(heap, PAGES);
    assert_int_equal(pageheap_split(heap, run, PAGES, 2), 0);
    assert_not_live(heap, run, PAGES);
    assert_int_equal(pageheap_free(heap, run, 2), 0);
    assert_int_equal(pageheap_free(heap, run + 2 * PAGE, PAGES - 2), 0);
}

static void joined(void **state)
{
    pageheap *heap = *state;
    char *run = pageheap_alloc(heap, PAGES, 0);
    assert_int_equal(pageheap_split(heap, run, PAGES, 2), 0);
    for (unsigned round = 0; round < HEATING; round++) {
        assert_int_equal(pageheap_free(heap, run + 2 * PAGE, PAGES - 2), 0);
        assert_ptr_equal(pageheap_alloc(heap, PAGES - 2, 0), run + 2 * PAGE);
    }
    assert_int_equal(pageheap_join(heap, run, 2, run + 2 * PAGE, PAGES - 2), 0);
    assert_not_live(heap, run + 2 * PAGE, PAGES - 2);
    assert_int_equal(pageheap_free(heap, run, PAGES), 0);
}

static void shortened(void **state)
{
    pageheap *heap = *state;
    char *run = made_again(heap, PAGES);
    assert_ptr_equal(pageheap_resize(heap, run, PAGES, 1, 0), run);
    assert_not_live(heap, run, PAGES);
    assert_int_equal(pageheap_free(heap, run, 1), 0);
}

typedef struct other_free {
    pageheap *heap;
    void *run;
    int code;
} other_free;

static void *free_it(void *arg)
{
    other_free *f = arg;
    f->code = pageheap_free(f->heap, f->run, PAGES);
    return NULL;
}

static void freed_by_another_thread(void **state)
{
    pageheap *heap = *state;
    char *run = made_again(heap, PAGES);
    other_free f = { heap, run, -1 };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_it, &f), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f.code, 0);
    assert_not_live(heap, run, PAGES);
}

static void kept_when_all_is_trimmed(void **state)
{
    pageheap *heap = *state;
    char *run = made_again(heap, PAGES);
    run[0] = 1;
    pageheap_trim(heap, 0);
    assert_int_equal(run[0], 1);
    assert_int_equal(pageheap_free(heap, run, PAGES), 0);
    pageheap_trim(heap, 0);
    assert_int_equal(pageheap_free(heap, run, PAGES) != 0, true);
}

static int make_heap(void **state)
{
    *state = pageheap_create(NULL);
    return *state == NULL;
}

static int end_heap(void **state)
{
    bool is_empty = ruin_stats(*state).in_use_bytes == 0;
    return pageheap_destroy(*state) != 0 || !is_empty;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_heap, end_heap)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(freed_without_its_length),
        TEST(freed_twice),
        TEST(split),
        TEST(joined),
        TEST(shortened),
        TEST(freed_by_another_thread),
        TEST(kept_when_all_is_trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
