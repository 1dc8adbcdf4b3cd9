/* SPDX-License-Identifier: MIT */
/* test_exec_fork.c -- what the child of a fork may do to the parent's code under each policy, and what not.
 *
 * A hundred forks of each kind, a thousand with PAGEHEAP_TEST_LONG.  Parent and child speak through two
 * pipes, one byte a step, so that each sees what the other has done.
 */
#include <pthread.h>

#include "exec_test.h"

#define SPANS 96

/* The backend that is used before all others gets the most. */
static unsigned forks_for(uint32_t backend)
{
    return exec_is_long() ? 1000 : backend == PAGEHEAP_EXEC_MEMFD ? 100 : 20;
}

typedef struct scene {
    pageheap_exec *heap;
    uint32_t backend, policy;
    pageheap_exec_span spans[SPANS];
    int to_child[2], to_parent[2];
    unsigned round;
} scene;

static size_t bytes_of(unsigned i)
{
    return i == 50 ? 100 * PAGE : i % 3 == 0 ? PAGE * (1 + i % 4) : 64 * (1 + i % 20);
}

static void scene_begin(scene *s, uint32_t backend, uint32_t policy)
{
    pageheap_exec_options options = exec_options(backend);
    options.fork_policy = policy;
    *s = (scene){ .heap = pageheap_exec_create(&options), .backend = backend, .policy = policy };
    assert_non_null(s->heap);
    for (uint32_t i = 0; i < SPANS; i++)
        assert_int_equal(pattern_alloc(s->heap, bytes_of(i), i, &s->spans[i]), 0);
}

static void scene_end(scene *s)
{
    for (uint32_t i = 0; i < SPANS; i++)
        assert_int_equal(pageheap_exec_free(s->heap, s->spans[i].rx, s->spans[i].bytes), 0);
    pageheap_exec_trim(s->heap, 0);
    assert_int_equal(exec_stats(s->heap).in_use_bytes, 0);
    assert_int_equal(pageheap_exec_check(s->heap), 0);
    assert_int_equal(pageheap_exec_destroy(s->heap), 0);
}

static void tell(int pipe_ends[2])
{
    (void)!write(pipe_ends[1], "x", 1); /* the other side may be no more */
}

static bool hear(int pipe_ends[2])
{
    char byte;
    return read(pipe_ends[0], &byte, 1) == 1;
}

/* Every span returns its number and `more`, in whichever process asks. */
static bool all_run(scene *s, uint32_t more)
{
    for (uint32_t i = 0; i < SPANS; i++) {
        if (code_run(s->spans[i].rx) != i + more)
            return false;
    }
    return true;
}

static int rewrite_all(scene *s, uint32_t more)
{
    int error = 0;
    for (uint32_t i = 0; i < SPANS && error == 0; i++)
        error = pattern_write(s->heap, &s->spans[i], i + more);
    return error;
}

/* Start a child, do the parent's part, and see the child end well. */
static void play(scene *s, void (*as_child)(scene *), void (*as_parent)(scene *))
{
    int status;
    assert_int_equal(pipe(s->to_child) | pipe(s->to_parent), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_begin(20 + EXEC_SHARE);
        fault_begin();
        as_child(s);
        _exit(0);
    }
    close(s->to_parent[1]); /* a child that dies is heard of */
    if (as_parent != NULL)
        as_parent(s);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(s->to_parent[0]), close(s->to_child[0]), close(s->to_child[1]);
    if (status != 0)
        fail_msg("the child's status is %#x", (unsigned)status);
}

static void in_own_heap(void)
{
    pageheap_exec *own = pageheap_exec_create(NULL);
    pageheap_exec_span span;
    REQUIRE(own != NULL && pattern_alloc(own, 5000, 77, &span) == 0 && code_run(span.rx) == 77);
    REQUIRE(pageheap_exec_destroy(own) == 0);
}

/* ---- DENY ------------------------------------------------------------------------------ */

static void require_no_changes(scene *s)
{
    pageheap_exec_span span, *first = &s->spans[0];
    unsigned char code[16];
    code_make(code, 666);
    REQUIRE(pageheap_exec_alloc(s->heap, 64, &span) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_alloc(s->heap, PAGE, &span) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_alloc(s->heap, 3 * BLOCK, &span) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_alloc_within(s->heap, PAGE, first->rx, (char *)first->rx + BLOCK, &span) ==
            PAGEHEAP_EACCES);
    for (unsigned i = 0; i < SPANS; i++)
        REQUIRE(pageheap_exec_free(s->heap, s->spans[i].rx, s->spans[i].bytes) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_shrink(s->heap, s->spans[50].rx, 100 * PAGE, PAGE) == PAGEHEAP_EACCES);
    REQUIRE(pageheap_exec_trim(s->heap, 0) == 0);
    if (s->policy == PAGEHEAP_EXEC_FORK_SHARE)
        return;
    REQUIRE(pageheap_exec_write(s->heap, first->rx, code, CODE_BYTES) == PAGEHEAP_EACCES);
    errno = 0;
    REQUIRE(pageheap_exec_begin_write(s->heap, first->rx, 64) == NULL && errno == EACCES);
}

