/* SPDX-License-Identifier: MIT */
/* crew.h -- threads that work on one heap, and what they have seen go wrong.
 *
 * A thread may not fail a cmocka test by itself, so it counts what is wrong; the test looks at the count.
 */
#ifndef PH_TESTS_CREW_H
#define PH_TESTS_CREW_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "clock.h"
#include "pageheap/pageheap.h"
#include "unit/dice.h"

#if PH_HAS_ASAN || PH_HAS_TSAN
#define CREW_SHARE 20 /* everything takes so much longer */
#else
#define CREW_SHARE 1
#endif

static _Atomic uint64_t crew_wrongs;

/* Count it if the fact does not hold, and say so once. */
#define EXPECT(fact)                                                                                         \
    do {                                                                                                     \
        if (!(fact) && atomic_fetch_add(&crew_wrongs, 1) == 0)                                               \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);                               \
    } while (0)

static inline uint64_t crew_now_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

/* Wait politely, round 0, 1, 2, ...: there may be more threads than processors. */
static inline void crew_wait(unsigned round)
{
    if (round < 400)
        ph_cpu_relax();
    else if (round < 500)
        sched_yield();
    else
        nanosleep(&(struct timespec){ 0, 50000 }, NULL);
}

/* Run `work(args + i * arg_bytes)` in `count` threads, and wait for all. */
static inline void crew_run(void *(*work)(void *), void *args, size_t arg_bytes, unsigned count)
{
    pthread_t threads[64];
    assert_true(count <= 64);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (char *)args + i * arg_bytes), 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* A run's pages carry its address: an overlap is seen by whoever reads it next. */
static inline void crew_fill(void *run, size_t pages)
{
    for (size_t page = 0; page < pages; page++)
        *(uintptr_t *)(void *)((char *)run + page * 4096) = (uintptr_t)run + page;
}

static inline bool crew_is_intact(void *run, size_t pages)
{
    for (size_t page = 0; page < pages; page++) {
        if (*(uintptr_t *)(void *)((char *)run + page * 4096) != (uintptr_t)run + page)
            return false;
    }
    return true;
}

static inline int crew_count_taken(void *ctx, const pageheap_block *block)
{
    *(size_t *)ctx += block->pages - block->unused_pages;
    return 0;
}

/* Heaps that take a block of address space at a time. */
static inline void crew_create_heaps(pageheap **heaps, unsigned count)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserve_bytes = 2 << 20;
    for (unsigned i = 0; i < count; i++) {
        heaps[i] = pageheap_create(&options);
        assert_non_null(heaps[i]);
    }
}

/* Nobody holds anything any more: the numbers say so, the check agrees, and all memory goes back. */
static inline void crew_end(pageheap *heap)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    assert_int_equal(stats.live_runs, 0);
    assert_int_equal(stats.in_use_bytes, 0);
    pageheap_trim(heap, 0);
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    assert_int_equal(stats.resident_bytes, 0);
    size_t taken_pages = 0;
    assert_int_equal(pageheap_each_block(heap, crew_count_taken, &taken_pages), 0);
    assert_int_equal(taken_pages, 0);
    assert_int_equal(pageheap_destroy(heap), 0);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

#endif
