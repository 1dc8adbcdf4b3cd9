/* SPDX-License-Identifier: MIT */
/* test_exec_peers.c -- every installed peer hands out code memory that runs what was written to it, and rows
 * that make no sense for one stay empty. */
#include "bench/exec_harness.h"
#include "bench/peers/exec_all.h"
#include "bench/runner.h"
#include "bench/sections.h"
#include "bench/self_test.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BUDGET_NS (2 * NS_PER_MS)

static const struct workload *workload_named(const char *name)
{
    const struct workload *workload;

    for (size_t i = 0; (workload = exec_workload_at(i)) != NULL; i++) {
        if (strcmp(workload->rows[0].name, name) == 0)
            return workload;
    }
    fail_msg("no row is called %s", name);
    return NULL;
}

static enum outcome run_row(const char *name, const struct exec_peer *peer, double *ret_value)
{
    struct workload_run run = {
        .workload = workload_named(name), .peer = &peer->peer, .seed = 1, .budget_ns = BUDGET_NS
    };
    double values[WORKLOAD_ROWS_MAX];
    enum outcome outcome = runner_run(&run, values);

    *ret_value = values[0];
    return outcome;
}

static void installed_peers_are_sound(void **state)
{
    const struct peer *peer;

    (void)state;
    for (size_t i = 0; (peer = exec_peer_at(i)) != NULL; i++) {
        if (peer_is_installed(peer) && exec_peer_self_test(peer) != 0)
            fail_msg("%s is not sound", peer->name);
    }
}

static void the_usual_peers_need_no_library(void **state)
{
    (void)state;
    assert_string_equal(exec_peer_at(0)->name, "pageheap");
    assert_int_equal(exec_peer_at(0)->role, PEER_OURS);
    assert_true(peer_is_installed(&exec_peer_mmap.peer));
    assert_true(peer_is_installed(&exec_peer_flip.peer));
}

static void the_self_test_finds_a_bad_peer(void **state)
{
    (void)state;
    /* It hands the same span out again and again. */
    assert_int_equal(exec_peer_self_test(&exec_peer_null.peer), -1);
}

static void functions_return_their_value(void **state)
{
    unsigned char code[EXEC_FUNCTION_BYTES];
    struct exec_span span;

    (void)state;
    if (!exec_function_make(0x1234, code))
        skip();
    assert_int_equal(exec_peer_mmap.peer.open(), 0);
    assert_true(exec_peer_mmap.alloc(PEER_PAGE_BYTES, &span));
    assert_true(exec_peer_mmap.publish(&span, code, sizeof code));
    assert_int_equal(exec_function_call(span.rx), 0x1234);
    /* And another in its place. */
    assert_true(exec_function_make(0xffff, code));
    assert_true(exec_peer_mmap.publish(&span, code, sizeof code));
    assert_int_equal(exec_function_call(span.rx), 0xffff);
    exec_peer_mmap.release(&span);
}

/* Every row with every peer gives a number, or none at all if it is not for that peer. */
static void rows_end_with_every_peer(void **state)
{
    static const char *const rows[] = { "exec-pair-page", "exec-pair-64", "exec-churn",   "exec-publish",
                                        "exec-call",      "exec-life",    "exec-syscalls" };
    const struct peer *peer;

    (void)state;
    for (size_t i = 0; (peer = exec_peer_at(i)) != NULL; i++) {
        for (size_t row = 0; row < sizeof rows / sizeof rows[0] && peer_is_installed(peer); row++) {
            double value;

            if (run_row(rows[row], exec_peer_of(peer), &value) != OUTCOME_DONE || value < 0)
                fail_msg("%s with %s", rows[row], peer->name);
        }
    }
}

static void rows_that_make_no_sense_are_empty(void **state)
{
    double value;

    (void)state;
    if (!peer_is_installed(&exec_peer_libffi.peer))
        skip();
    assert_int_equal(run_row("exec-pair-64", &exec_peer_libffi, &value), OUTCOME_DONE);
    assert_true(value > 0);
    assert_int_equal(run_row("exec-pair-page", &exec_peer_libffi, &value), OUTCOME_DONE);
    assert_true(isnan(value));
    assert_int_equal(run_row("exec-call", &exec_peer_libffi, &value), OUTCOME_DONE);
    assert_true(isnan(value));
}

static void the_system_is_seen(void **state)
{
    double value;

    (void)state;
    assert_int_equal(run_row("exec-syscalls", &exec_peer_mmap, &value), OUTCOME_DONE);
    /* "-" where tracing is not allowed. */
    assert_true(isnan(value) || value == 2);
    /* A mapping for each page leaves nothing behind; an arena that never gives anything back keeps ten times
     * what is live. */
    assert_int_equal(run_row("exec-resident", &exec_peer_mmap, &value), OUTCOME_DONE);
    assert_true(value > 0.95 && value < 1.05);
    assert_int_equal(run_row("exec-resident", &exec_peer_flip, &value), OUTCOME_DONE);
    assert_true(value > 9.5 && value < 11.5);
}

/* Peers of different sections share names, never those of one section. */
static void names_are_unique_in_a_section(void **state)
{
    (void)state;
    for (size_t section = 0; section < SECTIONS; section++) {
        const struct peer *peer, *other;

        for (size_t i = 0; (peer = sections[section].peer_at(i)) != NULL; i++) {
            for (size_t j = 0; j < i && (other = sections[section].peer_at(j)) != NULL; j++)
                assert_string_not_equal(peer->name, other->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(installed_peers_are_sound),
        cmocka_unit_test(the_usual_peers_need_no_library),
        cmocka_unit_test(the_self_test_finds_a_bad_peer),
        cmocka_unit_test(functions_return_their_value),
        cmocka_unit_test(rows_end_with_every_peer),
        cmocka_unit_test(rows_that_make_no_sense_are_empty),
        cmocka_unit_test(the_system_is_seen),
        cmocka_unit_test(names_are_unique_in_a_section),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
