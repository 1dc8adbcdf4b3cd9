/* SPDX-License-Identifier: MIT */
/* test_exec_fork_threads.c -- fork while other threads take, write, publish and free: the child is whole.
 *
 * A hundred forks a policy, a thousand with PAGEHEAP_TEST_LONG.  A child that waits for a thread that is no
 * more is ended by its alarm.  In one test there is no memory for the child's copy.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "exec_test.h"

#define THREADS 2
#define KEPT    40

typedef struct load {
    pageheap_exec *heap;
    uint32_t backend;
    pageheap_exec_span kept[KEPT];
    atomic_bool is_over;
    atomic_uint wrongs, steps;
} load;

static size_t bytes_of(uint64_t random)
{
    return random % 100 == 0 ? (1 + random / 100 % 700) * PAGE
           : random % 3 == 0 ? (1 + random / 100 % 5) * PAGE
                             : 1 + random / 100 % 3000;
}

/* Who writes a piece where pages change their protection keeps its neighbours from running: pages only. */
static size_t bytes_for(const load *l, uint64_t random)
{
    size_t bytes = bytes_of(random);
    return l->backend == PAGEHEAP_EXEC_FLIP ? (bytes + PAGE - 1) / PAGE * PAGE : bytes;
}

static void *be_busy(void *of)
{
    load *l = of;
    dice d = dice_from_seed((uint64_t)(uintptr_t)&d);
    while (!atomic_load(&l->is_over)) {
        pageheap_exec_span span;
        size_t bytes = bytes_for(l, dice_next(&d));
        uint32_t key = (uint32_t)dice_next(&d);
        if (pattern_alloc(l->heap, bytes, key, &span) != 0 || code_run(span.rx) != key ||
            pageheap_exec_free(l->heap, span.rx, bytes) != 0)
            atomic_fetch_add(&l->wrongs, 1);
        if (dice_below(&d, 500) == 0)
            (void)pageheap_exec_trim(l->heap, 0);
        if (dice_below(&d, 50) == 0) {
            pageheap_exec *other = exec_heap(l->backend);
            if (other == NULL || pageheap_exec_destroy(other) != 0)
                atomic_fetch_add(&l->wrongs, 1);
        }
        atomic_fetch_add(&l->steps, 1);
    }
    return NULL;
}

static void require_kept(load *l, uint32_t more)
{
    for (uint32_t i = 0; i < KEPT; i++) {
        pageheap_exec_span found;
        REQUIRE(pageheap_exec_find(l->heap, l->kept[i].rx, &found) == 0 && found.bytes == l->kept[i].bytes);
        REQUIRE(code_run(l->kept[i].rx) == i + more);
    }
}

static void *take_and_give(void *of)
{
    load *l = of;
    for (unsigned i = 0; i < 20; i++) {
        pageheap_exec_span span;
        REQUIRE(pattern_alloc(l->heap, bytes_for(l, i * 37), i, &span) == 0 && code_run(span.rx) == i);
        REQUIRE(pageheap_exec_free(l->heap, span.rx, span.bytes) == 0);
    }
    return NULL;
}

static void go_on_in_child(load *l)
{
    pthread_t thread;
    for (uint32_t i = 0; i < KEPT; i++)
        REQUIRE(pattern_write(l->heap, &l->kept[i], i + 1000) == 0);
    require_kept(l, 1000);
    (void)take_and_give(l);
    REQUIRE(pthread_create(&thread, NULL, take_and_give, l) == 0 && pthread_join(thread, NULL) == 0);
    for (uint32_t i = 0; i < KEPT; i += 2)
        REQUIRE(pageheap_exec_free(l->heap, l->kept[i].rx, l->kept[i].bytes) == 0);
    pageheap_exec_trim(l->heap, 0);
    REQUIRE(pageheap_exec_check(l->heap) == 0);
    for (uint32_t i = 1; i < KEPT; i += 2)
        REQUIRE(code_run(l->kept[i].rx) == i + 1000);
    REQUIRE(pageheap_exec_destroy(l->heap) == 0);
}

