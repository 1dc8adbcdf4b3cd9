/* SPDX-License-Identifier: MIT */
/* test_reshape.c -- one thread allocates and frees without pause; another splits and joins one of its runs.
 *
 * Both change the same front's numbers: none may be lost.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "crew.h"

#define ROUNDS    (200000u / CREW_SHARE)
#define PAGE      ((size_t)4096)
#define RUN_PAGES 8

typedef struct scene {
    pageheap *heap;
    _Atomic(char *) run; /* the owner's, split and joined by the other */
    atomic_bool is_over;
} scene;

static void *allocate(void *of)
{
    scene *s = of;
    char *run = pageheap_alloc(s->heap, RUN_PAGES, 0);
    unsigned long refused = run == NULL;
    atomic_store(&s->run, run);
    while (!atomic_load(&s->is_over)) {
        void *one = pageheap_alloc(s->heap, 1, 0);
        void *two = pageheap_alloc(s->heap, 2, 0);
        refused += pageheap_free(s->heap, one, 1) != 0;
        refused += pageheap_free(s->heap, two, 2) != 0;
    }
    refused += pageheap_free(s->heap, run, RUN_PAGES) != 0;
    return (void *)refused;
}

static void splits_by_another_thread(void **state)
{
    (void)state;
    scene s = { .heap = pageheap_create(NULL) };
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    pthread_t owner;
    void *refused;
    char *run;
    assert_non_null(s.heap);
    assert_int_equal(pthread_create(&owner, NULL, allocate, &s), 0);
    for (unsigned round = 0; (run = atomic_load(&s.run)) == NULL; round++)
        crew_wait(round);
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_int_equal(pageheap_split(s.heap, run, RUN_PAGES, 3), 0);
        assert_int_equal(pageheap_join(s.heap, run, 3, run + 3 * PAGE, RUN_PAGES - 3), 0);
    }
    atomic_store(&s.is_over, true);
    assert_int_equal(pthread_join(owner, &refused), 0);
    assert_null(refused);
    assert_int_equal(pageheap_get_stats(s.heap, &stats), 0);
    assert_int_equal(stats.alloc_calls, stats.free_calls);
    assert_int_equal(stats.live_runs, 0);
    assert_int_equal(stats.in_use_bytes, 0);
    assert_int_equal(pageheap_check(s.heap), 0);
    assert_int_equal(pageheap_destroy(s.heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_by_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
