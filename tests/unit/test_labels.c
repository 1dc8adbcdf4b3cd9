/* SPDX-License-Identifier: MIT */
/* test_labels.c -- a run is called what it was called when it was taken, whoever was there before. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dice.h"
#include "os/os.h"
#include "pageheap/pageheap.h"

#define HEAPS 3u
#define RUNS  600u
#define STEPS 200000u

static const char *const names[] = { NULL, "one", "two", "three" };

typedef struct called {
    char *start; /* NULL: a free place */
    size_t pages;
    const char *tag;
} called;

typedef struct town {
    dice d;
    pageheap *heaps[HEAPS];
    called runs[HEAPS][RUNS];
} town;

static void assert_called(pageheap *heap, const called *run)
{
    pageheap_run found;
    char *within = run->start + (run->pages - 1) * 4096;
    assert_int_equal(pageheap_find(within, &found), 0);
    assert_ptr_equal(found.heap, heap);
    assert_ptr_equal(found.start, run->start);
    assert_int_equal(found.pages, run->pages);
    assert_ptr_equal(found.tag, run->tag);
}

/* Mostly one page; now and then more than a block. */
static size_t pick_pages(town *t)
{
    uint64_t kind = dice_below(&t->d, 100);
    return kind < 50 ? 1 : kind < 98 ? 1 + dice_below(&t->d, 90) : 1 + dice_below(&t->d, 600);
}

/* One heap labels all its runs, one few, one none after its first moments: others had these addresses. */
static const char *pick_tag(town *t, unsigned h)
{
    if (h == 2 || (h == 1 && dice_below(&t->d, 8) != 0))
        return NULL;
    return names[dice_below(&t->d, 4)];
}

static void take(town *t, unsigned h, called *run)
{
    run->pages = pick_pages(t);
    run->tag = pick_tag(t, h);
    uint32_t flags = dice_below(&t->d, 10) == 0 ? PAGEHEAP_ZERO : 0;
    if (run->tag == NULL && dice_below(&t->d, 10) == 0)
        run->start = pageheap_alloc_aligned(t->heaps[h], run->pages, 16384, flags);
    else if (run->tag == NULL)
        run->start = pageheap_alloc(t->heaps[h], run->pages, flags);
    else
        run->start = pageheap_alloc_tagged(t->heaps[h], run->pages, flags, run->tag);
    assert_non_null(run->start);
    assert_called(t->heaps[h], run);
}

static void give(town *t, unsigned h, called *run)
{
    pageheap_run found;
    assert_called(t->heaps[h], run);
    assert_int_equal(pageheap_free(t->heaps[h], run->start, run->pages), 0);
    assert_int_not_equal(pageheap_find(run->start, &found), 0);
    run->start = NULL;
}

/* Both parts are called what the whole was; joined again, what the first part is. */
static void cut_and_mend(town *t, unsigned h, called *run)
{
    if (run->pages < 2 || run->pages > 512)
        return;
    size_t head_pages = 1 + dice_below(&t->d, run->pages - 1);
    called head = { run->start, head_pages, run->tag };
    called tail = { run->start + head_pages * 4096, run->pages - head_pages, run->tag };
    assert_int_equal(pageheap_split(t->heaps[h], run->start, run->pages, head_pages), 0);
    assert_called(t->heaps[h], &head);
    assert_called(t->heaps[h], &tail);
    assert_int_equal(pageheap_join(t->heaps[h], head.start, head.pages, tail.start, tail.pages), 0);
    assert_called(t->heaps[h], run);
}

static void resize(town *t, unsigned h, called *run)
{
    size_t new_pages = pick_pages(t);
    char *start = pageheap_resize(t->heaps[h], run->start, run->pages, new_pages, PAGEHEAP_MAYMOVE);
    assert_non_null(start);
    *run = (called){ start, new_pages, run->tag };
    assert_called(t->heaps[h], run);
}

/* Over and over, so that this place's run is the hot one. */
static void loop(town *t, unsigned h, called *run)
{
    for (unsigned pair = 0; pair < 200; pair++) {
        take(t, h, run);
        give(t, h, run);
    }
}

static void end_heap(town *t, unsigned h)
{
    assert_int_equal(pageheap_check(t->heaps[h]), 0);
    assert_int_equal(pageheap_destroy(t->heaps[h]), 0);
    memset(t->runs[h], 0, sizeof t->runs[h]);
    t->heaps[h] = pageheap_create(NULL);
    assert_non_null(t->heaps[h]);
}

