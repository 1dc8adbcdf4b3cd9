/* SPDX-License-Identifier: MIT */
/* test_report.c -- tables, summaries, numbers, and what results say of targets. */
#include "bench/peers/exec_all.h"
#include "bench/peers/peers_all.h"
#include "bench/report.h"
#include "bench/results.h"
#include "bench/sections.h"
#include "bench/settle.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void summarises(void **state)
{
    const double odd[] = { 5, 1, 3 };
    const double even[] = { 4, 1, 2, 9 };
    struct spread spread = spread_of(odd, 3);

    (void)state;
    assert_true(spread.min == 1 && spread.median == 3 && spread.max == 5 && spread.count == 3);
    spread = spread_of(even, 4);
    assert_true(spread.min == 1 && spread.median == 3 && spread.max == 9);
    assert_int_equal(spread_of(NULL, 0).count, 0);
    assert_true(odd[0] == 5);
}

/* Ours, the best of the others, and one that does not contend. */
static void rounds_go_on_until_the_least_was_met_twice(void **state)
{
    const double ours[] = { 5, 8, 9, 6, 7 }, rival[] = { 7, 7.1, 9, 8, 8 }, far[] = { 90, 70, 80, 75, 72 };
    const double ours_twice[] = { 5.05, 8, 9, 6, 5 }, rival_once[] = { 7, 7.2, 9, 8, 8 };
    struct settle_rounds all[] = { { ours, 5, true }, { rival, 5, false }, { far, 5, false } };
    bool takes_part[3];

    (void)state;
    assert_true(settle_wants_round(all, 3, 5, 5, takes_part));
    assert_true(takes_part[0] && takes_part[1] && !takes_part[2]);
    assert_true(settle_wants_round(all, 3, 5 * SETTLE_TIMES - 1, 5, takes_part));
    assert_false(settle_wants_round(all, 3, 5 * SETTLE_TIMES, 5, takes_part));
    assert_false(settle_wants_round(all, 3, 4, 4, takes_part));
    all[0].values = ours_twice;
    assert_false(settle_wants_round(all, 3, 5, 5, takes_part));
    all[1].values = rival_once;
    assert_true(settle_wants_round(all, 3, 5, 5, takes_part));
    assert_true(takes_part[0] && takes_part[1]);
    all[1].count = 0; /* it failed */
    assert_true(settle_wants_round(all, 3, 5, 5, takes_part));
    assert_true(takes_part[0] && !takes_part[1] && takes_part[2]);
}

static void prints_a_table(void **state)
{
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);
    struct report_table *table = report_create(out);

    (void)state;
    report_column(table, "name", REPORT_LEFT, 0);
    report_column(table, "ns", REPORT_RIGHT, 5);
    report_cell(table, REPORT_PLAIN, "%s", "caf\xc3\xa9 au lait");
    report_cell(table, REPORT_GOOD, "%d", 42);
    report_cell(table, REPORT_PLAIN, "%s", "x");
    report_end_row(table);
    report_end_row(table);
    report_flush(table);
    report_cell(table, REPORT_PLAIN, "%s", "later");
    report_destroy(table);
    fclose(out);
    assert_string_equal(text, "name             ns\n"
                              "-------------------\n"
                              "caf\xc3\xa9 au lait     42\n"
                              "x                  \n"
                              "later              \n");
    free(text);
}

static void writes_numbers(void **state)
{
    char text[REPORT_NUMBER_CHARS];

    (void)state;
    assert_string_equal(report_number(text, 4.214), "4.21");
    assert_string_equal(report_number(text, 9.999), "10.0");
    assert_string_equal(report_number(text, 52.34), "52.3");
    assert_string_equal(report_number(text, 1163.2), "1163");
    assert_string_equal(report_number(text, NAN), "-");
    assert_string_equal(report_bytes(text, 512), "512 B");
    assert_string_equal(report_bytes(text, 65536), "64.0 KiB");
    assert_string_equal(report_bytes(text, 1.5 * 1024 * 1024 * 1024), "1.50 GiB");
}

static void judges_by_the_best_peer(void **state)
{
    const struct workload_row row = { "pair-1", "pair", "ns" };
    double ours[] = { 9, 6, 7 }; /* of times the best counts: 6 to 8 */
    double slow[] = { 90, 100, 79 };
    double fast[] = { 30, 8, 31 };
    struct row_result result = {
        .row = &row,
        .series = { { .peer = &peer_pageheap, .values = ours, .count = 3 },
                    { .peer = &peer_mmap, .values = slow, .count = 3 },
                    { .peer = &peer_tcmalloc, .values = fast, .count = 3 },
                    { .peer = &peer_seed, .outcome = OUTCOME_CRASHED } },
        .series_count = 4,
    };
    struct standing standing = standing_of(&result);

    (void)state;
    assert_ptr_equal(standing.rival, &peer_tcmalloc);
    assert_true(standing.over_rival == 0.75);
    assert_int_equal(standing.verdict, VERDICT_OK);
    ours[0] = ours[1] = ours[2] = 6.1;
    assert_int_equal(standing_of(&result).verdict, VERDICT_MISS);
    result.series[0].count = 0;
    assert_int_equal(standing_of(&result).verdict, VERDICT_NONE);
}

