/* SPDX-License-Identifier: MIT */
/* test_slow.c -- while one thread waits for a slow system call, nobody else waits.
 *
 * One thread's calls, one of each kind, take 300 ms.  Meanwhile other threads allocate from blocks that
 * exist, and free, their own runs and the slow thread's; no step of theirs may take as long as half of that.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "clock.h"
#include "fake_os.h"
#include "os/os.h"
#include "pageheap/pageheap.h"

#define SLOW_MS       300
#define LATENCY_MS    150
#define BUSY_THREADS  2
#define LENT_RUNS     400
#define WARM_ROUNDS   50
#define ROUNDS_MAX    100000000
#define ALL_BUT_FENCE ((UINT32_C(1) << FAKE_CALLS) - 1 - (1u << FAKE_BARRIER))

typedef struct play {
    pageheap *heap;
    void (*slow_step)(pageheap *heap);
    void *lent[BUSY_THREADS][LENT_RUNS]; /* the slow thread's runs, which the others free */
    atomic_uint ready;
    atomic_bool go, is_over;
    atomic_bool has_failed;
    _Atomic uint64_t slept, longest_us[BUSY_THREADS], steps_meanwhile[BUSY_THREADS];
} play;

typedef struct actor {
    play *p;
    unsigned number;
} actor;

static void wait_for(atomic_bool *flag)
{
    struct timespec moment = { 0, 200000 };
    while (!atomic_load(flag))
        nanosleep(&moment, NULL);
}

/* ---- the slow thread ------------------------------------------------------------------- */

static void grow(pageheap *heap)
{
    for (unsigned i = 0; i < 3; i++) {
        if (pageheap_alloc(heap, 500, 0) == NULL)
            break;
    }
    (void)pageheap_alloc(heap, 1500, 0);
}

static void grow_huge(pageheap *heap)
{
    void *run = pageheap_alloc(heap, (UINT64_C(1) << 30) / 4096 + 1, 0);
    if (run != NULL)
        (void)pageheap_free_unsized(heap, run);
}

/* Memory that nobody uses, in this thread's blocks and in the pool. */
static void leave_idle_memory(pageheap *heap)
{
    void *runs[64];
    for (unsigned i = 0; i < 64; i++) {
        runs[i] = pageheap_alloc(heap, 100, 0);
        memset(runs[i], 1, (size_t)100 * 4096);
    }
    for (unsigned i = 0; i < 64; i++) {
        if (i % 5 != 0)
            (void)pageheap_free(heap, runs[i], 100);
    }
}

static void purge(pageheap *heap)
{
    fake_os_turn_clock(2000);
    (void)pageheap_tick(heap);
    fake_os_turn_clock(2000);
    (void)pageheap_tick(heap);
}

static void trim(pageheap *heap)
{
    (void)pageheap_trim(heap, 0);
}

static void guard(pageheap *heap)
{
    void *run = pageheap_alloc(heap, 3, PAGEHEAP_GUARD | PAGEHEAP_LOCKED | PAGEHEAP_NODUMP);
    (void)pageheap_free(heap, run, 3);
}

static void *be_slow(void *of)
{
    play *p = of;
    for (unsigned i = 0; i < BUSY_THREADS; i++) {
        for (unsigned j = 0; j < LENT_RUNS; j++)
            p->lent[i][j] = pageheap_alloc(p->heap, 1 + j % 3, 0);
    }
    leave_idle_memory(p->heap);
    atomic_fetch_add(&p->ready, 1);
    wait_for(&p->go);
    fake_os_slow_me(ALL_BUT_FENCE, SLOW_MS);
    uint64_t before_us = clock_us(CLOCK_MONOTONIC);
    p->slow_step(p->heap);
    atomic_store(&p->slept, (clock_us(CLOCK_MONOTONIC) - before_us) / 1000);
    fake_os_slow_me(0, 0);
    atomic_store(&p->is_over, true);
    return NULL;
}

/* ---- the others ------------------------------------------------------------------------ */

/* A round of what needs no new memory; runs stay live across rounds so that blocks are cut, not caches. */
static void busy_round(play *p, void *kept[32], uint64_t round)
{
    static const size_t lengths[] = { 1, 2, 5, 17 };
    unsigned slot = (unsigned)(round * 7 % 32);
    size_t pages = lengths[slot % 4];
    if (kept[slot] != NULL && pageheap_free(p->heap, kept[slot], pages) != 0)
        atomic_store(&p->has_failed, true);
    kept[slot] = pageheap_alloc(p->heap, pages, round % 64 == 0 ? PAGEHEAP_ZERO : 0);
    if (kept[slot] == NULL)
        atomic_store(&p->has_failed, true);
}

