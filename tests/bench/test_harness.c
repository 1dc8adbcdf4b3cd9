/* SPDX-License-Identifier: MIT */
/* test_harness.c -- the arrays of the benchmarks: there before the measuring begins, and no part of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "bench/harness.h"

#define PAGE      ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)

/* Around the size from which huge pages are asked for, and some that are no whole number of pages. */
static const size_t sizes[] = {
    1, 3 * PAGE, HUGE_PAGE - PAGE, HUGE_PAGE, 2 * HUGE_PAGE + 5000, 32 * HUGE_PAGE
};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void all_of_it_is_resident_and_zero(void **state)
{
    static unsigned char is_in_ram[32 * HUGE_PAGE / PAGE];

    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        size_t pages = (sizes[i] + PAGE - 1) / PAGE;
        char *array = resident_array(sizes[i]);

        assert_non_null(array);
        assert_int_equal(mincore(array, pages * PAGE, is_in_ram), 0);
        for (size_t page = 0; page < pages; page++)
            assert_true((is_in_ram[page] & 1) != 0);
        for (size_t byte = 0; byte < sizes[i]; byte++)
            assert_int_equal(array[byte], 0);
        resident_array_unmap(array, sizes[i]);
    }
}

/* What a memory row reads after an array was made must not grow by using the array. */
static void using_it_takes_no_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        char *array = resident_array(sizes[i]);
        size_t base_bytes;

        assert_non_null(array);
        (void)resident_bytes(); /* its own code and buffers */
        base_bytes = resident_bytes();
        memset(array, 1, sizes[i]);
        assert_true(resident_bytes() <= base_bytes + HUGE_PAGE / 8);
        resident_array_unmap(array, sizes[i]);
    }
}

static void nothing_of_it_stays(void **state)
{
    size_t before_bytes = resident_bytes();

    (void)state;
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < SIZES; i++)
            resident_array_unmap(resident_array(sizes[i]), sizes[i]);
    }
    assert_true(resident_bytes() <= before_bytes + HUGE_PAGE);
}

/* True if the mapping that begins at `address` was advised to be huge pages. */
static bool is_advised(const void *address)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    bool is_inside = false, is_huge = false;
    unsigned long start, end;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            is_inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        else if (is_inside && strncmp(line, "VmFlags:", 8) == 0)
            is_huge = strstr(line, " hg") != NULL;
    }
    fclose(maps);
    return is_huge;
}

static void large_ones_are_huge_pages(void **state)
{
    char *probe = mmap(NULL, HUGE_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool has_huge = madvise(probe, HUGE_PAGE, MADV_HUGEPAGE) == 0;

    (void)state;
    munmap(probe, HUGE_PAGE);
    for (size_t i = 0; i < SIZES; i++) {
        char *array = resident_array(sizes[i]);

        assert_non_null(array);
        if (sizes[i] >= HUGE_PAGE) {
            assert_int_equal((uintptr_t)array % HUGE_PAGE, 0);
            assert_int_equal(is_advised(array), has_huge);
        }
        resident_array_unmap(array, sizes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_resident_and_zero),
        cmocka_unit_test(using_it_takes_no_memory),
        cmocka_unit_test(nothing_of_it_stays),
        cmocka_unit_test(large_ones_are_huge_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
