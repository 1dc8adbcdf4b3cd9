/* SPDX-License-Identifier: MIT */
/* test_iprt_heap.c -- RTHeapPage*: what each call gives, and that a refused call changes nothing. */
#define _GNU_SOURCE
#include "probe.h"

#include <sys/mman.h>
#include <unistd.h>

/* The seed maps from here on instead of cutting from a block. */
#define SEED_DIRECT_BYTES ((size_t)128 << 10)

static size_t page_bytes;

static int open_heap(void **state)
{
    static RTHEAPPAGE storage;
    assert_int_equal(RTHeapPageInit(&storage, false), VINF_SUCCESS);
    page_bytes = pageheap_page_bytes(storage.pHeap);
    *state = &storage;
    return 0;
}

static int close_heap(void **state)
{
    return RTHeapPageDelete(*state) == VINF_SUCCESS ? 0 : -1;
}

static void *take(RTHEAPPAGE *heap, size_t pages)
{
    void *run = NULL;
    assert_int_equal(RTHeapPageAlloc(heap, pages, NULL, false, &run), VINF_SUCCESS);
    assert_non_null(run);
    assert_int_equal(live_pages(run), pages);
    return run;
}

/* ---- init ------------------------------------------------------------------------------ */

static void init_makes_a_heap_that_serves(void **state)
{
    RTHEAPPAGE *heap = *state;
    unsigned char *run = take(heap, 3);
    assert_int_equal((uintptr_t)run % page_bytes, 0);
    memset(run, 0x5a, 3 * page_bytes);
    assert_true(is_filled(run, 0x5a, 3 * page_bytes));
    assert_int_equal(RTHeapPageFree(heap, run, 3), VINF_SUCCESS);
}

static void init_refuses_what_it_cannot_make(void **state)
{
    (void)state;
    RTHEAPPAGE storage = { 0, 0, NULL };
    assert_int_equal(RTHeapPageInit(NULL, false), VERR_INVALID_POINTER);
    assert_int_equal(RTHeapPageInit(&storage, true), VERR_NOT_SUPPORTED);
    void *run = NULL;
    assert_int_equal(RTHeapPageAlloc(&storage, 1, NULL, false, &run), VERR_INVALID_HANDLE);
}

/* ---- alloc ----------------------------------------------------------------------------- */

static void alloc_refuses_a_missing_out_pointer(void **state)
{
    assert_int_equal(RTHeapPageAlloc(*state, 1, NULL, false, NULL), VERR_INVALID_POINTER);
}

static void alloc_refuses_no_pages(void **state)
{
    RTHEAPPAGE *heap = *state;
    void *run = heap;
    assert_int_equal(RTHeapPageAlloc(heap, 0, NULL, false, &run), VERR_INVALID_PARAMETER);
    assert_null(run);
    /* The seed hands the page of such a call out twice. */
    void *first = take(heap, 1);
    void *second = take(heap, 1);
    assert_ptr_not_equal(first, second);
    assert_int_equal(RTHeapPageFree(heap, first, 1), VINF_SUCCESS);
    assert_int_equal(RTHeapPageFree(heap, second, 1), VINF_SUCCESS);
}

static void alloc_refuses_sizes_that_cannot_exist(void **state)
{
    RTHEAPPAGE *heap = *state;
    const size_t sizes[] = { SIZE_MAX, SIZE_MAX / page_bytes, SIZE_MAX / page_bytes + 1,
                             (size_t)PTRDIFF_MAX / page_bytes + 1 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *run = heap;
        assert_int_equal(RTHeapPageAlloc(heap, sizes[i], NULL, false, &run), VERR_OUT_OF_RANGE);
        assert_null(run);
    }
}

static void alloc_without_memory_leaves_the_heap_serving(void **state)
{
    RTHEAPPAGE *heap = *state;
    void *run = heap;
    /* Half of all addresses: a size that can exist, and that no machine has. */
    assert_int_equal(RTHeapPageAlloc(heap, (size_t)PTRDIFF_MAX / page_bytes, NULL, false, &run),
                     VERR_NO_MEMORY);
    assert_null(run);
    assert_int_equal(RTHeapPageFree(heap, take(heap, 1), 1), VINF_SUCCESS);
}

static void alloc_serves_more_pages_than_a_block(void **state)
{
    RTHEAPPAGE *heap = *state;
    const size_t sizes[] = { 511, 512, 513, 1025, 4097 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned char *run = take(heap, sizes[i]);
        run[0] = 1;
        run[sizes[i] * page_bytes - 1] = 1;
        assert_int_equal(RTHeapPageFree(heap, run, sizes[i]), VINF_SUCCESS);
    }
}

