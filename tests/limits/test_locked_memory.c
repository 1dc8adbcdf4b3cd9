/* SPDX-License-Identifier: MIT */
/* test_locked_memory.c -- programs that lock their memory: what cannot be discarded still reads zero where
 * zero was asked for, and a limit on locked memory is a refusal, nothing worse.  Where the system lets nobody
 * lock memory these are skipped. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "meter.h"

#define RUNS      24
#define RUN_PAGES 64

static void require_zero(const char *run, size_t pages)
{
    for (size_t byte = 0; byte < pages * PAGE; byte++)
        REQUIRE(run[byte] == 0);
}

static void fill_free_and_ask_for_zero(pageheap *heap)
{
    char *runs[RUNS];
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < RUNS; i++) {
            runs[i] = pageheap_alloc(heap, RUN_PAGES + round, PAGEHEAP_ZERO);
            REQUIRE(runs[i] != NULL);
            require_zero(runs[i], RUN_PAGES + round);
            memset(runs[i], 0xa5, (RUN_PAGES + round) * PAGE);
        }
        REQUIRE(pageheap_discard(heap, runs[1], 3) == 0);
        require_zero(runs[1], 3);
        REQUIRE(runs[1][3 * PAGE] == (char)0xa5);
        for (unsigned i = 0; i < RUNS; i++)
            REQUIRE(pageheap_free(heap, runs[i], RUN_PAGES + round) == 0);
        pageheap_trim(heap, round % 2 ? 0 : 1 << 20);
        REQUIRE(pageheap_check(heap) == 0);
    }
}

static pageheap *small_heap(void)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserve_bytes = 8 << 20;
    pageheap *heap = pageheap_create(&options);
    REQUIRE(heap != NULL);
    return heap;
}

static void all_memory_is_locked(void)
{
    struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
    (void)setrlimit(RLIMIT_MEMLOCK, &none);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        meter_cannot("mlockall"); /* not allowed here, nor to anyone whom this would concern */
    pageheap *heap = small_heap();
    fill_free_and_ask_for_zero(heap);
    REQUIRE(pageheap_destroy(heap) == 0);
}

/* Locked after the heap has its memory: discards begin to fail half way. */
static void memory_is_locked_later(void)
{
    struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
    (void)setrlimit(RLIMIT_MEMLOCK, &none);
    pageheap *heap = small_heap();
    char *run = pageheap_alloc(heap, 400, 0);
    memset(run, 0xa5, 400 * PAGE);
    REQUIRE(pageheap_free(heap, run, 400) == 0);
    if (mlock(run + 200 * PAGE, 100 * PAGE) != 0)
        meter_cannot("mlock");
    pageheap_trim(heap, 0);
    fill_free_and_ask_for_zero(heap);
    REQUIRE(pageheap_destroy(heap) == 0);
}

static void become_nobody(void)
{
    struct rlimit little = { 4 << 20, 4 << 20 };
    if (setrlimit(RLIMIT_MEMLOCK, &little) != 0)
        meter_cannot("setrlimit"); /* the limit is lower already, and nobody may lift it */
    if (geteuid() == 0)
        REQUIRE(setuid(65534) == 0); /* root's locks know no limit */
}

/* Every new mapping counts as locked, so the system soon refuses, with EAGAIN; we say ENOMEM. */
static void locking_has_a_limit(void)
{
    pageheap *heap = small_heap();
    become_nobody();
    if (mlockall(MCL_FUTURE) != 0)
        meter_cannot("mlockall");
    errno = 0;
    unsigned served = 0;
    while (served < 1000 && pageheap_alloc(heap, 100, 0) != NULL)
        served++;
    REQUIRE(served < 1000);
    REQUIRE(errno == ENOMEM);
    REQUIRE(pageheap_check(heap) == 0);
    REQUIRE(munlockall() == 0);
    REQUIRE(pageheap_alloc(heap, 100, 0) != NULL);
    REQUIRE(pageheap_destroy(heap) == 0);
}

/* A lock that is not granted is told by the run's flags, and is no failure. */
static void locks_that_are_not_granted(void)
{
    pageheap_run found;
    pageheap *heap = small_heap();
    become_nobody();
    char *small = pageheap_alloc(heap, 4, PAGEHEAP_LOCKED);
    char *large = pageheap_alloc(heap, 1500, PAGEHEAP_LOCKED);
    REQUIRE(small != NULL && large != NULL);
    REQUIRE(pageheap_find(small, &found) == 0 && found.flags == PAGEHEAP_LOCKED);
    REQUIRE(pageheap_find(large, &found) == 0 && found.flags == 0);
    REQUIRE(pageheap_free(heap, large, 1500) == 0);
    REQUIRE(pageheap_free(heap, small, 4) == 0);
    fill_free_and_ask_for_zero(heap);
    REQUIRE(pageheap_destroy(heap) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CHILD(all_memory_is_locked),
        IN_CHILD(memory_is_locked_later),
        IN_CHILD(locking_has_a_limit),
        IN_CHILD(locks_that_are_not_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
