/* SPDX-License-Identifier: MIT */
/* test_bench_mappings.c -- memory is counted once, however often it is mapped, and also where
 * it is not mapped. */
#include "bench/mappings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE  ((size_t)4096)
#define BYTES ((size_t)8 << 20)
#define SLACK ((size_t)64 << 10) /* a test's own stack and buffers */

static char *map(int protection, int flags, int file, off_t offset)
{
    char *view = mmap(NULL, BYTES, protection, flags, file, offset);

    assert_true(view != MAP_FAILED);
    return view;
}

/* Resident bytes since the last call. */
static size_t grown(void)
{
    static size_t before_bytes;
    size_t now_bytes = mappings_resident_bytes();
    size_t grown_bytes = now_bytes > before_bytes ? now_bytes - before_bytes : 0;

    assert_true(now_bytes != 0);
    before_bytes = now_bytes;
    return grown_bytes;
}

static void assert_about(size_t bytes, size_t expected_bytes)
{
    assert_in_range(bytes + SLACK, expected_bytes, expected_bytes + 2 * SLACK);
}

static void counts_lines(void **state)
{
    size_t before = mappings_count();
    /* Its neighbours cannot merge with it: they are private. */
    char *view = map(PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(before > 4);
    assert_int_equal(mappings_count(), before + 1);
    assert_int_equal(mprotect(view + PAGE, PAGE, PROT_NONE), 0);
    assert_int_equal(mappings_count(), before + 3);
    munmap(view, BYTES);
    assert_int_equal(mappings_count(), before);
}

static void counts_private_memory_that_was_touched(void **state)
{
    char *view = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    (void)grown();
    assert_about(grown(), 0);
    memset(view, 1, BYTES / 2);
    assert_about(grown(), BYTES / 2);
    munmap(view, BYTES);
    assert_about(grown(), 0);
}

/* In both orders of address, so that it does not matter which view comes first. */
static void counts_two_views_once(void **state)
{
    int file = memfd_create("pair", MFD_CLOEXEC);
    char *first = map(PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *second = map(PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    size_t sum = 0;

    (void)state;
    assert_int_equal(ftruncate(file, (off_t)BYTES), 0);
    close(file);
    (void)grown();
    memset(first, 1, BYTES);
    for (size_t at = 0; at < BYTES; at += PAGE)
        sum += (unsigned char)second[at];
    assert_int_equal(sum, BYTES / PAGE);
    assert_about(grown(), BYTES);
    munmap(first, BYTES);
    assert_about(grown(), 0);
    munmap(second, BYTES);
}

/* Views that overlap in part: the second begins in the middle of the first. */
static void counts_the_overlap_once(void **state)
{
    int file = memfd_create("overlap", MFD_CLOEXEC);
    char *first = map(PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *second = map(PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)(BYTES / 2));

    (void)state;
    assert_int_equal(ftruncate(file, (off_t)(2 * BYTES)), 0);
    close(file);
    (void)grown();
    memset(first, 1, BYTES);
    memset(second, 1, BYTES);
    assert_about(grown(), BYTES / 2 * 3);
    munmap(first, BYTES);
    munmap(second, BYTES);
}

/* Dropped from the view, and yet in RAM: nothing was given back. */
static void counts_what_is_not_mapped(void **state)
{
    int file = memfd_create("dropped", MFD_CLOEXEC);
    char *view = map(PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    (void)state;
    assert_int_equal(ftruncate(file, (off_t)BYTES), 0);
    (void)grown();
    memset(view, 1, BYTES);
    assert_int_equal(madvise(view, BYTES, MADV_DONTNEED), 0);
    assert_about(grown(), BYTES);
    assert_int_equal(madvise(view, BYTES, MADV_REMOVE), 0);
    assert_about(grown(), 0);
    memset(view, 1, BYTES);
    assert_about(grown(), BYTES);
    munmap(view, BYTES);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_lines),
        cmocka_unit_test(counts_private_memory_that_was_touched),
        cmocka_unit_test(counts_two_views_once),
        cmocka_unit_test(counts_the_overlap_once),
        cmocka_unit_test(counts_what_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