static void alloc_zeroed_reads_zero_after_dirty_use(void **state)
{
    RTHEAPPAGE *heap = *state;
    const size_t sizes[] = { 1, 7, 31, 32, 100, 600 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int round = 0; round < 4; round++) {
            void *run = NULL;
            assert_int_equal(RTHeapPageAlloc(heap, sizes[i], NULL, true, &run), VINF_SUCCESS);
            assert_true(is_filled(run, 0, sizes[i] * page_bytes));
            memset(run, 0xa5, sizes[i] * page_bytes);
            assert_int_equal(RTHeapPageFree(heap, run, sizes[i]), VINF_SUCCESS);
        }
    }
}

static void alloc_keeps_the_tag(void **state)
{
    static const char tag[] = "a tag of the caller's";
    RTHEAPPAGE *heap = *state;
    void *run = NULL;
    assert_int_equal(RTHeapPageAlloc(heap, 2, tag, false, &run), VINF_SUCCESS);
    pageheap_run found;
    assert_int_equal(pageheap_find(run, &found), 0);
    assert_ptr_equal(found.tag, tag);
    assert_ptr_equal(found.heap, heap->pHeap);
    assert_int_equal(RTHeapPageFree(heap, run, 2), VINF_SUCCESS);
}

/* ---- free ------------------------------------------------------------------------------ */

static void free_of_null_is_success(void **state)
{
    assert_int_equal(RTHeapPageFree(*state, NULL, 1), VINF_SUCCESS);
    assert_int_equal(RTHeapPageFree(*state, NULL, 0), VINF_SUCCESS);
    assert_int_equal(RTHeapPageFree(NULL, NULL, 1), VINF_SUCCESS);
}

/* The seed's check of the end stops one page short, and gives away the neighbour. */
static void free_refuses_one_page_too_many(void **state)
{
    RTHEAPPAGE *heap = *state;
    void *runs[64];
    for (size_t i = 0; i < 64; i++) {
        runs[i] = take(heap, 1);
        memset(runs[i], 0x11, page_bytes);
    }
    size_t left = sort_and_find_neighbours(runs, 64, page_bytes);
    assert_int_equal(RTHeapPageFree(heap, runs[left], 2), VERR_INVALID_POINTER);
    assert_int_equal(live_pages(runs[left]), 1);
    assert_int_equal(live_pages(runs[left + 1]), 1);
    for (int i = 0; i < 3; i++) {
        void *fresh = take(heap, 1);
        assert_ptr_not_equal(fresh, runs[left]);
        assert_ptr_not_equal(fresh, runs[left + 1]);
        assert_int_equal(RTHeapPageFree(heap, fresh, 1), VINF_SUCCESS);
    }
    for (size_t i = 0; i < 64; i++) {
        assert_true(is_filled(runs[i], 0x11, page_bytes));
        assert_int_equal(RTHeapPageFree(heap, runs[i], 1), VINF_SUCCESS);
    }
}

static void free_refuses_the_unused_page_behind(void **state)
{
    RTHEAPPAGE *heap = *state;
    void *runs[64];
    for (size_t i = 0; i < 64; i++) {
        runs[i] = take(heap, 1);
    }
    size_t left = sort_and_find_neighbours(runs, 64, page_bytes);
    assert_int_equal(RTHeapPageFree(heap, runs[left + 1], 1), VINF_SUCCESS);
    assert_int_equal(RTHeapPageFree(heap, runs[left], 2), VERR_INVALID_POINTER);
    assert_int_equal(live_pages(runs[left]), 1);
    assert_int_equal(live_pages(runs[left + 1]), 0);
    for (size_t i = 0; i < 64; i++) {
        int status = i == left + 1 ? VERR_INVALID_POINTER : VINF_SUCCESS;
        assert_int_equal(RTHeapPageFree(heap, runs[i], 1), status);
    }
    assert_int_equal(pageheap_check(heap->pHeap), 0);
}

static void free_refuses_no_pages(void **state)
{
    RTHEAPPAGE *heap = *state;
    void *runs[8];
    for (size_t i = 0; i < 8; i++) {
        runs[i] = take(heap, 1);
        assert_int_equal(RTHeapPageFree(heap, runs[i], 0), VERR_INVALID_PARAMETER);
        assert_int_equal(live_pages(runs[i]), 1);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(RTHeapPageFree(heap, runs[i], 1), VINF_SUCCESS);
    }
}

