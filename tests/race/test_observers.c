/* SPDX-License-Identifier: MIT */
/* test_observers.c -- trim, tick, stats, check, walks and find go on while four threads allocate and free.
 *
 * What they tell may be a moment old, but never nonsense; and what they do takes no run from anyone.
 */
#include <signal.h>

#include "crew.h"

#define MUTATORS  4
#define LIVE_EACH 200
#define PAGES_MAX 700
#define RUN_MS    (CREW_SHARE > 1 ? 2500 : 1200)

typedef struct watch {
    pageheap *heap;
    atomic_bool is_over;
    _Atomic uint64_t steps;
} watch;

typedef struct mutator {
    watch *w;
    uint64_t seed;
} mutator;

static size_t throw_pages(dice *d)
{
    uint64_t kind = dice_below(d, 50);
    return kind == 0 ? 1 + dice_below(d, PAGES_MAX) : 1 + dice_below(d, 30);
}

typedef struct live_run {
    void *run;
    size_t pages;
} live_run;

static void expect_found(const watch *w, const live_run *r)
{
    pageheap_run found;
    EXPECT(pageheap_find((char *)r->run + 4096 * (r->pages - 1) + 7, &found) == 0);
    EXPECT(found.heap == w->heap && found.start == r->run && found.pages == r->pages);
}

static void *mutate(void *of)
{
    mutator *m = of;
    watch *w = m->w;
    dice d = dice_from_seed(m->seed);
    live_run live[LIVE_EACH] = { { NULL, 0 } };
    while (!atomic_load(&w->is_over)) {
        live_run *r = &live[dice_below(&d, LIVE_EACH)];
        if (r->run != NULL) {
            EXPECT(crew_is_intact(r->run, r->pages));
            if (dice_below(&d, 8) == 0)
                expect_found(w, r);
            EXPECT(pageheap_free(w->heap, r->run, r->pages) == 0);
            EXPECT(pageheap_free(w->heap, NULL, 1) == 0);
        }
        r->pages = throw_pages(&d);
        r->run = dice_below(&d, 40) == 0 ? pageheap_alloc_tagged(w->heap, r->pages, 0, "watched")
                                         : pageheap_alloc(w->heap, r->pages, 0);
        EXPECT(r->run != NULL);
        if (r->run != NULL)
            crew_fill(r->run, r->pages);
        atomic_fetch_add_explicit(&w->steps, 1, memory_order_relaxed);
    }
    for (unsigned i = 0; i < LIVE_EACH; i++)
        EXPECT(pageheap_free(w->heap, live[i].run, live[i].pages) == 0);
    return NULL;
}

/* ---- those who look -------------------------------------------------------------------- */

static void look_at_stats(watch *w)
{
    /* Each thread holds at most this many pages, and a number may lag by the operation in progress. */
    const uint64_t most_bytes = UINT64_C(4096) * MUTATORS * (LIVE_EACH + 4) * PAGES_MAX;
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    EXPECT(pageheap_get_stats(w->heap, &stats) == 0);
    EXPECT(stats.in_use_bytes <= most_bytes);
    EXPECT(stats.peak_bytes <= most_bytes);
    EXPECT(stats.unused_bytes <= stats.reserved_bytes + most_bytes);
    EXPECT(stats.committed_bytes <= stats.reserved_bytes);
}

static int see_run(void *ctx, const pageheap_run *run)
{
    watch *w = ctx;
    EXPECT(run->heap == w->heap);
    EXPECT(run->start != NULL && (uintptr_t)run->start % 4096 == 0);
    EXPECT(run->pages <= 2 * PAGES_MAX);
    return 0;
}

static void look_at_runs(watch *w)
{
    EXPECT(pageheap_each_run(w->heap, see_run, w) == 0);
}

static int see_block(void *ctx, const pageheap_block *block)
{
    (void)ctx;
    EXPECT(block->pages == 512);
    EXPECT(block->unused_pages <= 512 && block->longest_pages <= 512);
    return 0;
}

static void look_at_blocks(watch *w)
{
    EXPECT(pageheap_each_block(w->heap, see_block, w) == 0);
}

static void check(watch *w)
{
    EXPECT(pageheap_check(w->heap) == 0);
}

static void trim(watch *w)
{
    (void)pageheap_trim(w->heap, 0);
}

static void trim_a_little(watch *w)
{
    (void)pageheap_trim(w->heap, 1 << 20);
}

static void tick(watch *w)
{
    EXPECT(pageheap_tick(w->heap) == 0);
}

static _Thread_local dice own; /* the observer's */

/* Addresses that may be anybody's at this moment. */
static void find_anything(watch *w)
{
    pageheap_run found;
    void *probe = pageheap_alloc(w->heap, 1, 0);
    char *near = (char *)((uintptr_t)probe & ~(UINTPTR_MAX >> 43));
    for (unsigned i = 0; i < 32; i++) {
        int code = pageheap_find(near + dice_below(&own, 8u << 20), &found);
        EXPECT(code == 0 || code == PAGEHEAP_ENOTOURS);
    }
    EXPECT(pageheap_free(w->heap, probe, 1) == 0);
}

typedef struct observer {
    watch *w;
    void (*look)(watch *);
    unsigned pause_us;
    uint64_t seed;
} observer;