static void takes_the_median_of_what_is_no_time(void **state)
{
    const struct workload_row row = { "rss-trim", "", "x" };
    double ours[] = { 1.5, 1.0, 1.01 };
    struct row_result result = { .row = &row,
                                 .series = { { .peer = &peer_pageheap, .values = ours, .count = 3 } },
                                 .series_count = 1 };

    (void)state;
    assert_true(standing_of(&result).ours == 1.01);
}

static void judges_by_a_limit(void **state)
{
    const struct workload_row most = { "rss-trim", "", "x" };
    const struct workload_row least = { "scale-2", "", "x" };
    double ours[] = { 1.5 };
    double theirs[] = { 99 };
    struct row_result result = { .row = &most,
                                 .series = { { .peer = &peer_pageheap, .values = ours, .count = 1 },
                                             { .peer = &peer_seed, .values = theirs, .count = 1 } },
                                 .series_count = 2 };

    (void)state;
    assert_int_equal(standing_of(&result).verdict, VERDICT_MISS);
    ours[0] = 1.02;
    assert_int_equal(standing_of(&result).verdict, VERDICT_OK);
    result.row = &least;
    assert_int_equal(standing_of(&result).verdict, VERDICT_MISS);
    ours[0] = 1.8;
    assert_int_equal(standing_of(&result).verdict, VERDICT_OK);
}

static void judges_by_a_named_peer(void **state)
{
    const struct workload_row row = { "exec-pair-page", "", "ns" };
    double ours[] = { 20 };
    double variant[] = { 3 };
    double named[] = { 40 };
    double trivial[] = { 4 };
    struct row_result result = {
        .row = &row,
        .series = { { .peer = &exec_peer_pageheap.peer, .values = ours, .count = 1 },
                    { .peer = &exec_peer_pageheap_flip.peer, .values = variant, .count = 1 },
                    { .peer = &exec_peer_asmjit.peer, .values = named, .count = 1 },
                    { .peer = &exec_peer_flip.peer, .values = trivial, .count = 1 } },
        .series_count = 4,
    };
    struct standing standing = standing_of(&result);

    (void)state;
    assert_ptr_equal(standing.rival, &exec_peer_asmjit.peer);
    assert_true(standing.over_rival == 0.5);
    assert_int_equal(standing.verdict, VERDICT_OK);
    ours[0] = 21;
    assert_int_equal(standing_of(&result).verdict, VERDICT_MISS);
    /* Where it is not installed there is nothing to say. */
    result.series[2].count = 0;
    standing = standing_of(&result);
    assert_null(standing.rival);
    assert_int_equal(standing.verdict, VERDICT_NONE);
}

/* What ours is measured by is never ours. */
static void variants_are_no_rivals(void **state)
{
    const struct workload_row row = { "exec-life", "", "ns" };
    double ours[] = { 20 };
    double variant[] = { 3 };
    double other[] = { 40 };
    const struct row_result result = {
        .row = &row,
        .series = { { .peer = &exec_peer_pageheap.peer, .values = ours, .count = 1 },
                    { .peer = &exec_peer_pageheap_flip.peer, .values = variant, .count = 1 },
                    { .peer = &exec_peer_flip.peer, .values = other, .count = 1 } },
        .series_count = 3,
    };

    (void)state;
    assert_ptr_equal(standing_of(&result).rival, &exec_peer_flip.peer);
}

static bool is_row(const char *name)
{
    for (size_t section = 0; section < SECTIONS; section++) {
        const struct workload *workload;

        for (size_t i = 0; (workload = sections[section].workload_at(i)) != NULL; i++) {
            for (size_t row = 0; row < workload_rows_count(workload); row++) {
                if (strcmp(workload->rows[row].name, name) == 0)
                    return true;
            }
        }
    }
    return false;
}

static bool is_exec_peer(const char *name)
{
    const struct peer *peer;

    for (size_t i = 0; (peer = exec_peer_at(i)) != NULL; i++) {
        if (strcmp(peer->name, name) == 0)
            return true;
    }
    return false;
}

/* A target for a row that nobody measures would be a promise that nobody keeps. */
static void every_target_has_its_row(void **state)
{
    const struct target *target;

    (void)state;
    for (size_t i = 0; (target = target_at(i)) != NULL; i++) {
        if (!is_row(target->row))
            fail_msg("no row is called %s", target->row);
        assert_int_equal(target->kind == TARGET_TIMES_PEER, target->peer != NULL);
        if (target->peer != NULL && !is_exec_peer(target->peer))
            fail_msg("no peer is called %s", target->peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summarises),
        cmocka_unit_test(rounds_go_on_until_the_least_was_met_twice),
        cmocka_unit_test(prints_a_table),
        cmocka_unit_test(writes_numbers),
        cmocka_unit_test(judges_by_the_best_peer),
        cmocka_unit_test(takes_the_median_of_what_is_no_time),
        cmocka_unit_test(judges_by_a_limit),
        cmocka_unit_test(judges_by_a_named_peer),
        cmocka_unit_test(variants_are_no_rivals),
        cmocka_unit_test(every_target_has_its_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