/* Every way to name a run wrongly, at sizes on both sides of each boundary inside the heap. */
static void free_refuses_all_but_the_exact_run(void **state)
{
    RTHEAPPAGE *heap = *state;
    const size_t sizes[] = { 2, 31, 32, 33, 100, 512, 1536, 5000 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t pages = sizes[i];
        char *run = take(heap, pages);
        assert_int_equal(RTHeapPageFree(heap, run + 1, pages), VERR_INVALID_PARAMETER);
        assert_int_equal(RTHeapPageFree(heap, run + page_bytes, pages - 1), VERR_INVALID_POINTER);
        assert_int_equal(RTHeapPageFree(heap, run + page_bytes, pages), VERR_INVALID_POINTER);
        assert_int_equal(RTHeapPageFree(heap, run, pages - 1), VERR_INVALID_POINTER);
        assert_int_equal(RTHeapPageFree(heap, run, pages + 1), VERR_INVALID_POINTER);
        assert_int_equal(RTHeapPageFree(heap, run, 1), VERR_INVALID_POINTER);
        assert_int_equal(live_pages(run), pages);
        assert_int_equal(RTHeapPageFree(heap, run, pages), VINF_SUCCESS);
        assert_int_equal(live_pages(run), 0);
    }
}

static void free_refuses_sizes_that_cannot_exist(void **state)
{
    RTHEAPPAGE *heap = *state;
    char *run = take(heap, 4);
    const size_t sizes[] = { SIZE_MAX, SIZE_MAX / page_bytes + 1, (size_t)1 << 32, ((size_t)1 << 32) + 4,
                             SIZE_MAX / page_bytes + 5 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int status = RTHeapPageFree(heap, run, sizes[i]);
        assert_true(status == VERR_INVALID_POINTER || status == VERR_OUT_OF_RANGE);
        assert_int_equal(live_pages(run), 4);
    }
    assert_int_equal(RTHeapPageFree(heap, run, 4), VINF_SUCCESS);
}

/* The seed hands whatever is said to be 128 KiB or more to munmap. */
static void free_checks_large_runs_too(void **state)
{
    RTHEAPPAGE *heap = *state;
    size_t direct_pages = SEED_DIRECT_BYTES / page_bytes;
    char *small = take(heap, 1);
    char *large = take(heap, 4 * direct_pages);
    memset(small, 0x22, page_bytes);
    memset(large, 0x33, 4 * direct_pages * page_bytes);
    assert_int_equal(RTHeapPageFree(heap, small, direct_pages), VERR_INVALID_POINTER);
    assert_int_equal(RTHeapPageFree(heap, large, direct_pages), VERR_INVALID_POINTER);
    assert_int_equal(RTHeapPageFree(heap, large, 1), VERR_INVALID_POINTER);
    char *inside = large + direct_pages * page_bytes;
    assert_int_equal(RTHeapPageFree(heap, inside, direct_pages), VERR_INVALID_POINTER);
    assert_true(is_filled(small, 0x22, page_bytes));
    assert_true(is_filled(large, 0x33, 4 * direct_pages * page_bytes));
    assert_int_equal(RTHeapPageFree(heap, large, 4 * direct_pages), VINF_SUCCESS);
    assert_int_equal(RTHeapPageFree(heap, small, 1), VINF_SUCCESS);
}

static void free_refuses_a_second_time(void **state)
{
    RTHEAPPAGE *heap = *state;
    const size_t sizes[] = { 1, 31, 100, 512, 1536 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *run = take(heap, sizes[i]);
        assert_int_equal(RTHeapPageFree(heap, run, sizes[i]), VINF_SUCCESS);
        int status = RTHeapPageFree(heap, run, sizes[i]);
        /* Not found if the memory has left the heap meanwhile. */
        assert_true(status == VERR_INVALID_POINTER || status == VERR_NOT_FOUND);
    }
}

