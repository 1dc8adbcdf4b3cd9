/* SPDX-License-Identifier: MIT */
/* test_code_sealed.c -- heaps of code that may no longer be written: sealed ones, and a child's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "child.h"
#include "pageheap/exec.h"

#define PAGE_BYTES ((size_t)4096)

static pageheap_exec *heap_of(uint32_t backend)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = backend;
    return pageheap_exec_create(&options);
}

static void seal_and_write(uint32_t backend)
{
    pageheap_exec_span span, found;
    pageheap_exec *heap = heap_of(backend);
    child_begin(60);
    if (heap == NULL)
        _exit(1); /* not here */
    REQUIRE(pageheap_exec_alloc(heap, PAGE_BYTES, &span) == 0);
    REQUIRE(pageheap_exec_begin_write(heap, span.rx, 1) != NULL || backend == PAGEHEAP_EXEC_PRIVATE);
    REQUIRE(pageheap_exec_seal(heap) == 0);
    if (pageheap_exec_rw(heap, span.rx) != NULL || pageheap_exec_find(heap, span.rx, &found) != 0 ||
        found.rw != NULL)
        _exit(2);
    *(volatile char *)span.rx = 1;
    _exit(3);
}

static void nobody_writes_to_a_sealed_heap(void **state)
{
    (void)state;
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend < PAGEHEAP_EXEC_BACKENDS; backend++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            seal_and_write(backend);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 1) ||
                    (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    }
}

static void a_child_that_may_not_write_has_no_second_view(void **state)
{
    (void)state;
    int status;
    pageheap_exec_span span;
    pageheap_exec *heap = pageheap_exec_create(NULL);
    assert_non_null(heap);
    assert_int_equal(pageheap_exec_alloc(heap, 1, &span), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pageheap_exec_span found;
        child_begin(60);
        bool may_write = pageheap_exec_write(heap, span.rx, "", 1) == 0; /* the backend's memory is private */
        REQUIRE(may_write || pageheap_exec_rw(heap, span.rx) == NULL);
        REQUIRE(pageheap_exec_find(heap, span.rx, &found) == 0);
        REQUIRE(may_write || found.rw == NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_writes_to_a_sealed_heap),
        cmocka_unit_test(a_child_that_may_not_write_has_no_second_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
