/* SPDX-License-Identifier: MIT */
/* test_iprt_threads.c -- RTMemPage* and RTHeapPage* from many threads at once, and across fork. */
#define _GNU_SOURCE
#include "probe.h"

#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { thread_count = 8, race_rounds = 20000, fork_rounds = 50, first_use_rounds = 200 };

static pthread_barrier_t gate;

static void run_threads(void *(*body)(void *), void *arg, size_t count)
{
    pthread_t threads[thread_count];
    assert_true(count <= thread_count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, arg), 0);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

/* ---- first use -------------------------------------------------------------------------- */

static _Atomic(void *) first_runs[thread_count];
static atomic_size_t arrived;

static void *allocate_first(void *arg)
{
    size_t own = atomic_fetch_add(&arrived, 1);
    /* A barrier would wake one thread after the other, by when the heap is made; so they spin. */
    while (atomic_load(&arrived) < *(const size_t *)arg) {
    }
    atomic_store(&first_runs[own], RTMemPageAlloc(1));
    return NULL;
}

/* 0 if the first allocations of `count` threads at once come from one heap. */
static int race_for_first_use(size_t count)
{
    run_threads(allocate_first, &count, count);
    pageheap *heap = NULL;
    for (size_t i = 0; i < count; i++) {
        pageheap_run found;
        if (!first_runs[i] || pageheap_find(first_runs[i], &found) != 0) {
            return 1;
        }
        if (heap && heap != found.heap) {
            return 2;
        }
        heap = found.heap;
    }
    return 0;
}

/* Must be the first test.  The heap is made once in a process, so that each try has a process of its own. */
static void first_use_by_threads_at_once_makes_one_heap(void **state)
{
    (void)state;
    for (int round = 0; round < first_use_rounds; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20); /* a stuck child dies by SIGALRM, and the status tells */
            _exit(race_for_first_use(round % 8 == 0 ? thread_count : 2));
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* ---- racing frees ----------------------------------------------------------------------- */

struct race {
    RTHEAPPAGE heap;
    size_t pages;
    _Atomic(void *) run;
    atomic_int successes;
    atomic_int strangers; /* statuses that a second free may not have */
};

static void *free_in_race(void *arg)
{
    struct race *race = arg;
    for (int round = 0; round < race_rounds; round++) {
        bool is_leader = pthread_barrier_wait(&gate) == PTHREAD_BARRIER_SERIAL_THREAD;
        if (is_leader) {
            void *run = NULL;
            RTHeapPageAlloc(&race->heap, race->pages, NULL, false, &run);
            atomic_store(&race->run, run);
        }
        pthread_barrier_wait(&gate);
        int status = RTHeapPageFree(&race->heap, atomic_load(&race->run), race->pages);
        if (status == VINF_SUCCESS) {
            atomic_fetch_add(&race->successes, 1);
        } else if (status != VERR_INVALID_POINTER && status != VERR_NOT_FOUND) {
            atomic_fetch_add(&race->strangers, 1);
        }
    }
    return NULL;
}

static void of_two_racing_frees_one_succeeds(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 600 };
    for (size_t i = 0; i < 2; i++) {
        struct race race = { .pages = sizes[i] };
        assert_int_equal(RTHeapPageInit(&race.heap, false), VINF_SUCCESS);
        pthread_barrier_init(&gate, NULL, 2);
        run_threads(free_in_race, &race, 2);
        pthread_barrier_destroy(&gate);
        assert_int_equal(atomic_load(&race.successes), race_rounds);
        assert_int_equal(atomic_load(&race.strangers), 0);
        assert_int_equal(pageheap_check(race.heap.pHeap), 0);
        assert_int_equal(RTHeapPageDelete(&race.heap), VINF_SUCCESS);
    }
}

static void *delete_in_race(void *arg)
{
    struct race *race = arg;
    pthread_barrier_wait(&gate);
    int status = RTHeapPageDelete(&race->heap);
    if (status == VINF_SUCCESS) {
        atomic_fetch_add(&race->successes, 1);
    } else if (status != VERR_INVALID_HANDLE) {
        atomic_fetch_add(&race->strangers, 1);
    }
    return NULL;
}

static void of_two_racing_deletes_one_succeeds(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct race race = { .pages = 1 };
        assert_int_equal(RTHeapPageInit(&race.heap, false), VINF_SUCCESS);
        pthread_barrier_init(&gate, NULL, 2);
        run_threads(delete_in_race, &race, 2);
        pthread_barrier_destroy(&gate);
        assert_int_equal(atomic_load(&race.successes), 1);
        assert_int_equal(atomic_load(&race.strangers), 0);
    }
}

/* ---- fork ------------------------------------------------------------------------------- */

static atomic_bool is_over;

static void *allocate_until_over(void *arg)
{
    (void)arg;
    while (!atomic_load(&is_over)) {
        void *small = RTMemPageAlloc(1);
        void *large = RTMemPageAllocZ(300 << 10);
        RTMemPageFree(small, 1);
        RTMemPageFree(large, 300 << 10);
    }
    return NULL;
}

/* In the child: the parent's run is the child's to free, and new ones can be had. */
static int use_heap_as_child(void *parents_run)
{
    RTMemPageFree(parents_run, 1);
    for (int i = 0; i < 100; i++) {
        size_t len_bytes = i % 2 ? 1 : 300 << 10;
        char *run = RTMemPageAlloc(len_bytes);
        if (!run) {
            return 1;
        }
        run[0] = 1;
        RTMemPageFree(run, len_bytes);
    }
    return 0;
}

static void a_child_forked_under_load_can_use_the_heap(void **state)
{
    (void)state;
    pthread_t threads[4];
    atomic_store(&is_over, false);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_until_over, NULL), 0);
    }
    for (int round = 0; round < fork_rounds; round++) {
        void *run = RTMemPageAlloc(1);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20);
            _exit(use_heap_as_child(run));
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(live_pages(run), 1);
        RTMemPageFree(run, 1);
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

int main(int argc, char **argv)
{
    /* ThreadSanitizer does not follow a fork of many threads, so that this test stands alone. */
    const struct CMUnitTest fork_tests[] = {
        cmocka_unit_test(a_child_forked_under_load_can_use_the_heap),
    };
    if (argc > 1 && strcmp(argv[1], "fork") == 0) {
        return cmocka_run_group_tests_name("iprt fork", fork_tests, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_use_by_threads_at_once_makes_one_heap),
        cmocka_unit_test(of_two_racing_frees_one_succeeds),
        cmocka_unit_test(of_two_racing_deletes_one_succeeds),
    };
    return cmocka_run_group_tests_name("iprt threads", tests, NULL, NULL);
}
