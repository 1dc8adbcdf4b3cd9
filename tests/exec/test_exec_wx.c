/* SPDX-License-Identifier: MIT */
/* test_exec_wx.c -- no address is ever writable and executable at once, whatever is done with a heap.
 *
 * A million mixed operations (PAGEHEAP_TEST_LONG; else a tenth), with every line of /proc/self/maps looked at
 * each thousand of them, and all the time by a thread that does nothing else: it sees what lasts only as long
 * as a call.  Every backend but the one that is asked for by name to be otherwise.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "exec_test.h"

#define SPANS 300

static atomic_bool watch_is_over;
static atomic_size_t watch_wx, watch_rounds;

static void *watch(void *arg)
{
    (void)arg;
    while (!atomic_load(&watch_is_over)) {
        atomic_fetch_add(&watch_wx, maps_count_wx());
        atomic_fetch_add(&watch_rounds, 1);
        nanosleep(&(struct timespec){ 0, 500000 }, NULL); /* who reads keeps the others from mapping */
    }
    return NULL;
}

typedef struct mix {
    pageheap_exec *heap;
    uint32_t backend;
    pageheap_exec_span spans[SPANS];
    uint32_t keys[SPANS]; /* what the code there returns */
} mix;

static void replace(mix *m, unsigned i, dice *d)
{
    pageheap_exec_span *span = &m->spans[i];
    uint64_t kind = dice_below(d, 1000);
    size_t bytes = kind < 600   ? 1 + dice_below(d, 4000)
                   : kind < 998 ? (1 + dice_below(d, 8)) * PAGE
                                : 1 + dice_below(d, 3 * BLOCK);
    if (span->rx != NULL)
        assert_int_equal(pageheap_exec_free(m->heap, span->rx, span->bytes), 0);
    if (dice_below(d, 50) != 0) {
        assert_int_equal(pageheap_exec_alloc(m->heap, bytes, span), 0);
    } else { /* in the neighbourhood of another, if there is room */
        char *middle = m->spans[(i + 1) % SPANS].rx;
        uintptr_t lo = ((uintptr_t)middle & ~(BLOCK - 1)) - 2 * BLOCK;
        span->rx = NULL;
        if (pageheap_exec_alloc_within(m->heap, bytes, (void *)lo, (void *)(lo + 5 * BLOCK), span) != 0)
            assert_int_equal(pageheap_exec_alloc(m->heap, bytes, span), 0);
    }
    unsigned char code[16];
    m->keys[i] = (uint32_t)dice_next(d);
    code_make(code, m->keys[i]);
    assert_int_equal(pageheap_exec_write(m->heap, span->rx, code, CODE_BYTES), 0);
    assert_int_equal(pageheap_exec_publish(m->heap, span->rx, CODE_BYTES), 0);
}

static void rewrite(mix *m, unsigned i, uint32_t key)
{
    pageheap_exec_span *span = &m->spans[i];
    unsigned char *at = pageheap_exec_begin_write(m->heap, span->rx, CODE_BYTES);
    if (at == NULL) {
        assert_int_equal(m->backend, PAGEHEAP_EXEC_PRIVATE);
        return;
    }
    code_make(at, key);
    m->keys[i] = key;
    if (key % 64 == 0) /* caught in the act */
        assert_int_equal(maps_count_wx(), 0);
    assert_int_equal(pageheap_exec_end_write(m->heap, span->rx, CODE_BYTES), 0);
    assert_int_equal(pageheap_exec_publish(m->heap, span->rx, CODE_BYTES), 0);
}

static void step(mix *m, dice *d)
{
    unsigned i = (unsigned)dice_below(d, SPANS);
    pageheap_exec_span *span = &m->spans[i];
    uint64_t kind = dice_below(d, 100);
    if (span->rx == NULL || kind < 50) {
        replace(m, i, d);
    } else if (kind < 70) {
        assert_int_equal(code_run(span->rx), m->keys[i]);
    } else if (kind < 80 && span->bytes <= BLOCK) {
        size_t new_bytes = 1 + dice_below(d, span->bytes);
        if (new_bytes < CODE_BYTES)
            new_bytes = CODE_BYTES;
        pageheap_exec_span found;
        assert_int_equal(pageheap_exec_shrink(m->heap, span->rx, span->bytes, new_bytes), 0);
        assert_int_equal(pageheap_exec_find(m->heap, span->rx, &found), 0);
        span->bytes = found.bytes;
    } else {
        rewrite(m, i, (uint32_t)dice_next(d));
    }
    if (dice_below(d, 5000) == 0)
        pageheap_exec_trim(m->heap, dice_below(d, 2) * BLOCK);
    if (dice_below(d, 20000) == 0)
        (void)pageheap_exec_collapse(m->heap);
}

