/* SPDX-License-Identifier: MIT */
/* test_exec_return.c -- memory goes back to the system: all that is freed by a trim, all that there is by
 * destroy.
 *
 * A quarter of a GiB, a whole one with PAGEHEAP_TEST_LONG.  What a view does not map may still be kept
 * by the file behind it; mincore tells of the file.
 */
#include <dirent.h>

#include "exec_test.h"

#define SPANS     40000
#define LINES_MAX 4096

static pageheap_exec_span spans[SPANS];

static uint64_t pss_bytes(void)
{
    char text[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        if (sscanf(text, "Pss: %llu kB", &kib) == 1)
            break;
    }
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

/* Pages of [lo, hi) that are in memory, mapped here or not. */
static uint64_t in_memory_bytes(uintptr_t lo, uintptr_t hi)
{
    static unsigned char pages[BLOCK / PAGE];
    uint64_t count = 0;
    for (uintptr_t at = lo & ~(BLOCK - 1); at < hi; at += BLOCK) {
        if (mincore((void *)at, BLOCK, pages) != 0)
            continue; /* nothing is mapped there any more */
        for (size_t i = 0; i < BLOCK / PAGE; i++)
            count += pages[i] & 1;
    }
    return count * PAGE;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count;
}

static size_t bytes_of(unsigned i)
{
    return i % 500 == 0  ? (1 + i % 3) * BLOCK + i % 7 * PAGE
           : i % 50 == 0 ? (1 + i % 300) * PAGE
           : i % 2       ? 64 + i % 1900
                         : (1 + i % 3) * PAGE;
}

static unsigned fill_up(pageheap_exec *heap, uint64_t total_bytes)
{
    unsigned count = 0;
    for (uint64_t bytes = 0; bytes < total_bytes && count < SPANS; count++) {
        size_t wanted = count < SPANS / 2 ? bytes_of(count) : 4 * BLOCK;
        assert_int_equal(pageheap_exec_alloc(heap, wanted, &spans[count]), 0);
        bytes += spans[count].bytes;
        for (size_t at = 0; spans[count].rw != NULL && at < spans[count].bytes; at += PAGE)
            ((char *)spans[count].rw)[at] = 1;
        if (spans[count].rw == NULL)
            assert_int_equal(pattern_write(heap, &spans[count], count), 0);
    }
    return count;
}

static void all_goes_back(uint32_t backend, uint32_t flags)
{
    static map_line lines_before[LINES_MAX], lines_after[LINES_MAX];
    uint64_t total_mib = exec_is_long()                   ? 1000
                         : backend == PAGEHEAP_EXEC_MEMFD ? 256
                                                          : 64,
             total_bytes = total_mib << 20;
    pageheap_exec_options options = exec_options(backend);
    options.flags = flags | (exec_is_long() ? PAGEHEAP_EXEC_ANYWHERE : 0);
    options.reserve_bytes = (uint64_t)(exec_is_long() ? 2 : 1) << 30; /* a long span takes whole blocks */
    unsigned descriptors = open_descriptors();
    size_t lines = maps_read(lines_before, LINES_MAX);
    pageheap_exec *heap = pageheap_exec_create(&options);
    assert_non_null(heap);
    assert_int_equal(open_descriptors(),
                     descriptors + (backend == PAGEHEAP_EXEC_PRIVATE)); /* it writes a file */
    uint64_t start_bytes = pss_bytes();
    unsigned count = fill_up(heap, total_bytes);
    assert_int_equal(open_descriptors(), descriptors + (backend == PAGEHEAP_EXEC_PRIVATE));
    uint64_t high_bytes = pss_bytes(), blocks = exec_stats(heap).mapped_bytes / BLOCK;
    assert_true(high_bytes > start_bytes + total_bytes / 2);
    uintptr_t lo = UINTPTR_MAX, hi = 0, lo_rw = UINTPTR_MAX, hi_rw = 0;
    for (unsigned i = 0; i < count; i++) {
        uintptr_t rx = (uintptr_t)spans[i].rx, rw = (uintptr_t)spans[i].rw;
        lo = rx < lo ? rx : lo, hi = rx + spans[i].bytes > hi ? rx + spans[i].bytes : hi;
        lo_rw = rw < lo_rw ? rw : lo_rw, hi_rw = rw + spans[i].bytes > hi_rw ? rw + spans[i].bytes : hi_rw;
        assert_int_equal(pageheap_exec_free(heap, spans[i].rx, spans[i].bytes), 0);
    }
    size_t given_bytes = pageheap_exec_trim(heap, 0);
    uint64_t low_bytes = pss_bytes(), kept_bytes = in_memory_bytes(lo, hi);
    kept_bytes += spans[0].rw == NULL ? 0 : in_memory_bytes(lo_rw, hi_rw);
    print_message("    at first %llu KiB, full %llu, trimmed %llu, in the file %llu\n",
                  (unsigned long long)start_bytes >> 10, (unsigned long long)high_bytes >> 10,
                  (unsigned long long)low_bytes >> 10, (unsigned long long)kept_bytes >> 10);
    assert_true(low_bytes <= start_bytes + (256 << 10) + blocks * 1024);
    assert_true(kept_bytes <= 64 << 10);
    pageheap_exec_stats stats = exec_stats(heap);
    assert_true(given_bytes != 0 && stats.given_back_bytes >= total_bytes);
    assert_true(stats.resident_bytes <= 64 << 10);
    assert_int_equal(stats.in_use_bytes, 0);
    assert_int_equal(pageheap_exec_trim(heap, 0), 0);
    assert_int_equal(pattern_alloc(heap, 3 * BLOCK, 7, &spans[0]), 0); /* and comes again */
    assert_int_equal(code_run(spans[0].rx), 7);
    assert_int_equal(pageheap_exec_check(heap), 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
    assert_int_equal(open_descriptors(), descriptors);
    size_t lines_left = maps_read(lines_after, LINES_MAX);
    assert_true(lines_left <= lines + (exec_is_long() ? 2 : 0)); /* of more spans the library keeps records */
    for (size_t i = 0; i < lines && !exec_is_long(); i++) {
        assert_int_equal(lines_before[i].lo, lines_after[i].lo);
        assert_int_equal(lines_before[i].hi, lines_after[i].hi);
        assert_string_equal(lines_before[i].perms, lines_after[i].perms);
    }
    assert_true(pss_bytes() <= start_bytes + (256 << 10) + blocks * 1024);
}

static void trim_and_destroy(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SPANS; i++)
        spans[i].bytes = 1; /* touched before anything is counted */
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    {
        pageheap_exec *heap = exec_heap(backend); /* what the process keeps from its first heap on */
        assert_int_equal(pattern_alloc(heap, BLOCK, 1, &spans[0]), 0);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
        (void)maps_count(), (void)open_descriptors(), (void)pss_bytes();
        all_goes_back(backend, 0);
        if (backend == PAGEHEAP_EXEC_MEMFD)
            all_goes_back(backend, PAGEHEAP_EXEC_NO_FILL);
    }
}

/* A little of each block stays live: what lies between goes back as well. */
static void holes_go_back(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_FLIP)
    {
        enum { COUNT = 8192 }; /* 32 MiB */
        pageheap_exec *heap = exec_heap(backend);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(pattern_alloc(heap, PAGE, i, &spans[i]), 0);
        uint64_t full_bytes = pss_bytes();
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(i % 64 != 0 && pageheap_exec_free(heap, spans[i].rx, PAGE) != 0, 0);
        (void)pageheap_exec_trim(heap, 0);
        uint64_t trimmed_bytes = pss_bytes();
        print_message("    32 MiB: %llu KiB less\n", (unsigned long long)(full_bytes - trimmed_bytes) >> 10);
        assert_true(full_bytes - trimmed_bytes >= (uint64_t)COUNT * PAGE / 10 * 9);
        for (uint32_t i = 0; i < COUNT; i += 64)
            assert_true(pattern_holds(spans[i].rx, PAGE, i) && code_run(spans[i].rx) == i);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(trim_and_destroy), cmocka_unit_test(holes_go_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