static void *observe(void *of)
{
    observer *o = of;
    struct timespec pause = { 0, (long)o->pause_us * 1000 };
    own = dice_from_seed(o->seed);
    while (!atomic_load(&o->w->is_over)) {
        o->look(o->w);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void watch_with(void (*look)(watch *), unsigned pause_us, uint32_t decay_ms)
{
    watch w = { .heap = NULL };
    mutator mutators[MUTATORS];
    pthread_t threads[MUTATORS + 2];
    dice d = dice_new();
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.decay_ms = decay_ms;
    options.reserve_bytes = 64 << 20;
    atomic_store(&crew_wrongs, 0);
    w.heap = pageheap_create(&options);
    assert_non_null(w.heap);
    observer observers[2] = { { &w, look, pause_us, dice_next(&d) }, { &w, look, pause_us, dice_next(&d) } };
    for (unsigned i = 0; i < MUTATORS; i++) {
        mutators[i] = (mutator){ &w, dice_next(&d) };
        assert_int_equal(pthread_create(&threads[i], NULL, mutate, &mutators[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[MUTATORS + i], NULL, observe, &observers[i]), 0);
    nanosleep(&(struct timespec){ RUN_MS / 1000, RUN_MS % 1000 * 1000000L }, NULL);
    atomic_store(&w.is_over, true);
    for (unsigned i = 0; i < MUTATORS + 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&w.steps) > 100);
    crew_end(w.heap);
}

static void stats_meanwhile(void **state)
{
    (void)state;
    watch_with(look_at_stats, 5, 0);
}

static void runs_meanwhile(void **state)
{
    (void)state;
    watch_with(look_at_runs, 100, 0);
}

static void blocks_meanwhile(void **state)
{
    (void)state;
    watch_with(look_at_blocks, 50, 0);
}

static void check_meanwhile(void **state)
{
    (void)state;
    watch_with(check, 300, 20);
}

static void trim_meanwhile(void **state)
{
    (void)state;
    watch_with(trim, 500, 0);
    watch_with(trim_a_little, 500, 0);
}

static void tick_meanwhile(void **state)
{
    (void)state;
    watch_with(tick, 50, PAGEHEAP_AT_ONCE);
}

static void find_meanwhile(void **state)
{
    (void)state;
    watch_with(find_anything, 10, 20);
}

/* ---- find, stopped in the middle ------------------------------------------------------- */

#define HEATING 130 /* rounds after which the heap remembers the run as one that comes back at once */

typedef struct finder {
    pageheap *heap;
    _Atomic(void *) wanted; /* a live run, or NULL */
    atomic_bool is_idle, is_over;
} finder;

static atomic_uint stopped, resumed;

static void stop_for_a_moment(int signal)
{
    (void)signal;
    unsigned turn = atomic_fetch_add(&stopped, 1) + 1;
    for (unsigned round = 0; atomic_load(&resumed) < turn; round++)
        crew_wait(round);
}

static void *find_again_and_again(void *of)
{
    finder *f = of;
    while (!atomic_load(&f->is_over)) {
        pageheap_run found;
        void *run = atomic_load(&f->wanted);
        atomic_store(&f->is_idle, run == NULL);
        if (run != NULL)
            EXPECT(pageheap_find(run, &found) == 0 && found.start == run && found.pages == 5);
    }
    return NULL;
}

static void *made_again(pageheap *heap, size_t pages)
{
    void *run = pageheap_alloc(heap, pages, 0);
    for (unsigned round = 0; round < HEATING; round++) {
        EXPECT(pageheap_free(heap, run, pages) == 0);
        run = pageheap_alloc(heap, pages, 0);
    }
    return run;
}

static void wait_until_idle(finder *f, bool is_idle)
{
    for (unsigned round = 0; atomic_load(&f->is_idle) != is_idle; round++)
        crew_wait(round);
}

/* The run is live all the time; what its owner does with others meanwhile must not hide it. */
static void find_is_stopped(void **state)
{
    (void)state;
    finder f = { .heap = pageheap_create(NULL) };
    pthread_t thread;
    uint64_t until_ms = crew_now_ms() + RUN_MS;
    struct sigaction stop = { .sa_handler = stop_for_a_moment }, before;
    atomic_store(&crew_wrongs, 0);
    assert_int_equal(sigaction(SIGUSR1, &stop, &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, find_again_and_again, &f), 0);
    for (unsigned turn = 1; crew_now_ms() < until_ms; turn++) {
        void *run = made_again(f.heap, 5);
        atomic_store(&f.wanted, run);
        wait_until_idle(&f, false);
        assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        for (unsigned round = 0; atomic_load(&stopped) < turn; round++)
            crew_wait(round);
        EXPECT(pageheap_free(f.heap, made_again(f.heap, 7), 7) == 0);
        atomic_store(&resumed, turn);
        atomic_store(&f.wanted, NULL);
        wait_until_idle(&f, true);
        EXPECT(pageheap_free(f.heap, run, 5) == 0);
    }
    atomic_store(&f.is_over, true);
    pthread_join(thread, NULL);
    print_message("%u rounds\n", atomic_load(&resumed));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    crew_end(f.heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_meanwhile),  cmocka_unit_test(runs_meanwhile),
        cmocka_unit_test(blocks_meanwhile), cmocka_unit_test(check_meanwhile),
        cmocka_unit_test(trim_meanwhile),   cmocka_unit_test(tick_meanwhile),
        cmocka_unit_test(find_meanwhile),   cmocka_unit_test(find_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
