/* SPDX-License-Identifier: MIT */
/* test_iprt_pages.c -- RTMemPage*: bytes to pages and back, flags, tags, and that a wrong free changes
 * nothing. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t page_bytes;

static int learn_page_bytes(void **state)
{
    (void)state;
    pageheap_run found;
    void *run = RTMemPageAlloc(1);
    assert_non_null(run);
    assert_int_equal(pageheap_find(run, &found), 0);
    page_bytes = pageheap_page_bytes(found.heap);
    RTMemPageFree(run, 1);
    return 0;
}

static void bytes_round_up_to_pages(void **state)
{
    (void)state;
    const struct {
        size_t len_bytes;
        size_t pages;
    } cases[] = {
        { 1, 1 },
        { page_bytes - 1, 1 },
        { page_bytes, 1 },
        { page_bytes + 1, 2 },
        { 31 * page_bytes + 1, 32 },
        { (128 << 10) - 1, (128 << 10) / page_bytes },
        { (128 << 10) + 1, (128 << 10) / page_bytes + 1 },
        { (3 << 20) + 1, (3 << 20) / page_bytes + 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char *run = RTMemPageAlloc(cases[i].len_bytes);
        assert_non_null(run);
        assert_int_equal((uintptr_t)run % page_bytes, 0);
        assert_int_equal(live_pages(run), cases[i].pages);
        memset(run, 0x77, cases[i].pages * page_bytes);
        /* Either size names the run: the one that was asked for, or the one that was given. */
        size_t named_bytes = i % 2 ? cases[i].len_bytes : cases[i].pages * page_bytes;
        RTMemPageFree(run, named_bytes);
        assert_int_equal(live_pages(run), 0);
    }
}

static void no_bytes_are_refused(void **state)
{
    (void)state;
    errno = 0;
    assert_null(RTMemPageAlloc(0));
    assert_int_equal(errno, EINVAL);
    assert_null(RTMemPageAllocZ(0));
    assert_null(RTMemPageAllocEx(0, RTMEMPAGEALLOC_F_ADVISE_LOCKED));
}

static void bytes_that_would_wrap_are_refused(void **state)
{
    (void)state;
    const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4094, SIZE_MAX - 4095, SIZE_MAX / 2 + 1 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        errno = 0;
        assert_null(RTMemPageAlloc(sizes[i]));
        assert_int_equal(errno, ENOMEM);
        assert_null(RTMemPageAllocZ(sizes[i]));
    }
}

static void zeroed_pages_read_zero_after_dirty_use(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 5 * page_bytes, 40 * page_bytes, 600 * page_bytes };
    for (size_t i = 0; i < 4; i++) {
        size_t whole_bytes = (sizes[i] + page_bytes - 1) / page_bytes * page_bytes;
        for (int round = 0; round < 4; round++) {
            uint32_t flags = RTMEMPAGEALLOC_F_ZERO;
            void *run = round % 2 ? RTMemPageAllocZ(sizes[i]) : RTMemPageAllocEx(sizes[i], flags);
            assert_non_null(run);
            assert_true(is_filled(run, 0, whole_bytes));
            memset(run, 0xa5, whole_bytes);
            RTMemPageFree(run, sizes[i]);
        }
    }
}

/* True if the mapping that holds `address` has the two-letter `flag` in its VmFlags line. */
static bool mapping_has_flag(const void *address, const char *flag)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    char line[512];
    bool is_inside = false;
    bool has_flag = false;
    while (fgets(line, sizeof(line), maps)) {
        unsigned long start = 0;
        unsigned long end = 0;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            is_inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        } else if (is_inside && strncmp(line, "VmFlags:", 8) == 0) {
            char word[8];
            snprintf(word, sizeof(word), " %s", flag);
            has_flag = strstr(line, word) != NULL;
        }
    }
    fclose(maps);
    return has_flag;
}

/* Whether the system takes an advice for `len_bytes` of ordinary memory, asked of the system itself. */
typedef bool system_takes_fn(void *memory, size_t len_bytes);

