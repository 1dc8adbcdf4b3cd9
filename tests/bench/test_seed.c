/* SPDX-License-Identifier: MIT */
/* test_seed.c -- the seed's algorithm, written anew: its placement, its refusals, its rule for shrinking. */
#include "bench/harness.h"
#include "bench/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *block_start(const struct seed_heap *heap)
{
    return (char *)heap->blocks->start;
}

static void takes_the_lowest_fit(void **state)
{
    struct seed_heap heap = SEED_HEAP_INIT;
    char *first = seed_alloc(&heap, 3);
    char *second = seed_alloc(&heap, 2);

    (void)state;
    assert_ptr_equal(first, block_start(&heap));
    assert_ptr_equal(second, first + 3 * SEED_PAGE_BYTES);
    assert_int_equal(seed_free(&heap, first, 3), 0);
    assert_ptr_equal(seed_alloc(&heap, 4), second + 2 * SEED_PAGE_BYTES);
    assert_ptr_equal(seed_alloc(&heap, 2), first);
    assert_int_equal(heap.unused_pages, SEED_BLOCK_PAGES - 2 - 4 - 2);
    seed_destroy(&heap);
}

static void fills_a_block_to_the_last_page(void **state)
{
    struct seed_heap heap = SEED_HEAP_INIT;

    (void)state;
    for (size_t i = 0; i < SEED_BLOCK_PAGES; i++)
        assert_non_null(seed_alloc(&heap, 1));
    assert_int_equal(heap.pages, SEED_BLOCK_PAGES);
    assert_int_equal(heap.unused_pages, 0);
    assert_non_null(seed_alloc(&heap, 1));
    assert_int_equal(heap.pages, 2 * SEED_BLOCK_PAGES);
    seed_destroy(&heap);
    assert_int_equal(heap.pages, 0);
    assert_null(heap.blocks);
}

static void refuses_what_is_not_one_run(void **state)
{
    struct seed_heap heap = SEED_HEAP_INIT;
    char *run = seed_alloc(&heap, 4);
    char *single = seed_alloc(&heap, 1);
    size_t unused_pages = heap.unused_pages;

    (void)state;
    assert_int_equal(seed_free(&heap, run, 0), -1);
    assert_int_equal(seed_free(&heap, run, 3), -1);
    assert_int_equal(seed_free(&heap, run, 5), -1);
    assert_int_equal(seed_free(&heap, single, 2), -1);
    assert_int_equal(seed_free(&heap, run + SEED_PAGE_BYTES, 3), -1);
    assert_int_equal(seed_free(&heap, run + 1, 4), -1);
    assert_int_equal(seed_free(&heap, &heap, 1), -1);
    assert_int_equal(heap.unused_pages, unused_pages);
    assert_int_equal(seed_free(&heap, run, 4), 0);
    assert_int_equal(seed_free(&heap, run, 4), -1);
    assert_int_equal(seed_free(&heap, NULL, 4), 0);
    seed_destroy(&heap);
}

static void maps_large_runs_directly(void **state)
{
    struct seed_heap heap = SEED_HEAP_INIT;
    char *run = seed_alloc(&heap, SEED_DIRECT_PAGES);

    (void)state;
    assert_non_null(run);
    assert_int_equal(heap.pages, 0);
    memset(run, 1, SEED_DIRECT_PAGES * SEED_PAGE_BYTES);
    assert_int_equal(seed_free(&heap, run, SEED_DIRECT_PAGES), 0);
    assert_null(seed_alloc(&heap, 0));
    assert_null(seed_alloc(&heap, SIZE_MAX));
    seed_destroy(&heap);
}

