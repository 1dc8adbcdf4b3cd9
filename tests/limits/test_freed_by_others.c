/* SPDX-License-Identifier: MIT */
/* test_freed_by_others.c -- what a thread's runs hold goes back once other threads have freed them, also if
 * that thread sleeps, or is no more; and a thread that is at work is not stopped for that.
 */
#include "meter.h"

#include <pthread.h>

#define RUN_PAGES   16
#define RUN_BYTES   (RUN_PAGES * PAGE)
#define RUNS        1024
#define SLACK_BYTES ((uint64_t)4 << 20)

typedef struct scene {
    pageheap *heap;
    pthread_t owner;
    pthread_barrier_t meeting; /* of the owner and the one who frees */
    bool stays;                /* the owner sleeps, instead of ending */
    uint64_t rss_before_bytes;
    char *runs[RUNS];
} scene;

static void *own(void *arg)
{
    scene *s = arg;
    for (unsigned i = 0; i < RUNS; i++) {
        s->runs[i] = pageheap_alloc(s->heap, RUN_PAGES, 0);
        if (s->runs[i] == NULL)
            return NULL;
        memset(s->runs[i], 1, RUN_BYTES);
    }
    pthread_barrier_wait(&s->meeting);
    if (s->stays)
        pthread_barrier_wait(&s->meeting);
    return NULL;
}

/* There are RUNS runs, all of them touched, and their owner sleeps or has ended. */
static void begin(scene *s, const pageheap_options *options, bool stays)
{
    s->stays = stays;
    s->heap = pageheap_create(options);
    assert_non_null(s->heap);
    assert_int_equal(pageheap_free(s->heap, pageheap_alloc(s->heap, 1, 0), 1), 0); /* our front is there */
    assert_int_equal(pthread_barrier_init(&s->meeting, NULL, 2), 0);
    s->rss_before_bytes = meter_rss_bytes();
    assert_int_equal(pthread_create(&s->owner, NULL, own, s), 0);
    pthread_barrier_wait(&s->meeting);
    if (!stays)
        assert_int_equal(pthread_join(s->owner, NULL), 0);
}

static void end(scene *s)
{
    if (s->stays) {
        pthread_barrier_wait(&s->meeting);
        assert_int_equal(pthread_join(s->owner, NULL), 0);
    }
    assert_int_equal(pageheap_check(s->heap), 0);
    assert_int_equal(pageheap_destroy(s->heap), 0);
    pthread_barrier_destroy(&s->meeting);
}

static void free_runs(scene *s, unsigned first, unsigned behind)
{
    for (unsigned i = first; i < behind; i++)
        assert_int_equal(pageheap_free(s->heap, s->runs[i], RUN_PAGES), 0);
}

/* Nobody has collected it: it is in use no more, and it is there. */
static void stats_count_it(void **state)
{
    (void)state;
    for (unsigned stays = 0; stays < 2; stays++) {
        scene s;
        pageheap_options options = PAGEHEAP_OPTIONS_INIT;
        options.decay_ms = PAGEHEAP_NEVER;
        begin(&s, &options, stays != 0);
        pageheap_stats before = meter_stats(s.heap);
        assert_true(before.in_use_bytes == RUNS * RUN_BYTES);
        free_runs(&s, 0, RUNS / 2);
        pageheap_stats after = meter_stats(s.heap);
        assert_true(after.in_use_bytes == RUNS / 2 * RUN_BYTES);
        assert_true(after.unused_bytes == before.unused_bytes + RUNS / 2 * RUN_BYTES);
        assert_true(after.resident_bytes == before.resident_bytes);
        free_runs(&s, RUNS / 2, RUNS);
        assert_true(meter_stats(s.heap).resident_bytes == before.resident_bytes);
        (void)pageheap_trim(s.heap, 0);
        assert_true(meter_stats(s.heap).resident_bytes == 0);
        end(&s);
    }
}

static void assert_resident_at_most(const scene *s, uint64_t bytes)
{
    uint64_t resident = meter_rss_bytes() - s->rss_before_bytes;
    print_message("resident %llu KiB of %llu\n", (unsigned long long)resident / 1024,
                  (unsigned long long)bytes / 1024);
    assert_true(resident <= bytes);
}