static bool system_locks(void *memory, size_t len_bytes)
{
    return mlock(memory, len_bytes) == 0;
}

static bool system_omits_from_dumps(void *memory, size_t len_bytes)
{
    return madvise(memory, len_bytes, MADV_DONTDUMP) == 0;
}

static bool system_takes(system_takes_fn *takes, size_t len_bytes)
{
    void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    bool does = takes(memory, len_bytes);
    munmap(memory, len_bytes);
    return does;
}

static void check_advice(uint32_t flag, uint32_t effect, const char *vm_flag, system_takes_fn *takes)
{
    const size_t sizes[] = { 1, 3, 40, 1025 };
    for (size_t i = 0; i < 4; i++) {
        size_t len_bytes = sizes[i] * page_bytes;
        bool is_expected = system_takes(takes, len_bytes);
        void *run = RTMemPageAllocEx(len_bytes, flag | RTMEMPAGEALLOC_F_ZERO);
        assert_non_null(run);
        assert_true(is_filled(run, 0, len_bytes));
        pageheap_run found;
        assert_int_equal(pageheap_find(run, &found), 0);
        assert_int_equal((found.flags & effect) != 0, is_expected);
        assert_int_equal(mapping_has_flag(run, vm_flag), is_expected);
        RTMemPageFree(run, len_bytes);
        assert_int_equal(live_pages(run), 0);
        assert_false(mapping_has_flag(run, vm_flag));
    }
}

static void locked_advice_is_undone_by_free(void **state)
{
    (void)state;
    check_advice(RTMEMPAGEALLOC_F_ADVISE_LOCKED, PAGEHEAP_LOCKED, "lo", system_locks);
}

static void no_dump_advice_is_undone_by_free(void **state)
{
    (void)state;
    check_advice(RTMEMPAGEALLOC_F_ADVISE_NO_DUMP, PAGEHEAP_NODUMP, "dd", system_omits_from_dumps);
}

static void unknown_flags_are_refused(void **state)
{
    (void)state;
    for (uint32_t bit = 4; bit < 32; bit++) {
        errno = 0;
        assert_null(RTMemPageAllocEx(1, UINT32_C(1) << bit));
        assert_int_equal(errno, EINVAL);
    }
}

static void executable_pages_are_refused(void **state)
{
    (void)state;
    errno = 0;
    assert_null(RTMemPageAllocEx(1, RTMEMPAGEALLOC_F_EXECUTABLE));
    assert_int_equal(errno, ENOTSUP);
    assert_null(RTMemPageAllocEx(1, RTMEMPAGEALLOC_F_EXECUTABLE | RTMEMPAGEALLOC_F_ZERO));
}

static void tags_are_kept(void **state)
{
    (void)state;
    static const char tag[] = "mine";
    pageheap_run found;
    void *named[] = { RTMemPageAllocTag(1, tag), RTMemPageAllocZTag(1, tag), RTMemPageAllocExTag(1, 0, tag) };
    void *unnamed[] = { RTMemPageAlloc(1), RTMemPageAllocZ(1), RTMemPageAllocEx(1, 0) };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pageheap_find(named[i], &found), 0);
        assert_ptr_equal(found.tag, tag);
        assert_int_equal(pageheap_find(unnamed[i], &found), 0);
        assert_string_equal(found.tag, __FILE__);
        RTMemPageFree(named[i], 1);
        RTMemPageFree(unnamed[i], 1);
    }
    void *bare = RTMemPageAllocTag(1, NULL);
    assert_int_equal(pageheap_find(bare, &found), 0);
    assert_null(found.tag);
    RTMemPageFree(bare, 1);
}

static void free_of_null_does_nothing(void **state)
{
    (void)state;
    RTMemPageFree(NULL, 0);
    RTMemPageFree(NULL, 1);
    RTMemPageFree(NULL, SIZE_MAX);
}

