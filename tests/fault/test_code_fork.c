/* SPDX-License-Identifier: MIT */
/* test_code_fork.c -- what the system refused before a fork, or in its child, costs nobody else's memory.
 *
 * Where a view is missing in the child, nothing else comes to lie, and what lies there already stays.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "child.h"
#include "os/code_os.h"
#include "pageheap/exec.h"

#define PAGE       ((size_t)4096)
#define LONG_BYTES ((size_t)3 << 20) /* two blocks of its own */
#define SQUAT_BYTE 0x5a

static ph_code_os_calls real;
static char *squat_at; /* where the handler maps a page of its own in a child, if it can; NULL: nowhere */
static bool has_squatted;

/* As another library's may, before ours: main registers it. */
static void squat(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    has_squatted =
        squat_at != NULL && mmap(squat_at, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == (void *)squat_at;
    if (has_squatted)
        memset(squat_at, SQUAT_BYTE, PAGE);
}

static bool squatter_is_well(void)
{
    bool is_well = true;
    for (size_t i = 0; i < PAGE; i++)
        is_well = is_well && squat_at[i] == SQUAT_BYTE;
    return is_well;
}

static pageheap_exec *make(uint32_t backend, uint32_t policy)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = backend;
    options.fork_policy = policy;
    options.reserve_bytes = 16 << 20;
    pageheap_exec *heap = pageheap_exec_create(&options);
    if (heap == NULL)
        skip();
    return heap;
}

static void see_child_end_well(pid_t child)
{
    int status;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- a view that could not be hidden ----------------------------------------------------- */

static char *kept_rw;

static int failing_hide(void *base, size_t bytes)
{
    return (uintptr_t)base - (uintptr_t)kept_rw < LONG_BYTES ? -ENOMEM : real.hide(base, bytes);
}

/* A heap of which no block is mapped, though the rw view of two of them is still there. */
static pageheap_exec *heap_with_remains(uint32_t backend, uint32_t policy)
{
    pageheap_exec_span span;
    pageheap_exec_stats stats = { .struct_bytes = sizeof stats };
    pageheap_exec *heap = make(backend, policy);
    assert_int_equal(pageheap_exec_alloc(heap, LONG_BYTES, &span), 0);
    assert_int_equal(pageheap_exec_free(heap, span.rx, LONG_BYTES), 0);
    kept_rw = span.rw;
    real = ph_code_os;
    ph_code_os.hide = failing_hide;
    (void)pageheap_exec_trim(heap, 0);
    ph_code_os = real;
    assert_int_equal(pageheap_exec_get_stats(heap, &stats), 0);
    assert_int_equal(stats.mapped_bytes, 0);
    return heap;
}

static void beside_a_squatter(pageheap_exec *heap)
{
    pageheap_exec_span span;
    REQUIRE(has_squatted && squatter_is_well());
    REQUIRE(pageheap_exec_alloc(heap, LONG_BYTES, &span) == PAGEHEAP_EACCES);
    REQUIRE(squatter_is_well());
    REQUIRE(pageheap_exec_destroy(heap) == 0);
    REQUIRE(squatter_is_well());
}

/* Nobody was faster: the addresses are the heap's. */
static void where_a_view_was(pageheap_exec *heap, uint32_t policy)
{
    pageheap_exec_span span;
    squat_at = kept_rw;
    squat();
    REQUIRE(!has_squatted);
    int code = pageheap_exec_alloc(heap, LONG_BYTES, &span);
    REQUIRE(code == (policy == PAGEHEAP_EXEC_FORK_PRIVATE ? 0 : PAGEHEAP_EACCES));
    REQUIRE(pageheap_exec_destroy(heap) == 0);
}

static void fork_with_remains(uint32_t backend, uint32_t policy, bool with_squatter)
{
    pageheap_exec_span span;
    pageheap_exec *heap = heap_with_remains(backend, policy);
    squat_at = with_squatter ? kept_rw : NULL;
    pid_t child = fork();
    if (child == 0) {
        child_begin(20);
        if (with_squatter)
            beside_a_squatter(heap);
        else
            where_a_view_was(heap, policy);
        _exit(0);
    }
    squat_at = NULL;
    see_child_end_well(child);
    assert_int_equal(pageheap_exec_alloc(heap, LONG_BYTES, &span), 0);
    assert_int_equal(pageheap_exec_check(heap), 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

static void where_a_view_could_not_be_hidden(void **state)
{
    (void)state;
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend <= PAGEHEAP_EXEC_ANON; backend++) {
        for (uint32_t policy = PAGEHEAP_EXEC_FORK_DENY; policy <= PAGEHEAP_EXEC_FORK_PRIVATE; policy++) {
            fork_with_remains(backend, policy, true);
            fork_with_remains(backend, policy, false);
        }
    }
}

/* ---- a child that is not what it should be, and its own child ----------------------------- */

static unsigned calls_left;

static int failing_duplicate(void *from, void *to, size_t bytes)
{
    return calls_left-- == 0 ? -ENOMEM : real.duplicate(from, to, bytes);
}

static void destroy_in_grandchild(pageheap_exec *heap)
{
    REQUIRE(has_squatted);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
    REQUIRE(squatter_is_well());
}

/* Of two blocks the child got one before the system refused: it may change nothing, and forks. */
static void in_half_a_child(pageheap_exec *heap, const pageheap_exec_span *span)
{
    int status = -1;
    REQUIRE(pageheap_exec_free(heap, span->rx, LONG_BYTES) == PAGEHEAP_EACCES);
    squat_at = span->rw;
    pid_t grandchild = fork();
    if (grandchild == 0) {
        child_begin(20);
        destroy_in_grandchild(heap);
        _exit(0);
    }
    REQUIRE(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
}

static void what_half_a_child_keeps_from_its_own(void **state)
{
    (void)state;
    pageheap_exec_span span;
    pageheap_exec *heap = make(PAGEHEAP_EXEC_MEMFD, PAGEHEAP_EXEC_FORK_PRIVATE);
    assert_int_equal(pageheap_exec_alloc(heap, LONG_BYTES, &span), 0);
    real = ph_code_os;
    ph_code_os.duplicate = failing_duplicate;
    calls_left = 2; /* both views of the first */
    pid_t child = fork();
    if (child == 0) {
        child_begin(20);
        in_half_a_child(heap, &span);
        _exit(0);
    }
    ph_code_os = real;
    see_child_end_well(child);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

int main(void)
{
    if (pthread_atfork(NULL, NULL, squat) != 0) /* before the first heap registers the library's own */
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_a_view_could_not_be_hidden),
        cmocka_unit_test(what_half_a_child_keeps_from_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