/* Heaps come and go, so that labelled addresses become those of heaps that label nothing. */
static void every_run_keeps_its_own_label(void **state)
{
    static town t;
    (void)state;
    t.d = dice_new();
    for (unsigned h = 0; h < HEAPS; h++)
        assert_non_null(t.heaps[h] = pageheap_create(NULL));
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned h = (unsigned)dice_below(&t.d, HEAPS);
        called *run = &t.runs[h][dice_below(&t.d, dice_below(&t.d, 4) == 0 ? RUNS : 3)];
        uint64_t kind = dice_below(&t.d, 20);
        if (run->start == NULL && dice_below(&t.d, 1000) == 0)
            loop(&t, h, run);
        if (run->start == NULL)
            take(&t, h, run);
        else if (kind == 0)
            cut_and_mend(&t, h, run);
        else if (kind == 1)
            resize(&t, h, run);
        else
            give(&t, h, run);
        if (dice_below(&t.d, 4000) == 0)
            end_heap(&t, h);
        if (dice_below(&t.d, 1000) == 0)
            pageheap_trim(t.heaps[h], 0);
    }
    for (unsigned h = 0; h < HEAPS; h++) {
        assert_int_equal(pageheap_check(t.heaps[h]), 0);
        assert_int_equal(pageheap_destroy(t.heaps[h]), 0);
    }
}

#define LEFT_RUNS 3000u

static void *label_and_leave(void *of)
{
    pageheap *heap = of;
    static char *runs[LEFT_RUNS];
    for (unsigned i = 0; i < LEFT_RUNS; i++) {
        runs[i] = pageheap_alloc_tagged(heap, 1, 0, "left");
        if (runs[i] == NULL)
            return runs;
        *runs[i] = 1; /* so that others would rather have it than fresh memory */
    }
    for (unsigned i = 0; i < LEFT_RUNS; i++) {
        if (i % 3 != 0)
            (void)pageheap_free(heap, runs[i], 1);
    }
    return NULL;
}

static int count_left(void *ctx, const pageheap_run *run)
{
    *(unsigned *)ctx += run->tag != NULL && strcmp(run->tag, "left") == 0;
    return 0;
}

/* A thread ends; its blocks, in which some runs are labelled, come to one that labels nothing. */
static void who_inherits_a_block_inherits_no_label(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    char *mine = pageheap_alloc(heap, 1, 0); /* this thread has a front of its own from before */
    assert_non_null(mine);
    pthread_t thread;
    void *failed;
    assert_int_equal(pthread_create(&thread, NULL, label_and_leave, heap), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    for (unsigned i = 0; i < LEFT_RUNS; i++) {
        called run = { pageheap_alloc(heap, 1, 0), 1, NULL };
        assert_non_null(run.start);
        assert_called(heap, &run);
    }
    unsigned left = 0;
    assert_int_equal(pageheap_each_run(heap, count_left, &left), 0);
    assert_int_equal(left, (LEFT_RUNS + 2) / 3);
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

static int refuse_map(size_t bytes, void **ret_base)
{
    (void)bytes;
    (void)ret_base;
    return -ENOMEM;
}

#define BLOCKS 200u

/* Records for labels end before address space does: such a call fails, and has taken nothing. */
static void without_memory_for_labels_nothing_is_taken(void **state)
{
    (void)state;
    static called runs[BLOCKS];
    pageheap *heap = pageheap_create(NULL);
    pageheap_stats before, after;
    unsigned taken = 0;
    assert_non_null(heap);
    runs[taken++] = (called){ pageheap_alloc(heap, 512, 0), 512, NULL };
    assert_non_null(runs[0].start);
    int (*map)(size_t, void **) = ph_os.map;
    ph_os.map = refuse_map;
    while (taken < BLOCKS) {
        before.struct_bytes = sizeof before;
        assert_int_equal(pageheap_get_stats(heap, &before), 0);
        runs[taken] = (called){ pageheap_alloc_tagged(heap, 512, 0, "block"), 512, "block" };
        if (runs[taken].start == NULL)
            break;
        assert_called(heap, &runs[taken++]);
    }
    assert_true(taken < BLOCKS);
    assert_int_equal(errno, ENOMEM);
    after.struct_bytes = sizeof after;
    assert_int_equal(pageheap_get_stats(heap, &after), 0);
    assert_int_equal(after.in_use_bytes, before.in_use_bytes);
    assert_non_null(pageheap_alloc(heap, 512, 0)); /* without a label there is memory */
    ph_os.map = map;
    for (unsigned i = 0; i < taken; i++)
        assert_called(heap, &runs[i]);
    runs[taken] = (called){ pageheap_alloc_tagged(heap, 512, 0, "later"), 512, "later" };
    assert_non_null(runs[taken].start);
    assert_called(heap, &runs[taken]);
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_run_keeps_its_own_label),
        cmocka_unit_test(who_inherits_a_block_inherits_no_label),
        cmocka_unit_test(without_memory_for_labels_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
