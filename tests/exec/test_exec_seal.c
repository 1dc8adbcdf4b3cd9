/* SPDX-License-Identifier: MIT */
/* test_exec_seal.c -- a sealed heap runs for good: nothing in it is written, freed or taken any more.
 *
 * The system keeps what is sealed until the process ends, so each test is a process of its own.
 */
#include <sys/syscall.h>

#include "exec_test.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define SPANS 200

typedef struct sealed {
    pageheap_exec *heap;
    uint32_t backend;
    pageheap_exec_span spans[SPANS];
} sealed;

static bool system_can_seal(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return syscall(SYS_mseal, page, PAGE, 0) == 0;
}

static void require_all_run(sealed *s)
{
    for (uint32_t i = 0; i < SPANS; i++) {
        pageheap_exec_span found;
        REQUIRE(code_run(s->spans[i].rx) == i);
        REQUIRE(pattern_holds(s->spans[i].rx, s->spans[i].bytes, i));
        REQUIRE(pageheap_exec_find(s->heap, s->spans[i].rx, &found) == 0 && found.bytes == s->spans[i].bytes);
    }
}

static void require_no_calls(sealed *s)
{
    pageheap_exec_span span, *first = &s->spans[0];
    unsigned char code[16];
    code_make(code, 666);
    REQUIRE(pageheap_exec_alloc(s->heap, 64, &span) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_alloc(s->heap, 5 * PAGE, &span) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_alloc(s->heap, 5 * BLOCK, &span) == PAGEHEAP_EACCES);
    char *lo = (char *)((uintptr_t)first->rx & ~(BLOCK - 1));
    REQUIRE(pageheap_exec_alloc_within(s->heap, PAGE, lo, lo + 4 * BLOCK, &span) == PAGEHEAP_EACCES);
    for (unsigned i = 0; i < SPANS; i++) {
        REQUIRE(pageheap_exec_free(s->heap, s->spans[i].rx, s->spans[i].bytes) == PAGEHEAP_EACCES);
        REQUIRE(pageheap_exec_write(s->heap, s->spans[i].rx, code, CODE_BYTES) == PAGEHEAP_EACCES);
        errno = 0;
        REQUIRE(pageheap_exec_begin_write(s->heap, s->spans[i].rx, CODE_BYTES) == NULL && errno != 0);
    }
    REQUIRE(pageheap_exec_shrink(s->heap, s->spans[50].rx, s->spans[50].bytes, PAGE) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_trim(s->heap, 0) == 0);
    REQUIRE(pageheap_exec_destroy(s->heap) == PAGEHEAP_EBUSY);
    REQUIRE(pageheap_exec_check(s->heap) == 0);
}

static void require_no_writes(sealed *s)
{
    for (unsigned i = 0; i < SPANS; i++) {
        char *rx = s->spans[i].rx, *rw = s->spans[i].rw;
        REQUIRE(fault_of(fault_write, rx) == SIGSEGV);
        REQUIRE(rw == NULL || fault_of(fault_write, rw) == SIGSEGV);
        rw = pageheap_exec_rw(s->heap, rx);
        REQUIRE(rw == NULL || fault_of(fault_write, rw) == SIGSEGV);
        char *page = rx - (uintptr_t)rx % PAGE;
        if (system_can_seal()) {
            REQUIRE(mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0);
            REQUIRE(munmap(page, PAGE) != 0 && errno == EPERM);
        }
    }
}

static void seal_it(void *of)
{
    sealed *s = of;
    uint32_t backend = s->backend;
    s->heap = exec_heap(backend);
    REQUIRE(s->heap != NULL);
    for (uint32_t i = 0; i < SPANS; i++) {
        size_t bytes = i == 50 ? 3 * BLOCK : i % 2 ? (1 + i % 5) * PAGE : 64 + i * 7;
        REQUIRE(pattern_alloc(s->heap, bytes, i, &s->spans[i]) == 0);
    }
    fault_begin();
    REQUIRE(pageheap_exec_seal(s->heap) == 0);
    for (unsigned round = 0; round < 2; round++) {
        require_all_run(s);
        require_no_calls(s);
        require_no_writes(s);
    }
    REQUIRE(maps_count_wx() == 0);
    int error = pageheap_exec_seal(s->heap); /* again: it is sealed */
    REQUIRE(error == 0 || error == PAGEHEAP_EACCES);
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        child_begin(10);
        fault_begin();
        require_all_run(s);
        require_no_calls(s);
        require_no_writes(s);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    pageheap_exec *other = exec_heap(backend); /* another heap is as free as ever */
    pageheap_exec_span span;
    REQUIRE(other != NULL && pattern_alloc(other, BLOCK, 5, &span) == 0 && code_run(span.rx) == 5);
    REQUIRE(pageheap_exec_free(other, s->spans[0].rx, s->spans[0].bytes) == PAGEHEAP_ENOTOURS);
    REQUIRE(pageheap_exec_destroy(other) == 0);
    require_all_run(s);
}

static void sealed_for_good(void **state)
{
    (void)state;
    static sealed s;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_FLIP)
    {
        s.backend = backend;
        child_judge(child_status(seal_it, &s, 30), "seal");
    }
}

/* An empty heap can be sealed, too, and is then of no use. */
static void seal_nothing(void)
{
    pageheap_exec_span span;
    pageheap_exec *heap = pageheap_exec_create(NULL);
    REQUIRE(heap != NULL && pageheap_exec_seal(heap) == 0);
    REQUIRE(pageheap_exec_alloc(heap, 64, &span) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_alloc(heap, PAGE, &span) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_destroy(heap) == PAGEHEAP_EBUSY);
    REQUIRE(pageheap_exec_seal(NULL) == PAGEHEAP_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_for_good),
        IN_CHILD(seal_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