static void as_child(load *l, bool may_change)
{
    pageheap_exec_span span;
    require_kept(l, 0);
    if (may_change) {
        go_on_in_child(l);
    } else {
        REQUIRE(pageheap_exec_alloc(l->heap, 64, &span) == PAGEHEAP_EACCES);
        REQUIRE(pageheap_exec_free(l->heap, l->kept[0].rx, l->kept[0].bytes) == PAGEHEAP_EACCES);
    }
    pageheap_exec *own = exec_heap(l->backend);
    REQUIRE(own != NULL && pattern_alloc(own, 100, 5, &span) == 0 && code_run(span.rx) == 5);
    REQUIRE(pageheap_exec_destroy(own) == 0);
}

static void fork_amid(uint32_t backend, uint32_t policy)
{
    static load l;
    pthread_t threads[THREADS];
    pageheap_exec_options options = exec_options(backend);
    options.fork_policy = policy;
    options.reserve_bytes = 64 * BLOCK;
    memset(&l, 0, sizeof l);
    l.backend = backend;
    l.heap = pageheap_exec_create(&options);
    assert_non_null(l.heap);
    for (uint32_t i = 0; i < KEPT; i++)
        assert_int_equal(pattern_alloc(l.heap, bytes_for(&l, i), i, &l.kept[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, be_busy, &l), 0);
    unsigned forks = exec_is_long() ? 1000 : backend == PAGEHEAP_EXEC_MEMFD ? 100 : 30;
    for (unsigned n = 0; n < forks; n++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            child_begin(10 + 2 * EXEC_SHARE);
            as_child(&l, policy == PAGEHEAP_EXEC_FORK_PRIVATE || !exec_is_pair(backend));
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status != 0)
            fail_msg("fork %u: the child's status is %#x", n, (unsigned)status);
        for (uint32_t i = 0; i < KEPT; i++)
            assert_true(pattern_holds(l.kept[i].rx, l.kept[i].bytes, i));
    }
    atomic_store(&l.is_over, true);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&l.wrongs), 0);
    print_message("%u steps meanwhile\n", atomic_load(&l.steps));
    assert_int_equal(pageheap_exec_check(l.heap), 0);
    assert_int_equal(pageheap_exec_destroy(l.heap), 0);
}

static void deny_amid_work(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_ANON)
    fork_amid(backend, PAGEHEAP_EXEC_FORK_DENY);
}

static void private_amid_work(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    fork_amid(backend, exec_is_pair(backend) ? PAGEHEAP_EXEC_FORK_PRIVATE : PAGEHEAP_EXEC_FORK_DENY);
}

/* ---- no memory for the copy ------------------------------------------------------------ */

/* With its own copy or without, but never with the parent's: what it may not change it does not. */
static void require_apart(load *l)
{
    unsigned char code[16];
    pageheap_exec_span span;
    int error = pageheap_exec_alloc(l->heap, 64, &span);
    REQUIRE(error == 0 || error == PAGEHEAP_EACCES || error == PAGEHEAP_ENOMEM);
    for (uint32_t i = 0; i < KEPT; i++) {
        REQUIRE(code_run(l->kept[i].rx) == i);
        code_make(code, 666);
        error = pageheap_exec_write(l->heap, l->kept[i].rx, code, CODE_BYTES);
        REQUIRE(error == 0 || error == PAGEHEAP_EACCES || error == PAGEHEAP_ENOMEM);
        if (fault_of(fault_write, l->kept[i].rw) == 0)
            code_make(l->kept[i].rw, 666);
        else
            REQUIRE(error != 0);
    }
}

static void refuse(int which)
{
    struct rlimit none = { 3, 3 }, little = { 32 << 20, 32 << 20 };
    if (which == 0)
        REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    else if (which == 1)
        REQUIRE(setrlimit(RLIMIT_AS, &little) == 0);
    none = (struct rlimit){ 0, 0 };
    if (which == 2)
        REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
}