static void gives_whole_blocks_back(void **state)
{
    enum { BLOCKS = 8 };
    static void *runs[BLOCKS * SEED_BLOCK_PAGES];
    struct seed_heap heap = SEED_HEAP_INIT;
    size_t count = sizeof runs / sizeof runs[0];
    size_t freed = 0;

    (void)state;
    for (size_t i = 0; i < count; i++)
        runs[i] = seed_alloc(&heap, 1);
    assert_int_equal(heap.pages, count);
    /* One free short of half of the heap nothing may go back,
     * and the first shrink leaves a quarter unused. */
    while (freed < count / 2 - 1)
        assert_int_equal(seed_free(&heap, runs[freed++], 1), 0);
    assert_int_equal(heap.pages, count);
    assert_int_equal(seed_free(&heap, runs[freed++], 1), 0);
    assert_int_equal(heap.pages, count - 2 * SEED_BLOCK_PAGES);
    assert_int_equal(heap.unused_pages, 2 * SEED_BLOCK_PAGES);
    while (freed < count)
        assert_int_equal(seed_free(&heap, runs[freed++], 1), 0);
    assert_int_equal(heap.pages, heap.unused_pages);
    assert_true(heap.pages < 3 * SEED_BLOCK_PAGES);
    seed_destroy(&heap);
}

/* ---- against a model: an owner for each page of each run, kept in the pages themselves ------ */

static void agrees_with_a_model(void **state)
{
    enum { LIVE = 400, OPS = 100000, PAGES_MAX = 40 };
    static struct live_run runs[LIVE];
    struct seed_heap heap = SEED_HEAP_INIT;
    struct rng rng = rng_seeded(7);
    size_t block_pages = 0;

    (void)state;
    for (size_t op = 0; op < OPS; op++) {
        struct live_run *live = &runs[rng_below(&rng, LIVE)];

        for (size_t page = 0; page < live->pages; page++)
            assert_ptr_equal(*(void **)((char *)live->run + page * SEED_PAGE_BYTES), live);
        block_pages -= live->pages < SEED_DIRECT_PAGES ? live->pages : 0;
        assert_int_equal(seed_free(&heap, live->run, live->pages), 0);
        live->pages = rng_between(&rng, 1, PAGES_MAX);
        live->run = seed_alloc(&heap, live->pages);
        assert_non_null(live->run);
        block_pages += live->pages < SEED_DIRECT_PAGES ? live->pages : 0;
        for (size_t page = 0; page < live->pages; page++)
            *(void **)((char *)live->run + page * SEED_PAGE_BYTES) = live;
        assert_int_equal(heap.pages - heap.unused_pages, block_pages);
    }
    seed_destroy(&heap);
}

/* ---- the tree -------------------------------------------------------------------------------- */

static bool comes_in_order(void *context, struct seed_node *node)
{
    uintptr_t *last = context;

    assert_true(node->start > *last);
    *last = node->start;
    return false;
}

static int checked_height(const struct seed_node *node)
{
    int left;
    int right;

    if (node == NULL)
        return 0;
    left = checked_height(node->child[0]);
    right = checked_height(node->child[1]);
    assert_true(left - right >= -1 && left - right <= 1);
    assert_int_equal(node->height, (left > right ? left : right) + 1);
    return node->height;
}

static void tree_stays_balanced_and_ordered(void **state)
{
    enum { NODES = 300, OPS = 20000, RANGE = 100 };
    static struct seed_node nodes[NODES];
    static bool inside[NODES];
    struct seed_node *root = NULL;
    struct rng rng = rng_seeded(3);

    (void)state;
    for (size_t op = 0; op < OPS; op++) {
        size_t index = rng_below(&rng, NODES);
        uintptr_t start = (index + 1) * RANGE;
        uintptr_t last = 0;

        nodes[index].start = start;
        assert_ptr_equal(seed_tree_find(root, start + RANGE - 1, RANGE),
                         inside[index] ? &nodes[index] : NULL);
        if (inside[index])
            seed_tree_remove(&root, &nodes[index]);
        else
            seed_tree_insert(&root, &nodes[index]);
        inside[index] = !inside[index];
        checked_height(root);
        assert_null(seed_tree_walk(root, SEED_FROM_LEFT, comes_in_order, &last));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_lowest_fit),
        cmocka_unit_test(fills_a_block_to_the_last_page),
        cmocka_unit_test(refuses_what_is_not_one_run),
        cmocka_unit_test(maps_large_runs_directly),
        cmocka_unit_test(gives_whole_blocks_back),
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(tree_stays_balanced_and_ordered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