static void never_both(uint32_t backend, uint32_t flags, unsigned steps)
{
    static mix m;
    dice d = dice_new();
    pageheap_exec_options options = exec_options(backend);
    options.flags = flags;
    m = (mix){ .heap = pageheap_exec_create(&options), .backend = backend };
    assert_non_null(m.heap);
    for (unsigned n = 0; n < steps; n++) {
        step(&m, &d);
        if (n % 1000 == 0)
            assert_int_equal(maps_count_wx(), 0);
    }
    for (unsigned i = 0; i < SPANS; i++)
        assert_true(m.spans[i].rx == NULL || code_run(m.spans[i].rx) == m.keys[i]);
    assert_int_equal(pageheap_exec_check(m.heap), 0);
    assert_int_equal(pageheap_exec_destroy(m.heap), 0);
}

static void mixed_operations(void **state)
{
    (void)state;
    pthread_t watcher;
    unsigned steps = (exec_is_long() ? 1000000 : 100000) / EXEC_SHARE;
    assert_int_equal(maps_count_wx(), 0);
    atomic_store(&watch_is_over, false);
    assert_int_equal(pthread_create(&watcher, NULL, watch, NULL), 0);
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_FLIP)
    {
        never_both(backend, 0, exec_is_long() || backend == PAGEHEAP_EXEC_MEMFD ? steps : steps / 3);
        never_both(backend, PAGEHEAP_EXEC_HUGE | PAGEHEAP_EXEC_NO_FILL, steps / 10);
    }
    atomic_store(&watch_is_over, true);
    assert_int_equal(pthread_join(watcher, NULL), 0);
    print_message("maps read %zu times meanwhile\n", atomic_load(&watch_rounds));
    assert_int_equal(atomic_load(&watch_wx), 0);
}

/* The views are what they are called: each fails what the other is for. */
static void views_are_what_they_say(void **state)
{
    (void)state;
    fault_begin();
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_FLIP)
    {
        static const size_t cases[] = { 64, 3000, PAGE, 5 * PAGE, BLOCK, 2 * BLOCK + PAGE };
        pageheap_exec *heap = exec_heap(backend);
        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            pageheap_exec_span span;
            assert_int_equal(pattern_alloc(heap, cases[i], i, &span), 0);
            for (size_t at = 0; at < span.bytes; at += 1 + span.bytes / 50) {
                assert_int_equal(fault_of(fault_write, (char *)span.rx + at), SIGSEGV);
                assert_int_equal(fault_of(fault_read, (char *)span.rx + at), 0);
                if (span.rw == NULL)
                    continue;
                assert_int_equal(fault_of(fault_write, (char *)span.rw + at), 0);
                assert_int_equal(fault_of(code_jump, (char *)span.rw + at), SIGSEGV);
                assert_true(fault_pc == (uintptr_t)span.rw + at); /* not a step further */
            }
            assert_int_equal(code_run(span.rx), i);
        }
        assert_int_equal(pageheap_exec_destroy(heap), 0);
    }
}

/* A backend that makes its pages writable takes them away from who runs them, page by page. */
static void flip_is_one_or_the_other(void **state)
{
    (void)state;
    if (!exec_works(PAGEHEAP_EXEC_FLIP))
        skip();
    fault_begin();
    pageheap_exec *heap = exec_heap(PAGEHEAP_EXEC_FLIP);
    pageheap_exec_span span, neighbour;
    assert_int_equal(pattern_alloc(heap, 3 * PAGE, 1, &span), 0);
    assert_int_equal(pattern_alloc(heap, 3 * PAGE, 2, &neighbour), 0);
    char *middle = (char *)span.rx + PAGE + 100;
    assert_ptr_equal(pageheap_exec_begin_write(heap, middle, 1), middle);
    assert_int_equal(fault_of(fault_write, middle), 0);
    assert_int_equal(fault_of(code_jump, middle), SIGSEGV);
    assert_int_equal(code_run(span.rx), 1);
    assert_int_equal(fault_of(fault_write, span.rx), SIGSEGV);
    assert_int_equal(fault_of(fault_write, (char *)span.rx + 2 * PAGE), SIGSEGV);
    assert_int_equal(code_run(neighbour.rx), 2);
    assert_int_equal(pageheap_exec_end_write(heap, middle, 1), 0);
    assert_int_equal(fault_of(fault_write, middle), SIGSEGV);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_what_they_say),
        cmocka_unit_test(flip_is_one_or_the_other),
        cmocka_unit_test(mixed_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