static void fork_without_memory(void *of)
{
    load *l = of;
    pageheap_exec_options options = exec_options(l->backend);
    options.fork_policy = PAGEHEAP_EXEC_FORK_PRIVATE;
    l->heap = pageheap_exec_create(&options);
    REQUIRE(l->heap != NULL);
    for (uint32_t i = 0; i < KEPT; i++)
        REQUIRE(pattern_alloc(l->heap, bytes_of(i), i, &l->kept[i]) == 0);
    refuse((int)atomic_load(&l->steps));
    for (unsigned n = 0; n < 5; n++) {
        pid_t child = fork();
        if (child == 0) {
            child_begin(10 + EXEC_SHARE);
            fault_begin();
            require_apart(l);
            _exit(0);
        }
        int status = -1;
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
        for (uint32_t i = 0; i < KEPT; i++)
            REQUIRE(pattern_holds(l->kept[i].rx, l->kept[i].bytes, i));
    }
}

static void never_the_parents(void **state)
{
    (void)state;
    static load l;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_ANON)
    {
        for (unsigned which = 0; which < 3; which++) {
            l.backend = backend;
            atomic_store(&l.steps, which);
            child_judge(child_status(fork_without_memory, &l, 30), "no memory for a copy");
        }
    }
}

/* ---- hooks that use other heaps ------------------------------------------------------------ */

static struct {
    pageheap *plain;
    pageheap_exec_span span;
    atomic_bool is_inside;
} hooked;

/* Slow, so that the fork begins meanwhile; then it does what it is not forbidden to. */
static void use_other_heaps(void *ctx, const void *rx, size_t bytes)
{
    (void)ctx;
    (void)rx;
    (void)bytes;
    atomic_store(&hooked.is_inside, true);
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    for (size_t pages = 1; pages < 100000; pages *= 7)
        REQUIRE(pageheap_free(hooked.plain, pageheap_alloc(hooked.plain, pages, 0), pages) == 0);
    (void)pageheap_trim(hooked.plain, 0);
    REQUIRE(pageheap_destroy(pageheap_create(NULL)) == 0);
}

static void *map_a_block(void *of)
{
    REQUIRE(pattern_alloc(of, PAGE, 7, &hooked.span) == 0);
    return NULL;
}

static void *unmap_it(void *of)
{
    REQUIRE(pageheap_exec_free(of, hooked.span.rx, PAGE) == 0);
    (void)pageheap_exec_trim(of, 0);
    return NULL;
}

static void fork_meanwhile(pageheap_exec *heap, void *(*change)(void *))
{
    pthread_t thread;
    int status = -1;
    atomic_store(&hooked.is_inside, false);
    REQUIRE(pthread_create(&thread, NULL, change, heap) == 0);
    while (!atomic_load(&hooked.is_inside))
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static void fork_amid_a_hook(void *of)
{
    pageheap_exec_hooks hooks = { .block_mapped = use_other_heaps, .block_unmapped = use_other_heaps };
    pageheap_exec_options options = exec_options(*(uint32_t *)of);
    options.hooks = &hooks;
    hooked.plain = pageheap_create(NULL);
    pageheap_exec *heap = pageheap_exec_create(&options);
    REQUIRE(hooked.plain != NULL && heap != NULL);
    fork_meanwhile(heap, map_a_block);
    fork_meanwhile(heap, unmap_it);
    REQUIRE(pageheap_exec_destroy(heap) == 0 && pageheap_destroy(hooked.plain) == 0);
}

static void hooks_may_use_other_heaps(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    child_judge(child_status(fork_amid_a_hook, &backend, 10 + EXEC_SHARE), "a hook amid a fork");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_the_parents),
        cmocka_unit_test(deny_amid_work),
        cmocka_unit_test(private_amid_work),
        cmocka_unit_test(hooks_may_use_other_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