/* What was the second view is none, not even for who makes it accessible again. */
static void require_no_second_view(scene *s)
{
    for (unsigned i = 0; i < SPANS; i++) {
        pageheap_exec_span *span = &s->spans[i];
        for (size_t at = 0; at < span->bytes; at += 1 + span->bytes / 5) {
            REQUIRE(fault_of(fault_write, (char *)span->rw + at) == SIGSEGV);
            REQUIRE(fault_of(fault_write, (char *)span->rx + at) == SIGSEGV);
            char *rw = pageheap_exec_rw(s->heap, (char *)span->rx + at);
            REQUIRE(rw == NULL || fault_of(fault_write, rw) == SIGSEGV);
        }
        pageheap_exec_span found;
        REQUIRE(pageheap_exec_find(s->heap, span->rx, &found) == 0 && found.bytes == span->bytes);
    }
    char *page = (char *)s->spans[0].rw - (uintptr_t)s->spans[0].rw % PAGE;
    unsigned char before = *(unsigned char *)s->spans[0].rx;
    if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0) {
        *(unsigned char *)s->spans[0].rw = (unsigned char)~before;
        REQUIRE(*(unsigned char *)s->spans[0].rx == before);
        REQUIRE(mprotect(page, PAGE, PROT_NONE) == 0);
    }
}

static void denied(scene *s)
{
    REQUIRE(all_run(s, 0));
    require_no_second_view(s);
    require_no_changes(s);
    REQUIRE(all_run(s, 0));
    in_own_heap();
    tell(s->to_parent);
    REQUIRE(hear(s->to_child)); /* the parent has written everything anew */
    REQUIRE(all_run(s, 1000));
    pid_t grandchild = fork();
    if (grandchild == 0) {
        child_begin(10 + EXEC_SHARE);
        fault_begin();
        REQUIRE(all_run(s, 1000));
        require_no_second_view(s);
        require_no_changes(s);
        _exit(0);
    }
    int status = -1;
    REQUIRE(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    tell(s->to_parent);
}

static void deny_to(scene *s)
{
    assert_true(hear(s->to_parent));
    assert_true(all_run(s, 0));
    assert_int_equal(rewrite_all(s, 1000), 0);
    tell(s->to_child);
    assert_true(hear(s->to_parent));
    for (uint32_t i = 0; i < SPANS; i++)
        assert_true(pattern_holds(s->spans[i].rx, s->spans[i].bytes, i + 1000));
}

/* The parent goes on while the child lives: frees, takes anew, and its code is its own. */
static void deny(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_ANON)
    {
        scene s;
        scene_begin(&s, backend, PAGEHEAP_EXEC_FORK_DENY);
        for (unsigned n = 0; n < forks_for(backend); n++) {
            play(&s, denied, deny_to);
            for (uint32_t i = n % 2; i < SPANS; i += 2) {
                assert_int_equal(pageheap_exec_free(s.heap, s.spans[i].rx, bytes_of(i)), 0);
                assert_int_equal(pattern_alloc(s.heap, bytes_of(i), i, &s.spans[i]), 0);
            }
            assert_int_equal(rewrite_all(&s, 0), 0);
        }
        scene_end(&s);
    }
}

/* ---- PRIVATE --------------------------------------------------------------------------- */

/* Free, take, write, run: all that a heap is for, with what was there before the fork. */
static bool goes_on(scene *s, uint32_t more)
{
    pageheap_exec_span others[40], within;
    for (uint32_t i = 0; i < SPANS; i += 3) {
        uint32_t key = i + more;
        if (pageheap_exec_free(s->heap, s->spans[i].rx, s->spans[i].bytes) != 0 ||
            pageheap_exec_free(s->heap, s->spans[i].rx, s->spans[i].bytes) == 0 ||
            pattern_alloc(s->heap, bytes_of(i), key, &s->spans[i]) != 0)
            return false;
    }
    for (uint32_t i = 0; i < 40; i++) {
        if (pattern_alloc(s->heap, 1 + i * 331, more + 5000 + i, &others[i]) != 0)
            return false;
    }
    for (uint32_t i = 0; i < 40; i++) {
        if (code_run(others[i].rx) != more + 5000 + i ||
            pageheap_exec_free(s->heap, others[i].rx, 1 + i * 331) != 0)
            return false;
    }
    char *base = (char *)((uintptr_t)s->spans[1].rx & ~(BLOCK - 1));
    if (pageheap_exec_alloc_within(s->heap, PAGE, base, base + 4 * BLOCK, &within) == 0 &&
        pageheap_exec_free(s->heap, within.rx, PAGE) != 0)
        return false;
    pageheap_exec_trim(s->heap, 0);
    return pageheap_exec_check(s->heap) == 0 && all_run(s, more);
}