/* Each wrong call is followed by a look at the run, and the last by the right call. */
static void a_wrong_free_changes_nothing(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 2, 31, 32, 100, 512, 1536 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t len_bytes = sizes[i] * page_bytes;
        char *run = RTMemPageAlloc(len_bytes);
        assert_non_null(run);
        memset(run, 0x42, len_bytes);
        const size_t wrong_bytes[] = { 0,
                                       len_bytes + 1,
                                       len_bytes + page_bytes,
                                       len_bytes - page_bytes,
                                       128 << 10,
                                       16 * len_bytes + (1 << 20),
                                       SIZE_MAX,
                                       SIZE_MAX - 4094 };
        for (size_t k = 0; k < sizeof(wrong_bytes) / sizeof(wrong_bytes[0]); k++) {
            if (wrong_bytes[k] == len_bytes) {
                continue;
            }
            RTMemPageFree(run, wrong_bytes[k]);
            assert_int_equal(live_pages(run), sizes[i]);
        }
        RTMemPageFree(run + 1, len_bytes);
        RTMemPageFree(run + len_bytes / 2 + 16, len_bytes);
        if (sizes[i] > 1) {
            RTMemPageFree(run + page_bytes, len_bytes - page_bytes);
        }
        assert_int_equal(live_pages(run), sizes[i]);
        assert_true(is_filled(run, 0x42, len_bytes));
        RTMemPageFree(run, len_bytes);
        assert_int_equal(live_pages(run), 0);
    }
}

static void a_large_size_never_unmaps_neighbours(void **state)
{
    (void)state;
    void *runs[64];
    for (size_t i = 0; i < 64; i++) {
        runs[i] = RTMemPageAlloc(page_bytes);
        memset(runs[i], (int)i, page_bytes);
    }
    for (size_t i = 0; i < 64; i++) {
        RTMemPageFree(runs[i], 128 << 10);
        RTMemPageFree(runs[i], 2 << 20);
    }
    for (size_t i = 0; i < 64; i++) {
        assert_true(is_filled(runs[i], (unsigned char)i, page_bytes));
        RTMemPageFree(runs[i], page_bytes);
        assert_int_equal(live_pages(runs[i]), 0);
    }
}

static void a_second_free_changes_nothing(void **state)
{
    (void)state;
    void *run = RTMemPageAlloc(page_bytes);
    RTMemPageFree(run, page_bytes);
    RTMemPageFree(run, page_bytes);
    void *first = RTMemPageAlloc(page_bytes);
    void *second = RTMemPageAlloc(page_bytes);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    RTMemPageFree(first, page_bytes);
    RTMemPageFree(second, page_bytes);
}

static void memory_of_others_is_left_alone(void **state)
{
    (void)state;
    pageheap *others = pageheap_default();
    void *theirs = pageheap_alloc(others, 2, 0);
    void *mapped = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    RTMemPageFree(theirs, 2 * page_bytes);
    RTMemPageFree(mapped, page_bytes);
    RTMemPageFree(mapped, 1 << 20);
    memset(mapped, 1, page_bytes);
    assert_int_equal(live_pages(theirs), 2);
    assert_int_equal(pageheap_free(others, theirs, 2), 0);
    assert_int_equal(munmap(mapped, page_bytes), 0);

    void *ours = RTMemPageAlloc(1);
    assert_int_equal(pageheap_free(others, ours, 1), PAGEHEAP_ENOTOURS);
    RTMemPageFree(ours, 1);
}

static void success_keeps_errno(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 100 * page_bytes, 3 << 20 };
    for (size_t i = 0; i < 3; i++) {
        errno = 12345;
        void *run = RTMemPageAllocZ(sizes[i]);
        RTMemPageFree(run, sizes[i]);
        RTMemPageFree(run, sizes[i]);
        assert_int_equal(errno, 12345);
    }
}