static void *be_busy(void *of)
{
    actor *a = of;
    play *p = a->p;
    void *kept[32] = { NULL };
    unsigned given_back = 0;
    uint64_t round = 0;
    for (; round < WARM_ROUNDS * 32; round++)
        busy_round(p, kept, round);
    atomic_fetch_add(&p->ready, 1);
    wait_for(&p->go);
    while (!fake_os_is_sleeping() && !atomic_load(&p->is_over))
        nanosleep(&(struct timespec){ 0, 100000 }, NULL);
    for (; !atomic_load(&p->is_over) && round < ROUNDS_MAX; round++) {
        bool meanwhile = fake_os_is_sleeping();
        uint64_t before_us = clock_us(CLOCK_MONOTONIC);
        busy_round(p, kept, round);
        if (round % 64 == 0)
            fake_os_turn_clock(
                1); /* so that looks at the balance come due, which then find their turn taken */
        if (meanwhile && round % 16 == 0 && given_back < LENT_RUNS) {
            if (pageheap_free_unsized(p->heap, p->lent[a->number][given_back++]) != 0)
                atomic_store(&p->has_failed, true);
        }
        uint64_t took_us = clock_us(CLOCK_MONOTONIC) - before_us;
        if (!meanwhile)
            continue;
        atomic_fetch_add(&p->steps_meanwhile[a->number], 1);
        if (took_us > atomic_load(&p->longest_us[a->number]))
            atomic_store(&p->longest_us[a->number], took_us);
    }
    return NULL;
}

static void act(void (*slow_step)(pageheap *), uint64_t reserve_bytes)
{
    static play p;
    actor actors[BUSY_THREADS];
    pthread_t threads[BUSY_THREADS + 1];
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserve_bytes = reserve_bytes;
    p = (play){ .heap = pageheap_create(&options), .slow_step = slow_step };
    assert_non_null(p.heap);
    assert_int_equal(pthread_create(&threads[BUSY_THREADS], NULL, be_slow, &p), 0);
    while (atomic_load(&p.ready) < 1)
        nanosleep(&(struct timespec){ 0, 100000 }, NULL);
    for (unsigned i = 0; i < BUSY_THREADS; i++) {
        actors[i] = (actor){ &p, i };
        assert_int_equal(pthread_create(&threads[i], NULL, be_busy, &actors[i]), 0);
    }
    while (atomic_load(&p.ready) < BUSY_THREADS + 1)
        nanosleep(&(struct timespec){ 0, 100000 }, NULL);
    atomic_store(&p.go, true);
    for (unsigned i = 0; i <= BUSY_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(atomic_load(&p.has_failed));
    assert_true(atomic_load(&p.slept) >= SLOW_MS); /* there was something slow */
    for (unsigned i = 0; i < BUSY_THREADS; i++) {
        print_message("%llu steps meanwhile, the longest %llu us\n",
                      (unsigned long long)atomic_load(&p.steps_meanwhile[i]),
                      (unsigned long long)atomic_load(&p.longest_us[i]));
        assert_true(atomic_load(&p.steps_meanwhile[i]) > 1000);
        assert_true(atomic_load(&p.longest_us[i]) < LATENCY_MS * 1000);
    }
    assert_int_equal(pageheap_check(p.heap), 0);
    assert_int_equal(pageheap_destroy(p.heap), 0);
}

static void growth_keeps_nobody(void **state)
{
    (void)state;
    act(grow, 2 << 20);
}

static void huge_growth_keeps_nobody(void **state)
{
    (void)state;
    act(grow_huge, 0);
}

static void purge_keeps_nobody(void **state)
{
    (void)state;
    act(purge, 64 << 20);
}

static void trim_keeps_nobody(void **state)
{
    (void)state;
    act(trim, 64 << 20);
}

static void guards_keep_nobody(void **state)
{
    (void)state;
    act(guard, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_keeps_nobody), cmocka_unit_test(huge_growth_keeps_nobody),
        cmocka_unit_test(purge_keeps_nobody),  cmocka_unit_test(trim_keeps_nobody),
        cmocka_unit_test(guards_keep_nobody),
    };
    fake_os_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
