/* SPDX-License-Identifier: MIT */
/* test_reshape.c -- one thread allocates and frees without pause; another splits and joins one of its runs.
 *
 * Both change the same front's numbers: none may be lost.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "crew.h"
#include "os/os.h"

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

/* ---- a run that changes before its owner has it ---------------------------------------- */

#define PAGES 5

static struct {
    pageheap *heap;
    char *run;
    int code;
    uint64_t (*now_ms)(void);
} late;

static void *split_it(void *none)
{
    late.code = pageheap_split(late.heap, late.run, PAGES, 2);
    return none;
}

/* The owner's allocation looks at the clock: the run is live, and nobody has been given it. */
static uint64_t look_and_split(void)
{
    pthread_t thread;
    ph_os.now_ms = late.now_ms;
    EXPECT(pthread_create(&thread, NULL, split_it, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    return late.now_ms();
}

/* Another thread splits what it no longer has.  Nobody can know that; but from then on the run is shorter. */
static void split_while_it_is_handed_out(void **state)
{
    (void)state;
    atomic_store(&crew_wrongs, 0);
    late.heap = pageheap_create(NULL);
    late.now_ms = ph_os.now_ms;
    late.run = pageheap_alloc(late.heap, PAGES, 0);
    late.code = PAGEHEAP_EBADRUN;
    assert_int_equal(pageheap_free(late.heap, late.run, PAGES), 0);
    for (unsigned round = 0; late.code != 0 && round < 1000; round++) {
        ph_os.now_ms = look_and_split;
        char *run = pageheap_alloc(late.heap, PAGES, 0);
        ph_os.now_ms = late.now_ms;
        assert_ptr_equal(run, late.run);
        if (late.code != 0)
            assert_int_equal(pageheap_free(late.heap, run, PAGES), 0);
    }
    assert_int_equal(late.code, 0);
    assert_int_equal(pageheap_check(late.heap), 0);
    assert_int_equal(pageheap_free(late.heap, late.run, PAGES), PAGEHEAP_EBADRUN);
    assert_int_equal(pageheap_free(late.heap, late.run, 2), 0);
    assert_int_equal(pageheap_free(late.heap, late.run + 2 * PAGE, PAGES - 2), 0);
    crew_end(late.heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_by_another_thread),
        cmocka_unit_test(split_while_it_is_handed_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
