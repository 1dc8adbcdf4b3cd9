/* SPDX-License-Identifier: MIT */
/* test_model.c -- random operations on a heap and on the oracle must agree.
 *
 * The seed is printed; PAGEHEAP_TEST_SEED repeats a failure, PAGEHEAP_TEST_OPERATIONS makes a run longer.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oracle.h"
#include "setting.h"
#include "unit/dice.h"

#define LIVE_RUNS_MAX 600
#define LOOP_PAIRS    200 /* three ticks */

typedef struct trial {
    pageheap *heap;
    oracle o;
    dice dice;
    size_t runs_max_pages;
    bool is_light; /* short runs, rare extras: for many operations in little time */
    bool has_tags; /* one tagged run, and all of its thread go another way in */
} trial;

static uint64_t pick(trial *t, uint64_t below)
{
    return dice_below(&t->dice, below);
}

/* Mostly small, sometimes up to a block, now and then several blocks. */
static size_t pick_pages(trial *t)
{
    uint64_t kind = pick(t, t->is_light ? 50 : 100);
    if (t->is_light && pick(t, 2000) == 0)
        return 1 + pick(t, 700);
    if (kind < 50)
        return 1 + pick(t, 4);
    if (kind < 85)
        return 1 + pick(t, 40);
    if (kind < 98)
        return 1 + pick(t, 520);
    return 1 + pick(t, t->runs_max_pages);
}

static void assert_zero(const trial *t, const char *start, size_t pages)
{
    for (size_t byte = 0; byte < pages * t->o.page_bytes; byte += 8) {
        uint64_t word;
        memcpy(&word, start + byte, sizeof word);
        assert_int_equal(word, 0);
    }
}

static void do_alloc(trial *t)
{
    static const size_t aligns_bytes[] = { 1, 4096, 16384, 65536, 1 << 20, 2 << 20, 8 << 20 };
    size_t pages = pick_pages(t);
    uint64_t rarer = t->is_light ? 100 : 1;
    uint32_t flags = pick(t, 4 * rarer) == 0 ? PAGEHEAP_ZERO : 0;
    size_t align_bytes = pick(t, 10 * rarer) == 0 ? aligns_bytes[pick(t, 7)] : 0;
    const char *tag = t->has_tags && pick(t, 50 * rarer) == 0 ? "model" : NULL;
    if (pick(t, 60 * rarer) == 0)
        flags |= PAGEHEAP_GUARD;
    if (t->o.count == t->o.capacity)
        return;
    char *run;
    if (align_bytes != 0)
        run = pageheap_alloc_aligned(t->heap, pages, align_bytes, flags);
    else if (tag != NULL)
        run = pageheap_alloc_tagged(t->heap, pages, flags, tag);
    else
        run = pageheap_alloc(t->heap, pages, flags);
    assert_non_null(run);
    if (align_bytes != 0)
        assert_int_equal((uintptr_t)run % align_bytes, 0);
    if (flags & PAGEHEAP_ZERO)
        assert_zero(t, run, pages);
    if (!t->is_light)
        memset(run, 0xa5, pages * t->o.page_bytes);
    oracle_add(&t->o, run, pages);
}

static void do_free(trial *t)
{
    if (t->o.count == 0)
        return;
    size_t index = pick(t, t->o.count);
    oracle_run run = t->o.runs[index];
    assert_true(oracle_is_intact(&t->o, &run));
    oracle_remove(&t->o, index);
    int code = pick(t, 8) == 0 ? pageheap_free_unsized(t->heap, run.start)
                               : pageheap_free(t->heap, run.start, run.pages);
    assert_int_equal(code, 0);
}

/* Near misses of a live run: each must be judged as the oracle judges it. */
static void do_bad_free(trial *t)
{
    if (t->o.count == 0)
        return;
    const oracle_run *run = &t->o.runs[pick(t, t->o.count)];
    char *start = run->start + (ptrdiff_t)((pick(t, 5) - 2) * t->o.page_bytes);
    size_t pages = run->pages + pick(t, 5) - 2;
    if (pick(t, 6) == 0)
        start += 8;
    if (start == run->start && pages == run->pages)
        return;
    if (oracle_accepts(&t->o, start, pages))
        return; /* another run, named exactly */
    assert_true(pageheap_free(t->heap, start, pages) < 0);
}

