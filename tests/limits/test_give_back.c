/* SPDX-License-Identifier: MIT */
/* test_give_back.c -- memory that was touched and freed goes back: within 1.2 s of normal activity resident
 * memory is at most 1.10 of what lives, after a trim at most 1.02, and it stays so.
 *
 * PAGEHEAP_TEST_MIB (default 512) is how much is touched, PAGEHEAP_TEST_STAY_S (default 1) how long it must
 * stay so.
 */
#include "meter.h"
#include "setting.h"
#include "unit/dice.h"

#define RUN_PAGES_MAX 31
#define SMALL_LIVE    50

typedef struct crowd {
    pageheap *heap;
    struct {
        char *start;
        size_t pages;
    } * runs;
    size_t count;
    dice dice;
    uint64_t live_bytes, rss_before_bytes;
} crowd;

static void touch_all(crowd *c, uint64_t bytes)
{
    size_t most = bytes / PAGE;
    c->runs = calloc(most, sizeof *c->runs);
    assert_non_null(c->runs);
    memset(c->runs, 0xff, most * sizeof *c->runs); /* its own memory is there before we measure */
    c->rss_before_bytes = meter_rss_bytes();
    for (; c->live_bytes < bytes; c->count++) {
        size_t pages = 1 + dice_below(&c->dice, RUN_PAGES_MAX);
        c->runs[c->count].pages = pages;
        c->runs[c->count].start = pageheap_alloc(c->heap, pages, 0);
        assert_non_null(c->runs[c->count].start);
        for (size_t page = 0; page < pages; page++)
            c->runs[c->count].start[page * PAGE] = 1;
        c->live_bytes += pages * PAGE;
    }
}

static void free_nine_of_ten(crowd *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (dice_below(&c->dice, 10) == 0) {
            c->runs[kept++] = c->runs[i];
            continue;
        }
        assert_int_equal(pageheap_free(c->heap, c->runs[i].start, c->runs[i].pages), 0);
        c->live_bytes -= c->runs[i].pages * PAGE;
    }
    c->count = kept;
}

/* A program that goes on with a small part of what it did. */
static void live_on(crowd *c, unsigned ms)
{
    char *small[SMALL_LIVE] = { NULL };
    uint64_t until_us = clock_us(CLOCK_MONOTONIC) + (uint64_t)ms * 1000;
    for (uint64_t step = 0; clock_us(CLOCK_MONOTONIC) < until_us; step++) {
        unsigned slot = (unsigned)dice_below(&c->dice, SMALL_LIVE);
        assert_int_equal(pageheap_free(c->heap, small[slot], 1 + slot % 8), 0);
        small[slot] = pageheap_alloc(c->heap, 1 + slot % 8, 0);
        assert_non_null(small[slot]);
        small[slot][0] = 1;
        if (step % 16 == 0)
            nanosleep(&(struct timespec){ 0, 100000 }, NULL);
    }
    for (unsigned slot = 0; slot < SMALL_LIVE; slot++)
        assert_int_equal(pageheap_free(c->heap, small[slot], 1 + slot % 8), 0);
}

static void assert_resident_at_most(const crowd *c, unsigned percent)
{
    uint64_t resident = meter_rss_bytes() - c->rss_before_bytes;
    print_message("resident %llu KiB, live %llu KiB\n", (unsigned long long)resident / 1024,
                  (unsigned long long)c->live_bytes / 1024);
    assert_true(resident * 100 <= c->live_bytes * percent);
}

static void memory_goes_back(void **state)
{
    (void)state;
    crowd c = { .dice = dice_new() };
    c.heap = pageheap_create(NULL);
    assert_non_null(c.heap);
    touch_all(&c, setting("PAGEHEAP_TEST_MIB", 512) << 20);
    free_nine_of_ten(&c);
    live_on(&c, 1200);
    assert_resident_at_most(&c, 110);
    for (uint64_t second = 0; second < setting("PAGEHEAP_TEST_STAY_S", 1); second++) {
        live_on(&c, 1000);
        assert_resident_at_most(&c, 110);
    }
    pageheap_trim(c.heap, 0);
    assert_resident_at_most(&c, 102);
    assert_int_equal(pageheap_check(c.heap), 0);
    assert_int_equal(pageheap_destroy(c.heap), 0);
    free(c.runs);
}

/* The same at once, by a trim alone. */
static void trim_gives_back_at_once(void **state)
{
    (void)state;
    crowd c = { .dice = dice_new() };
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.decay_ms = PAGEHEAP_NEVER;
    c.heap = pageheap_create(&options);
    touch_all(&c, setting("PAGEHEAP_TEST_MIB", 512) << 18);
    free_nine_of_ten(&c);
    uint64_t kept_bytes = c.live_bytes;
    assert_true(meter_rss_bytes() - c.rss_before_bytes > 5 * kept_bytes); /* nothing went by itself */
    pageheap_trim(c.heap, 0);
    assert_resident_at_most(&c, 102);
    assert_int_equal(meter_stats(c.heap).unused_bytes, 0);
    assert_int_equal(pageheap_destroy(c.heap), 0);
    free(c.runs);
}

/* However many holes a block has: here one at every second page, 256 a block. */
static void trim_takes_every_hole(void **state)
{
    (void)state;
    enum { PAGES = 16384 };
    static char *pages[PAGES];
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.decay_ms = PAGEHEAP_NEVER;
    pageheap *heap = pageheap_create(&options);
    assert_non_null(heap);
    memset(pages, 0xff, sizeof pages);
    uint64_t before = meter_rss_bytes();
    for (size_t i = 0; i < PAGES; i++) {
        pages[i] = pageheap_alloc(heap, 1, 0);
        assert_non_null(pages[i]);
        pages[i][0] = 1;
    }
    for (size_t i = 0; i < PAGES; i++) {
        if (((uintptr_t)pages[i] / PAGE) % 2 == 0)
            assert_int_equal(pageheap_free(heap, pages[i], 1), 0);
    }
    pageheap_trim(heap, 0);
    assert_int_equal(meter_stats(heap).unused_bytes, 0);
    assert_true(meter_rss_bytes() - before <= (PAGES / 2) * PAGE * 104 / 100);
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_goes_back),
        cmocka_unit_test(trim_gives_back_at_once),
        cmocka_unit_test(trim_takes_every_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
