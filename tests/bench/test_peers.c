/* SPDX-License-Identifier: MIT */
/* test_peers.c -- every installed peer hands out sound memory, and the harness tells when one does not. */
#include "bench/harness.h"
#include "bench/peers/peers_all.h"
#include "bench/runner.h"
#include "bench/self_test.h"
#include "bench/syscount.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

static void installed_peers_are_sound(void **state)
{
    const struct peer *peer;

    (void)state;
    for (size_t i = 0; (peer = peer_at(i)) != NULL; i++) {
        if (peer_is_installed(peer) && peer_self_test(peer) != 0)
            fail_msg("%s is not sound", peer->name);
    }
}

static void the_usual_peers_need_no_library(void **state)
{
    (void)state;
    assert_string_equal(peer_at(0)->name, "pageheap");
    assert_true(peer_is_installed(peer_named("pageheap")));
    assert_true(peer_is_installed(peer_named("mmap")));
    assert_true(peer_is_installed(peer_named("seed")));
    assert_true(peer_is_installed(peer_named("glibc")));
    assert_null(peer_named("nobody"));
}

static void the_self_test_finds_a_bad_peer(void **state)
{
    (void)state;
    /* It hands the same run out again and again. */
    assert_int_equal(peer_self_test(&peer_null), -1);
}

static int crash(const struct workload_run *run, double *ret_values)
{
    (void)run;
    (void)ret_values;
    raise(SIGKILL);
    return 0;
}

static int run_out(const struct workload_run *run, double *ret_values)
{
    (void)run;
    ret_values[0] = 1;
    return -1;
}

static int answer(const struct workload_run *run, double *ret_values)
{
    ret_values[0] = 42;
    ret_values[1] = (double)run->seed;
    return 0;
}

static void outcomes_come_back(void **state)
{
    const struct workload good = { .run = answer };
    const struct workload bad = { .run = crash };
    const struct workload poor = { .run = run_out };
    struct workload_run run = { .workload = &good, .peer = &peer_mmap, .seed = 7 };
    double values[WORKLOAD_ROWS_MAX];

    (void)state;
    assert_int_equal(runner_run(&run, values), OUTCOME_DONE);
    assert_true(values[0] == 42 && values[1] == 7 && isnan(values[2]));
    run.workload = &bad;
    assert_int_equal(runner_run(&run, values), OUTCOME_CRASHED);
    assert_true(isnan(values[0]));
    run.workload = &poor;
    assert_int_equal(runner_run(&run, values), OUTCOME_NO_MEMORY);
    assert_true(isnan(values[0]));
}

static void counts_system_calls(void **state)
{
    uint64_t before;

    (void)state;
    if (syscount_start() != 0)
        skip();
    before = syscount_now();
    assert_int_equal(syscount_now(), before);
    for (int i = 0; i < 5; i++)
        getppid();
    assert_int_equal(syscount_now() - before, 5);
    syscount_stop();
}

static size_t do_nothing(void *state, size_t ops)
{
    *(size_t *)state += ops;
    return ops;
}

static size_t run_dry(void *state, size_t ops)
{
    (void)state;
    (void)ops;
    return 0;
}

static void measures_until_the_budget_is_used_up(void **state)
{
    size_t ops = 0;
    uint64_t before_ns = clock_now_ns();

    (void)state;
    assert_true(measure_ns_per_op(do_nothing, &ops, 10 * NS_PER_MS, 1000) >= 0);
    assert_true(clock_now_ns() - before_ns >= 10 * NS_PER_MS);
    assert_true(ops > 1000);
    assert_true(isnan(measure_ns_per_op(run_dry, NULL, NS_PER_MS, 0)));
}

static void sees_resident_memory(void **state)
{
    enum { PAGES = 16384 };
    size_t before_bytes = resident_bytes();
    void *run;

    (void)state;
    assert_int_equal(peer_mmap.open(), 0);
    run = peer_mmap.alloc(PAGES);
    assert_non_null(run);
    assert_true(resident_bytes() < before_bytes + PAGES / 8 * PEER_PAGE_BYTES);
    touch_pages(run, PAGES);
    assert_true(resident_bytes() > before_bytes + PAGES / 8 * 7 * PEER_PAGE_BYTES);
    peer_mmap.release(run, PAGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_peers_need_no_library),
        cmocka_unit_test(installed_peers_are_sound),
        cmocka_unit_test(the_self_test_finds_a_bad_peer),
        cmocka_unit_test(outcomes_come_back),
        cmocka_unit_test(counts_system_calls),
        cmocka_unit_test(measures_until_the_budget_is_used_up),
        cmocka_unit_test(sees_resident_memory),
    };

    peer_make_room();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
