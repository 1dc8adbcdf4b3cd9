/* SPDX-License-Identifier: MIT */
/* ruin.h -- a heap with neighbours around the run that is misused, and proof that nothing has changed. */
#ifndef PH_TESTS_RUIN_H
#define PH_TESTS_RUIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pageheap/pageheap.h"

#define PAGE       ((size_t)4096)
#define NEIGHBOURS 6

typedef struct ruin {
    pageheap *heap;
    char *run;
    size_t pages;
    char *neighbours[NEIGHBOURS];
    pageheap_stats before;
} ruin;

static inline size_t ruin_neighbour_pages(unsigned i)
{
    static const size_t pages[NEIGHBOURS] = { 1, 3, 100, 1, 600, 2 };
    return pages[i];
}

static inline pageheap_stats ruin_stats(pageheap *heap)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    return stats;
}

/* The ends of a run carry its address. */
static inline uintptr_t *ruin_end_word(char *run, size_t pages)
{
    return (uintptr_t *)(void *)(run + pages * PAGE - sizeof(uintptr_t));
}

static inline void ruin_mark(char *run, size_t pages)
{
    *(uintptr_t *)(void *)run = (uintptr_t)run;
    *ruin_end_word(run, pages) = (uintptr_t)run;
}

static inline void ruin_assert_marked(char *run, size_t pages)
{
    assert_int_equal(*(uintptr_t *)(void *)run, (uintptr_t)run);
    assert_int_equal(*ruin_end_word(run, pages), (uintptr_t)run);
}

static inline void ruin_build(ruin *r, size_t pages)
{
    *r = (ruin){ .heap = pageheap_create(NULL), .pages = pages };
    assert_non_null(r->heap);
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        if (i == NEIGHBOURS / 2)
            r->run = pageheap_alloc(r->heap, pages, 0);
        r->neighbours[i] = pageheap_alloc(r->heap, ruin_neighbour_pages(i), 0);
        assert_non_null(r->neighbours[i]);
        ruin_mark(r->neighbours[i], ruin_neighbour_pages(i));
    }
    assert_non_null(r->run);
    ruin_mark(r->run, pages);
    r->before = ruin_stats(r->heap);
}

/* All runs are whole, the heap agrees with itself, and its numbers are those from before. */
static inline void ruin_assert_unchanged(const ruin *r)
{
    pageheap_stats now = ruin_stats(r->heap);
    ruin_assert_marked(r->run, r->pages);
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        ruin_assert_marked(r->neighbours[i], ruin_neighbour_pages(i));
    assert_int_equal(pageheap_check(r->heap), 0);
    assert_int_equal(now.live_runs, r->before.live_runs);
    assert_int_equal(now.in_use_bytes, r->before.in_use_bytes);
    assert_int_equal(now.cached_bytes, r->before.cached_bytes);
    assert_int_equal(now.unused_bytes, r->before.unused_bytes);
    assert_int_equal(now.alloc_calls, r->before.alloc_calls);
    assert_int_equal(now.free_calls, r->before.free_calls);
    assert_int_equal(now.reserved_bytes, r->before.reserved_bytes);
}

/* The true free succeeds, once. */
static inline void ruin_end(ruin *r)
{
    assert_int_equal(pageheap_free(r->heap, r->run, r->pages), 0);
    int again = pageheap_free(r->heap, r->run, r->pages);
    assert_true(again == PAGEHEAP_EBADRUN || again == PAGEHEAP_ENOTOURS);
    again = pageheap_free_unsized(r->heap, r->run);
    assert_true(again == PAGEHEAP_EBADRUN || again == PAGEHEAP_ENOTOURS);
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        assert_int_equal(pageheap_free(r->heap, r->neighbours[i], ruin_neighbour_pages(i)), 0);
    assert_int_equal(ruin_stats(r->heap).live_runs, 0);
    assert_int_equal(pageheap_check(r->heap), 0);
    assert_int_equal(pageheap_destroy(r->heap), 0);
}

#endif