static void free_refuses_what_is_not_of_the_heap(void **state)
{
    RTHEAPPAGE *heap = *state;
    RTHEAPPAGE other;
    assert_int_equal(RTHeapPageInit(&other, false), VINF_SUCCESS);
    void *of_other = take(&other, 2);
    void *of_malloc = NULL;
    assert_int_equal(posix_memalign(&of_malloc, page_bytes, page_bytes), 0);
    void *of_mmap = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(of_mmap, MAP_FAILED);
    uintptr_t of_stack = (uintptr_t)&other & ~(uintptr_t)(page_bytes - 1);

    assert_int_equal(RTHeapPageFree(heap, of_other, 2), VERR_NOT_FOUND);
    assert_int_equal(RTHeapPageFree(heap, of_malloc, 1), VERR_NOT_FOUND);
    assert_int_equal(RTHeapPageFree(heap, of_mmap, 1), VERR_NOT_FOUND);
    assert_int_equal(RTHeapPageFree(heap, (void *)of_stack, 1), VERR_NOT_FOUND);

    memset(of_malloc, 1, page_bytes);
    memset(of_mmap, 1, page_bytes);
    free(of_malloc);
    munmap(of_mmap, page_bytes);
    assert_int_equal(live_pages(of_other), 2);
    assert_int_equal(RTHeapPageDelete(&other), VINF_SUCCESS);
}

/* ---- delete and handles ----------------------------------------------------------------- */

static bool is_mapped(void *page)
{
    unsigned char is_resident;
    return mincore(page, 1, &is_resident) == 0;
}

static void delete_unmaps_live_runs(void **state)
{
    (void)state;
    RTHEAPPAGE heap;
    assert_int_equal(RTHeapPageInit(&heap, false), VINF_SUCCESS);
    const size_t sizes[] = { 1, 40, 700 };
    char *runs[3];
    for (size_t i = 0; i < 3; i++) {
        runs[i] = take(&heap, sizes[i]);
        memset(runs[i], 1, sizes[i] * page_bytes);
        assert_true(is_mapped(runs[i]));
    }
    assert_int_equal(RTHeapPageDelete(&heap), VINF_SUCCESS);
    for (size_t i = 0; i < 3; i++) {
        assert_false(is_mapped(runs[i]));
        assert_int_equal(live_pages(runs[i]), 0);
    }
}

static void calls_after_delete_are_refused(void **state)
{
    (void)state;
    RTHEAPPAGE heap;
    assert_int_equal(RTHeapPageInit(&heap, false), VINF_SUCCESS);
    void *run = take(&heap, 1);
    assert_int_equal(RTHeapPageDelete(&heap), VINF_SUCCESS);
    assert_int_equal(RTHeapPageDelete(&heap), VERR_INVALID_HANDLE);
    assert_int_equal(RTHeapPageFree(&heap, run, 1), VERR_INVALID_HANDLE);
    assert_int_equal(RTHeapPageAlloc(&heap, 1, NULL, false, &run), VERR_INVALID_HANDLE);
    assert_null(run);
}

static void storage_that_is_no_heap_is_refused(void **state)
{
    (void)state;
    RTHEAPPAGE zeroed = { 0, 0, NULL };
    RTHEAPPAGE *const handles[] = { NULL, &zeroed };
    for (size_t i = 0; i < 2; i++) {
        void *run = &zeroed;
        assert_int_equal(RTHeapPageAlloc(handles[i], 1, NULL, false, &run), VERR_INVALID_HANDLE);
        assert_null(run);
        assert_int_equal(RTHeapPageFree(handles[i], &zeroed, 1), VERR_INVALID_HANDLE);
        assert_int_equal(RTHeapPageDelete(handles[i]), VERR_INVALID_HANDLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(init_makes_a_heap_that_serves, open_heap, close_heap),
        cmocka_unit_test(init_refuses_what_it_cannot_make),
        cmocka_unit_test_setup_teardown(alloc_refuses_a_missing_out_pointer, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(alloc_refuses_no_pages, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(alloc_refuses_sizes_that_cannot_exist, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(alloc_without_memory_leaves_the_heap_serving, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(alloc_serves_more_pages_than_a_block, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(alloc_zeroed_reads_zero_after_dirty_use, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(alloc_keeps_the_tag, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_of_null_is_success, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_refuses_one_page_too_many, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_refuses_the_unused_page_behind, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_refuses_no_pages, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_refuses_all_but_the_exact_run, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_refuses_sizes_that_cannot_exist, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_checks_large_runs_too, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_refuses_a_second_time, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(free_refuses_what_is_not_of_the_heap, open_heap, close_heap),
        cmocka_unit_test(delete_unmaps_live_runs),
        cmocka_unit_test(calls_after_delete_are_refused),
        cmocka_unit_test(storage_that_is_no_heap_is_refused),
    };
    return cmocka_run_group_tests_name("iprt heap", tests, NULL, NULL);
}