/* Ticks, and every so many of them one more run is freed, of those from `first` on. */
static void let_time_pass(scene *s, unsigned ticks, unsigned ticks_a_free, unsigned first)
{
    for (unsigned tick = 1; tick <= ticks; tick++) {
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
        assert_int_equal(pageheap_tick(s->heap), 0);
        if (ticks_a_free != 0 && tick % ticks_a_free == 0) {
            free_runs(s, first, first + 1);
            first++;
        }
    }
}

/* Sooner than its front is private again, which takes half a second. */
static void it_goes_at_once(void **state)
{
    (void)state;
    for (unsigned stays = 0; stays < 2; stays++) {
        scene s;
        pageheap_options options = PAGEHEAP_OPTIONS_INIT;
        options.decay_ms = PAGEHEAP_AT_ONCE;
        options.retain_bytes = 1 << 20;
        begin(&s, &options, stays != 0);
        free_runs(&s, 0, RUNS);
        let_time_pass(&s, 40, 0, 0);
        assert_resident_at_most(&s, SLACK_BYTES);
        assert_true(meter_stats(s.heap).resident_bytes <= SLACK_BYTES);
        end(&s);
    }
}

/* Its front is never private again, for a run is freed now and then. */
static void a_trickle_does_not_keep_it(void **state)
{
    (void)state;
    for (unsigned stays = 0; stays < 2; stays++) {
        scene s;
        pageheap_options options = PAGEHEAP_OPTIONS_INIT;
        options.decay_ms = 100;
        begin(&s, &options, stays != 0);
        free_runs(&s, 0, RUNS - 100);
        let_time_pass(&s, 250, 5, RUNS - 100);
        assert_resident_at_most(&s, 50 * RUN_BYTES + SLACK_BYTES);
        free_runs(&s, RUNS - 50, RUNS);
        end(&s);
    }
}

/* ---- an owner at work ------------------------------------------------------------------ */

#define ROUNDS     40
#define ROUND_RUNS 96 /* more than is worth a stop */

static void *produce(void *arg)
{
    scene *s = arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < ROUND_RUNS; i++) {
            s->runs[i] = pageheap_alloc(s->heap, 1, 0);
            if (s->runs[i] != NULL)
                s->runs[i][0] = 1;
        }
        pthread_barrier_wait(&s->meeting);
        pthread_barrier_wait(&s->meeting);
    }
    return NULL;
}

/* Each tick sees more than may stay, none of it collected: the owner will, a moment later. */
static void who_collects_is_not_stopped(void **state)
{
    (void)state;
    scene s;
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.decay_ms = PAGEHEAP_AT_ONCE;
    options.retain_bytes = PAGE;
    s.heap = pageheap_create(&options);
    assert_non_null(s.heap);
    assert_int_equal(pthread_barrier_init(&s.meeting, NULL, 2), 0);
    assert_int_equal(pthread_create(&s.owner, NULL, produce, &s), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&s.meeting);
        for (unsigned i = 0; i < ROUND_RUNS; i++)
            assert_int_equal(pageheap_free(s.heap, s.runs[i], 1), 0);
        nanosleep(&(struct timespec){ 0, 11000000 }, NULL);
        assert_int_equal(pageheap_tick(s.heap), 0);
        pthread_barrier_wait(&s.meeting);
    }
    assert_int_equal(pthread_join(s.owner, NULL), 0);
    print_message("%llu revocations\n", (unsigned long long)meter_stats(s.heap).revocations);
    assert_true(meter_stats(s.heap).revocations <= ROUNDS / 4);
    assert_int_equal(pageheap_check(s.heap), 0);
    assert_int_equal(pageheap_destroy(s.heap), 0);
    pthread_barrier_destroy(&s.meeting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_count_it),
        cmocka_unit_test(it_goes_at_once),
        cmocka_unit_test(a_trickle_does_not_keep_it),
        cmocka_unit_test(who_collects_is_not_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