static void apart_in_child(scene *s)
{
    REQUIRE(all_run(s, 0));
    REQUIRE(hear(s->to_child)); /* the parent has changed every byte */
    for (uint32_t i = 0; i < SPANS; i++)
        REQUIRE(pattern_holds(s->spans[i].rx, s->spans[i].bytes, i));
    REQUIRE(rewrite_all(s, 2000) == 0);
    for (uint32_t i = 0; i < SPANS && exec_is_pair(s->backend); i++) /* through the view, at the same place */
        code_make(s->spans[i].rw, i + 3000);
    tell(s->to_parent);
    REQUIRE(hear(s->to_child));
    REQUIRE(all_run(s, exec_is_pair(s->backend) ? 3000 : 2000));
    REQUIRE(rewrite_all(s, 4000) == 0);
    REQUIRE(goes_on(s, 4000));
    if (s->round % 10 != 0)
        return;
    REQUIRE(maps_count_wx() == 0 || s->backend == PAGEHEAP_EXEC_RWX);
    pid_t grandchild = fork();
    if (grandchild == 0) {
        child_begin(10 + EXEC_SHARE);
        REQUIRE(all_run(s, 4000));
        REQUIRE(rewrite_all(s, 8000) == 0 && goes_on(s, 8000));
        _exit(0);
    }
    int status = -1;
    REQUIRE(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    REQUIRE(all_run(s, 4000));
    REQUIRE(pageheap_exec_destroy(s->heap) == 0);
}

static void apart_in_parent(scene *s)
{
    assert_int_equal(rewrite_all(s, 1000), 0);
    tell(s->to_child);
    assert_true(hear(s->to_parent)); /* the child has, too */
    for (uint32_t i = 0; i < SPANS; i++)
        assert_true(pattern_holds(s->spans[i].rx, s->spans[i].bytes, i + 1000));
    assert_true(goes_on(s, 1000));
    assert_int_equal(rewrite_all(s, 1000), 0);
    tell(s->to_child);
}

static void private_copies(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    {
        scene s;
        scene_begin(&s, backend,
                    exec_is_pair(backend) ? PAGEHEAP_EXEC_FORK_PRIVATE : PAGEHEAP_EXEC_FORK_DENY);
        for (s.round = 0; s.round < forks_for(backend); s.round++) {
            play(&s, apart_in_child, apart_in_parent);
            assert_true(all_run(&s, 1000));
            assert_int_equal(rewrite_all(&s, 0), 0);
        }
        scene_end(&s);
    }
}

/* ---- another library's handler of fork comes first --------------------------------------- */

#define SQUAT_BYTE 0x5a

static char *squat_at; /* where the handler maps a page of its own in the child; NULL: nowhere */

static void squat(void)
{
    if (squat_at == NULL)
        return;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap(squat_at, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) != squat_at)
        _exit(30);
    memset(squat_at, SQUAT_BYTE, PAGE);
}

static scene *early_writer; /* whose first span the handler writes in the child; NULL: none */
static int early_code;

static void write_early(void)
{
    if (early_writer != NULL)
        early_code = pattern_write(early_writer->heap, &early_writer->spans[0], 5000);
}

static bool squatter_is_well(void)
{
    bool is_well = true;
    for (size_t i = 0; i < PAGE; i++)
        is_well = is_well && squat_at[i] == SQUAT_BYTE;
    return is_well;
}

static void beside_a_squatter(scene *s)
{
    pageheap_exec_span found;
    REQUIRE(squatter_is_well());
    REQUIRE(all_run(s, 0));
    require_no_changes(s);
    REQUIRE(pageheap_exec_find(s->heap, s->spans[0].rx, &found) == 0 && found.rw == NULL);
    REQUIRE(pageheap_exec_destroy(s->heap) == 0);
    REQUIRE(squatter_is_well());
    errno = 0; /* and the other blocks' addresses are free */
    REQUIRE(msync(squat_at + 2 * BLOCK, PAGE, MS_ASYNC) != 0 && errno == ENOMEM);
}

static void what_lies_there_stays(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_ANON)
    {
        for (uint32_t policy = PAGEHEAP_EXEC_FORK_DENY; policy <= PAGEHEAP_EXEC_FORK_PRIVATE; policy++) {
            scene s;
            scene_begin(&s, backend, policy);
            char *rw = s.spans[50].rw;
            squat_at = rw - (uintptr_t)rw % PAGE;
            play(&s, beside_a_squatter, NULL);
            squat_at = NULL;
            assert_int_equal(rewrite_all(&s, 0), 0);
            scene_end(&s);
        }
    }
}