static void *take_tagged(trial *t, size_t pages, const char *tag)
{
    void *run =
        tag != NULL ? pageheap_alloc_tagged(t->heap, pages, 0, tag) : pageheap_alloc(t->heap, pages, 0);
    assert_non_null(run);
    return run;
}

/* Long enough for a hot run, which the next operations find kept, or live. */
static void do_loop(trial *t)
{
    size_t pages = pick_pages(t);
    const char *tag = t->has_tags ? "loop" : NULL;
    char *run = NULL;
    for (unsigned pair = 0; pair < LOOP_PAIRS; pair++) {
        run = take_tagged(t, pages, tag);
        assert_int_equal(pageheap_free(t->heap, run, pages), 0);
    }
    assert_int_not_equal(pageheap_free(t->heap, run, pages), 0);
    if (t->o.count == t->o.capacity || pick(t, 2) == 0)
        return;
    run = take_tagged(t, pages, tag);
    if (!t->is_light)
        memset(run, 0xa5, pages * t->o.page_bytes);
    oracle_add(&t->o, run, pages);
}

static void do_split_or_join(trial *t)
{
    if (t->o.count == 0 || t->o.count == t->o.capacity)
        return;
    size_t index = pick(t, t->o.count);
    oracle_run run = t->o.runs[index];
    if (run.pages < 2)
        return;
    size_t head_pages = 1 + pick(t, run.pages - 1);
    int code = pageheap_split(t->heap, run.start, run.pages, head_pages);
    if (code != 0) {
        assert_int_equal(code, PAGEHEAP_EBUSY); /* long and guarded runs stay whole */
        return;
    }
    char *tail = run.start + head_pages * t->o.page_bytes;
    if (pick(t, 2) == 0) {
        assert_int_equal(pageheap_join(t->heap, run.start, head_pages, tail, run.pages - head_pages), 0);
        return;
    }
    assert_true(oracle_is_intact(&t->o, &run));
    oracle_remove(&t->o, index);
    oracle_add(&t->o, run.start, head_pages);
    oracle_add(&t->o, tail, run.pages - head_pages);
}

static void do_resize(trial *t)
{
    if (t->o.count == 0)
        return;
    size_t index = pick(t, t->o.count);
    oracle_run run = t->o.runs[index];
    size_t new_pages = pick_pages(t);
    uint32_t flags = (pick(t, 2) == 0 ? PAGEHEAP_MAYMOVE : 0) | (pick(t, 2) == 0 ? PAGEHEAP_ZERO : 0);
    char *start = pageheap_resize(t->heap, run.start, run.pages, new_pages, flags);
    if (start == NULL) {
        assert_false(flags & PAGEHEAP_MAYMOVE);
        return;
    }
    oracle_run kept = { start, run.pages < new_pages ? run.pages : new_pages, run.pattern };
    assert_true(oracle_is_intact(&t->o, &kept));
    if ((flags & PAGEHEAP_ZERO) && new_pages > run.pages)
        assert_zero(t, start + run.pages * t->o.page_bytes, new_pages - run.pages);
    oracle_remove(&t->o, index);
    oracle_add(&t->o, start, new_pages);
}

static void do_find(trial *t)
{
    if (t->o.count == 0)
        return;
    const oracle_run *run = &t->o.runs[pick(t, t->o.count)];
    pageheap_run found;
    char *inner = run->start + pick(t, run->pages * t->o.page_bytes);
    assert_int_equal(pageheap_find(inner, &found), 0);
    assert_ptr_equal(found.heap, t->heap);
    assert_ptr_equal(found.start, run->start);
    assert_int_equal(found.pages, run->pages);
}

