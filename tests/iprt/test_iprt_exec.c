/* SPDX-License-Identifier: MIT */
/* test_iprt_exec.c -- RTMemExec*: memory that is written and run at one address. */
#include <errno.h>

#include "probe.h"

#define PAGE_BYTES 4096

/* A function that returns 42. */
#if defined(__x86_64__)
static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
#else
static const uint32_t code[] = { 0x52800540, 0xd65f03c0 };
#endif

static void code_runs_where_it_is_written(void **state)
{
    (void)state;
    unsigned char *pages = RTMemExecAlloc(sizeof code);
    assert_non_null(pages);
    assert_int_equal((uintptr_t)pages % PAGE_BYTES, 0);
    memcpy(pages, code, sizeof code);
    __builtin___clear_cache((char *)pages, (char *)pages + sizeof code);
    int (*function)(void) = (int (*)(void))(uintptr_t)pages;
    assert_int_equal(function(), 42);
    RTMemExecFree(pages, sizeof code);
}

static void bytes_round_up_to_pages(void **state)
{
    (void)state;
    unsigned char *one = RTMemExecAllocTag(1, "one");
    unsigned char *two = RTMemExecAllocTag(PAGE_BYTES + 1, NULL);
    assert_non_null(one);
    assert_non_null(two);
    memset(one, 1, PAGE_BYTES);
    memset(two, 2, 2 * PAGE_BYTES);
    assert_true(is_filled(one, 1, PAGE_BYTES));
    RTMemExecFree(one, PAGE_BYTES);
    RTMemExecFree(two, 2 * PAGE_BYTES);
}

static void no_bytes_are_refused(void **state)
{
    (void)state;
    errno = 0;
    assert_null(RTMemExecAlloc(0));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(RTMemExecAlloc(SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
}

static void a_wrong_free_changes_nothing(void **state)
{
    (void)state;
    unsigned char *pages = RTMemExecAlloc(3 * PAGE_BYTES);
    assert_non_null(pages);
    memset(pages, 7, 3 * PAGE_BYTES);
    RTMemExecFree(pages, 2 * PAGE_BYTES);
    RTMemExecFree(pages, 4 * PAGE_BYTES);
    RTMemExecFree(pages + PAGE_BYTES, 2 * PAGE_BYTES);
    RTMemExecFree(pages + 1, 3 * PAGE_BYTES);
    RTMemExecFree(&pages, PAGE_BYTES);
    RTMemExecFree(NULL, PAGE_BYTES);
    assert_true(is_filled(pages, 7, 3 * PAGE_BYTES));
    unsigned char *other = RTMemExecAlloc(PAGE_BYTES);
    assert_true(other < pages || other >= pages + 3 * PAGE_BYTES);
    RTMemExecFree(other, PAGE_BYTES);
    RTMemExecFree(pages, 3 * PAGE_BYTES);
}

static void code_is_no_plain_memory(void **state)
{
    (void)state;
    unsigned char *pages = RTMemExecAlloc(PAGE_BYTES);
    assert_non_null(pages);
    memset(pages, 9, PAGE_BYTES);
    RTMemPageFree(pages, PAGE_BYTES);
    assert_int_equal(live_pages(pages), 0);
    assert_true(is_filled(pages, 9, PAGE_BYTES));
    RTMemExecFree(pages, PAGE_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_runs_where_it_is_written), cmocka_unit_test(bytes_round_up_to_pages),
        cmocka_unit_test(no_bytes_are_refused),          cmocka_unit_test(a_wrong_free_changes_nothing),
        cmocka_unit_test(code_is_no_plain_memory),
    };
    return cmocka_run_group_tests_name("iprt_exec", tests, NULL, NULL);
}
