/* SPDX-License-Identifier: MIT */
/* test_code_spans.c -- long code spans: what they leave unused of their last block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "child.h"
#include "pageheap/exec.h"

#define PAGE_BYTES  ((size_t)4096)
#define BLOCK_BYTES ((size_t)2 << 20)
#define LONG_BYTES  (BLOCK_BYTES + PAGE_BYTES) /* all but a page of its second block stay unused */
#define LONG_SPANS  12                         /* more than a thread keeps */
#define PAGES       (2 * LONG_SPANS * 512)

static pageheap_exec *heap_of(uint32_t backend, uint32_t fork_policy)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = backend;
    options.fork_policy = fork_policy;
    options.decay_ms = PAGEHEAP_NEVER;
    return pageheap_exec_create(&options);
}

/* In a child: what cannot be reached ends it. */
static void use_what_long_spans_leave(uint32_t backend, size_t next_bytes, unsigned next_spans)
{
    static pageheap_exec_span spans[LONG_SPANS];
    pageheap_exec *heap = heap_of(backend, PAGEHEAP_EXEC_FORK_DENY);
    child_begin(60);
    if (heap == NULL)
        _exit(0); /* not here */
    for (unsigned i = 0; i < LONG_SPANS; i++)
        REQUIRE(pageheap_exec_alloc(heap, LONG_BYTES, &spans[i]) == 0);
    for (unsigned i = 0; i < LONG_SPANS; i++)
        REQUIRE(pageheap_exec_free(heap, spans[i].rx, LONG_BYTES) == 0);
    for (unsigned i = 0; i < next_spans; i++) {
        pageheap_exec_span span;
        REQUIRE(pageheap_exec_alloc(heap, next_bytes, &span) == 0);
        const volatile uint64_t *words = span.rx;
        uint64_t trap = words[0];
        for (size_t at = 0; at < span.bytes; at += PAGE_BYTES)
            REQUIRE(words[at / sizeof *words] == trap);
    }
    REQUIRE(pageheap_exec_check(heap) == 0);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
    _exit(0);
}

static void the_end_of_a_long_span_serves_others(void **state)
{
    (void)state;
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend < PAGEHEAP_EXEC_BACKENDS; backend++) {
        for (unsigned is_long = 0; is_long < 2; is_long++) {
            int status;
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0)
                use_what_long_spans_leave(backend, is_long ? LONG_BYTES + PAGE_BYTES : PAGE_BYTES,
                                          is_long ? LONG_SPANS : PAGES);
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_int_equal(status, 0);
        }
    }
}

static size_t resident_pages(void *base, size_t bytes)
{
    static unsigned char pages[512];
    size_t count = 0;
    assert_int_equal(mincore(base, bytes, pages), 0);
    for (size_t i = 0; i < bytes / PAGE_BYTES; i++)
        count += pages[i] & 1;
    return count;
}

static void a_copy_for_the_child_takes_no_memory_at_the_end_of_a_long_span(void **state)
{
    (void)state;
    int status;
    pageheap_exec_caps caps = { .struct_bytes = sizeof caps };
    pageheap_exec_span span;
    assert_int_equal(pageheap_exec_probe(0, &caps), 0);
    pageheap_exec *heap = heap_of(PAGEHEAP_EXEC_MEMFD, PAGEHEAP_EXEC_FORK_PRIVATE);
    if (heap == NULL || !caps.has_guards)
        skip();
    assert_int_equal(pageheap_exec_alloc(heap, LONG_BYTES, &span), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_begin(60);
        _exit(*((volatile char *)span.rx + LONG_BYTES)); /* not to be reached there either */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(resident_pages((char *)span.rw + LONG_BYTES, BLOCK_BYTES - PAGE_BYTES), 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_a_long_span_serves_others),
        cmocka_unit_test(a_copy_for_the_child_takes_no_memory_at_the_end_of_a_long_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