static void do_discard(trial *t)
{
    if (t->o.count == 0)
        return;
    size_t index = pick(t, t->o.count);
    oracle_run run = t->o.runs[index];
    size_t first = pick(t, run.pages);
    size_t pages = 1 + pick(t, run.pages - first);
    char *start = run.start + first * t->o.page_bytes;
    assert_int_equal(pageheap_discard(t->heap, start, pages), 0);
    assert_zero(t, start, pages);
    oracle_remove(&t->o, index);
    oracle_add(&t->o, run.start, run.pages);
}

static int count_run(void *ctx, const pageheap_run *run)
{
    size_t *pages = ctx;
    *pages += run->pages;
    return 0;
}

static void assert_counts_agree(trial *t)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    size_t pages = 0;
    assert_int_equal(pageheap_check(t->heap), 0);
    assert_int_equal(pageheap_get_stats(t->heap, &stats), 0);
    assert_int_equal(stats.live_runs, t->o.count);
    assert_true(stats.in_use_bytes >= t->o.live_pages * t->o.page_bytes); /* guards count as in use */
    assert_int_equal(pageheap_each_run(t->heap, count_run, &pages), 0);
    assert_int_equal(pages, t->o.live_pages);
}

static void do_one(trial *t)
{
    if (pick(t, t->is_light ? 4000 : 400) == 0)
        do_loop(t);
    uint64_t kind = pick(t, 1000);
    if (t->is_light && kind >= 900 && pick(t, 100) != 0)
        kind -= 900; /* an alloc */
    if (kind < 400)
        do_alloc(t);
    else if (kind < 800)
        do_free(t);
    else if (kind < 900)
        do_bad_free(t);
    else if (kind < 930)
        do_split_or_join(t);
    else if (kind < 950)
        do_resize(t);
    else if (kind < 980)
        do_find(t);
    else if (kind < 990)
        do_discard(t);
    else if (kind < 997)
        assert_int_equal(pageheap_tick(t->heap), 0);
    else
        pageheap_trim(t->heap, pick(t, 3) * 1000000);
}

static void run_trial(const pageheap_options *options, uint64_t operations, bool is_light, bool has_tags)
{
    trial t = { .dice = dice_new(), .runs_max_pages = 3000, .is_light = is_light, .has_tags = has_tags };
    t.heap = pageheap_create(options);
    assert_non_null(t.heap);
    oracle_init(&t.o, LIVE_RUNS_MAX, pageheap_page_bytes(t.heap));
    for (uint64_t i = 0; i < operations; i++) {
        do_one(&t);
        if (i % (is_light ? 262144 : 4096) == 0)
            assert_counts_agree(&t);
    }
    while (t.o.count != 0)
        do_free(&t);
    assert_counts_agree(&t);
    assert_int_equal(pageheap_destroy(t.heap), 0);
    oracle_end(&t.o);
}

static uint64_t operations(void)
{
    return setting("PAGEHEAP_TEST_OPERATIONS", 100000);
}

static void default_heap_agrees(void **state)
{
    (void)state;
    run_trial(NULL, operations() / 2, false, true);
    run_trial(NULL, operations() / 2, false, false);
}

static void eager_heap_agrees(void **state)
{
    (void)state;
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.decay_ms = PAGEHEAP_AT_ONCE;
    options.reserve_bytes = 2 << 20; /* a region holds one block: every edge is met often */
    run_trial(&options, operations() / 8, false, true);
    run_trial(&options, operations() / 8, false, false);
}

static void large_pages_agree(void **state)
{
    (void)state;
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.page_bytes = 65536;
    run_trial(&options, operations() / 16, false, true);
}

static void ten_million_light_operations_agree(void **state)
{
    (void)state;
    uint64_t light_operations = setting("PAGEHEAP_TEST_LIGHT_OPERATIONS", 10000000);
    run_trial(NULL, light_operations / 2, true, true);
    run_trial(NULL, light_operations / 2, true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_heap_agrees),
        cmocka_unit_test(eager_heap_agrees),
        cmocka_unit_test(large_pages_agree),
        cmocka_unit_test(ten_million_light_operations_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