static void after_an_early_write(scene *s)
{
    REQUIRE(early_code != 0);
    REQUIRE(all_run(s, 0));
    REQUIRE(rewrite_all(s, 4000) == 0 && all_run(s, 4000));
}

/* Until our handler has run in the child, what is open there for writing is the parent's memory. */
static void early_writes_are_not_the_parents(void **state)
{
    (void)state;
    scene s;
    if (!exec_works(PAGEHEAP_EXEC_PRIVATE))
        skip();
    scene_begin(&s, PAGEHEAP_EXEC_PRIVATE, PAGEHEAP_EXEC_FORK_DENY);
    early_writer = &s;
    play(&s, after_an_early_write, NULL);
    early_writer = NULL;
    assert_true(all_run(&s, 0));
    scene_end(&s);
}

/* ---- SHARE ----------------------------------------------------------------------------- */

static void shared_child(scene *s)
{
    REQUIRE(all_run(s, 0));
    require_no_changes(s);
    REQUIRE(rewrite_all(s, 1000) == 0);
    code_make(s->spans[0].rw, 1000);
    tell(s->to_parent);
    REQUIRE(hear(s->to_child));
    REQUIRE(all_run(s, 2000));
}

static void shared_parent(scene *s)
{
    assert_true(hear(s->to_parent));
    assert_true(all_run(s, 1000));
    assert_int_equal(rewrite_all(s, 2000), 0);
    tell(s->to_child);
}

static void share(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_ANON)
    {
        scene s;
        scene_begin(&s, backend, PAGEHEAP_EXEC_FORK_SHARE);
        for (unsigned n = 0; n < forks_for(backend) / 5; n++) {
            play(&s, shared_child, shared_parent);
            assert_int_equal(rewrite_all(&s, 0), 0);
        }
        scene_end(&s);
    }
}

/* ---- what it costs --------------------------------------------------------------------- */

/* The least processor time of parent and child, from before fork until each goes on, of some. */
static uint64_t fork_us(void)
{
    uint64_t best_us = UINT64_MAX;
    for (unsigned n = 0; n < 7; n++) {
        int ends[2];
        uint64_t child_us = 0; /* a child's clock begins at 0 */
        assert_int_equal(pipe(ends), 0);
        uint64_t began_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
        pid_t child = fork();
        uint64_t now_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
        if (child == 0)
            _exit(write(ends[1], &now_us, sizeof now_us) != sizeof now_us);
        assert_int_equal(read(ends[0], &child_us, sizeof child_us), sizeof child_us);
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(ends[0]), close(ends[1]);
        if (now_us - began_us + child_us < best_us)
            best_us = now_us - began_us + child_us;
    }
    return best_us;
}

/* At most 3 ms for a block that is full, 20 us for one that is empty; three times that, for others' noise. */
static void copies_cost_little(void **state)
{
    enum { FULL = 16, EMPTY = 200 };
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_ANON)
    {
        pageheap_exec_options options = exec_options(backend);
        pageheap_exec_span span, empty;
        options.fork_policy = PAGEHEAP_EXEC_FORK_PRIVATE;
        uint64_t bare_us = fork_us();
        pageheap_exec *heap = pageheap_exec_create(&options);
        assert_non_null(heap);
        assert_int_equal(pattern_alloc(heap, FULL * BLOCK, 1, &span), 0);
        uint64_t full_us = fork_us();
        assert_int_equal(pageheap_exec_alloc(heap, EMPTY * BLOCK, &empty), 0);
        assert_int_equal(pageheap_exec_free(heap, empty.rx, EMPTY * BLOCK), 0);
        pageheap_exec_trim(heap, 0);
        uint64_t empty_us = fork_us();
        print_message("fork: bare %llu us, %d full blocks %llu us, and %d empty ones %llu us\n",
                      (unsigned long long)bare_us, FULL, (unsigned long long)full_us, EMPTY,
                      (unsigned long long)empty_us);
        assert_true(full_us < bare_us + 3 * 3000 * FULL * EXEC_SHARE);
        assert_true(empty_us < full_us + full_us / 2 + 3 * 20 * EMPTY * EXEC_SHARE);
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

int main(void)
{
    /* Before the first heap registers the library's own. */
    if (pthread_atfork(NULL, NULL, squat) != 0 || pthread_atfork(NULL, NULL, write_early) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deny),
        cmocka_unit_test(private_copies),
        cmocka_unit_test(what_lies_there_stays),
        cmocka_unit_test(early_writes_are_not_the_parents),
        cmocka_unit_test(share),
        cmocka_unit_test(copies_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