/* Bytes of this process that are in RAM. */
static size_t resident_bytes(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_non_null(statm);
    size_t total_pages = 0;
    size_t resident_pages = 0;
    assert_int_equal(fscanf(statm, "%zu %zu", &total_pages, &resident_pages), 2);
    fclose(statm);
    return resident_pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The seed waits for 512 frees and for whole empty blocks; here time is enough, and a few calls. */
static void freed_memory_goes_back(void **state)
{
    (void)state;
    enum { run_count = 4096, kept_every = 16, run_pages = 4 };
    static void *runs[run_count];
    size_t before_bytes = resident_bytes();
    for (size_t i = 0; i < run_count; i++) {
        runs[i] = RTMemPageAlloc(run_pages * page_bytes);
        memset(runs[i], 1, run_pages * page_bytes);
    }
    size_t full_bytes = resident_bytes() - before_bytes;
    /* One run in sixteen stays, so that hardly a block becomes empty. */
    for (size_t i = 0; i < run_count; i++) {
        if (i % kept_every != 0) {
            RTMemPageFree(runs[i], run_pages * page_bytes);
        }
    }
    size_t left_bytes = full_bytes;
    for (int tenths = 0; tenths < 50 && left_bytes > full_bytes / 4; tenths++) {
        usleep(100000);
        for (size_t i = 0; i < 64; i++) {
            RTMemPageFree(RTMemPageAlloc(page_bytes), page_bytes);
        }
        left_bytes = resident_bytes() - before_bytes;
    }
    assert_true(left_bytes <= full_bytes / 4);
    for (size_t i = 0; i < run_count; i += kept_every) {
        RTMemPageFree(runs[i], run_pages * page_bytes);
    }
}

/* In a process with no address space left: heaps are made until one cannot be.  0 if that was told well. */
static int make_heaps_without_memory(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0) {
        return 1;
    }
    limit.rlim_cur = 1;
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        return 2;
    }
    for (int i = 0; i < 1000000; i++) {
        RTHEAPPAGE heap = { 0, 0, NULL };
        int status = RTHeapPageInit(&heap, false);
        if (status == VINF_SUCCESS) {
            continue;
        }
        void *run = &heap;
        bool is_told = status == VERR_NO_MEMORY && RTHeapPageDelete(&heap) == VERR_INVALID_HANDLE &&
                       RTHeapPageAlloc(&heap, 1, NULL, false, &run) == VERR_INVALID_HANDLE && run == NULL;
        return is_told ? 0 : 3;
    }
    return 4;
}

static void init_without_memory_is_told(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(make_heaps_without_memory());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    /* What is resident and what is locked is not ours alone to say under a sanitizer: mlock does nothing
     * there.  So these tests stand alone. */
    const struct CMUnitTest system_tests[] = {
        cmocka_unit_test(freed_memory_goes_back),
        cmocka_unit_test(locked_advice_is_undone_by_free),
        cmocka_unit_test(init_without_memory_is_told),
    };
    if (argc > 1 && strcmp(argv[1], "system") == 0) {
        return cmocka_run_group_tests_name("iprt system", system_tests, learn_page_bytes, NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_round_up_to_pages),
        cmocka_unit_test(no_bytes_are_refused),
        cmocka_unit_test(bytes_that_would_wrap_are_refused),
        cmocka_unit_test(zeroed_pages_read_zero_after_dirty_use),
        cmocka_unit_test(no_dump_advice_is_undone_by_free),
        cmocka_unit_test(unknown_flags_are_refused),
        cmocka_unit_test(executable_pages_are_refused),
        cmocka_unit_test(tags_are_kept),
        cmocka_unit_test(free_of_null_does_nothing),
        cmocka_unit_test(a_wrong_free_changes_nothing),
        cmocka_unit_test(a_large_size_never_unmaps_neighbours),
        cmocka_unit_test(a_second_free_changes_nothing),
        cmocka_unit_test(memory_of_others_is_left_alone),
        cmocka_unit_test(success_keeps_errno),
    };
    return cmocka_run_group_tests_name("iprt pages", tests, learn_page_bytes, NULL);
}
