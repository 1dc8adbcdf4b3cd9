/* SPDX-License-Identifier: MIT */
/* bench.c -- the `bench` command: all workloads, the allocators in turn within each round. */
#include "bench.h"

#include "harness.h"
#include "machine.h"
#include "options.h"
#include "peers/peers_all.h"
#include "results_print.h"
#include "self_test.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

struct session {
    const struct options *options;
    const struct peer *peers[RESULTS_PEERS_MAX];
    size_t peers_count;
    struct report_table *table; /* NULL under --json */
    json_t *json_rows;          /* NULL without */
    bool shows_progress;
    size_t missed;
    size_t failed; /* rows in which pageheap itself gave no result */
};

static void choose_peers(struct session *session)
{
    const struct options *options = session->options;
    const struct peer *peer;

    for (size_t i = 0; i < options->peers_count; i++) {
        if (!peer_is_installed(options->peers[i]))
            errx(EXIT_FAILURE, "allocator '%s' is not installed", options->peers[i]->name);
        session->peers[session->peers_count++] = options->peers[i];
    }
    for (size_t i = 0; options->peers_count == 0 && (peer = peer_at(i)) != NULL; i++) {
        if (peer_is_installed(peer))
            session->peers[session->peers_count++] = peer;
    }
}

static void show_progress(const struct session *session, const struct workload *workload, unsigned round,
                          const struct peer *peer)
{
    if (session->shows_progress)
        fprintf(stderr, "\r\033[K%s, round %u, %s", workload->rows[0].name, round + 1, peer->name);
}

static void clear_progress(const struct session *session)
{
    if (session->shows_progress)
        fprintf(stderr, "\r\033[K");
}

static bool is_for(const struct session *session, const struct workload *workload, const struct peer *peer)
{
    if (peer == &peer_pageheap)
        return true;
    if (peer == &peer_null)
        return (workload->flags & WORKLOAD_HARNESS) != 0;
    if ((workload->flags & WORKLOAD_HEAP) != 0)
        return false;
    return (workload->flags & WORKLOAD_OURS_ONLY) == 0 || session->options->every;
}

static void prepare_series(const struct session *session, const struct workload *workload,
                           const struct peer *peer, unsigned rounds, struct series *series)
{
    *series = (struct series){ .peer = peer, .is_measured = is_for(session, workload, peer) };
    series->values = calloc(rounds, sizeof *series->values);
    if (series->values == NULL)
        err(EXIT_FAILURE, "bench");
}

/* The series of one peer in the rows of one workload: `index` is that of the column, the last being the
 * harness. */
static struct series *series_at(struct row_result *result, size_t index)
{
    return index < result->series_count ? &result->series[index] : &result->harness;
}

static void run_once(const struct session *session, const struct workload *workload, unsigned round,
                     struct row_result *results, size_t column)
{
    struct series *first = series_at(&results[0], column);
    struct workload_run run = {
        .workload = workload,
        .peer = first->peer,
        .seed = round + 1,
        .budget_ns = (uint64_t)(session->options->seconds * (double)NS_PER_SECOND),
    };
    double values[WORKLOAD_ROWS_MAX];
    enum outcome outcome;

    /* What failed once is not tried again: it would only take its time. */
    if (!first->is_measured || first->outcome != OUTCOME_DONE)
        return;
    show_progress(session, workload, round, first->peer);
    outcome = runner_run(&run, values);
    for (size_t row = 0; row < workload_rows_count(workload); row++) {
        struct series *series = series_at(&results[row], column);

        series->outcome = outcome;
        if (outcome == OUTCOME_DONE && !isnan(values[row]))
            series->values[series->count++] = values[row];
    }
}

static void conclude(struct session *session, struct row_result *result)
{
    struct standing standing = standing_of(result);

    for (size_t i = 0; i < result->series_count; i++) {
        const struct series *series = &result->series[i];

        session->failed += series->peer == &peer_pageheap && series->outcome != OUTCOME_DONE;
    }
    session->missed += standing.verdict == VERDICT_MISS;
    if (session->table != NULL)
        results_table_add(session->table, result, session->options->with_spread);
    else
        json_array_append_new(session->json_rows, results_json(result));
}

static void run_workload(struct session *session, const struct workload *workload)
{
    struct row_result results[WORKLOAD_ROWS_MAX];
    size_t rows_count = workload_rows_count(workload);
    unsigned rounds = session->options->rounds;

    if (workload->rounds_max != 0 && rounds > workload->rounds_max)
        rounds = workload->rounds_max;
    for (size_t row = 0; row < rows_count; row++) {
        results[row].row = &workload->rows[row];
        results[row].series_count = session->peers_count;
        for (size_t i = 0; i < session->peers_count; i++)
            prepare_series(session, workload, session->peers[i], rounds, &results[row].series[i]);
        prepare_series(session, workload, &peer_null, rounds, &results[row].harness);
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t column = 0; column <= session->peers_count; column++)
            run_once(session, workload, round, results, column);
    }
    clear_progress(session);
    for (size_t row = 0; row < rows_count; row++) {
        if (options_want_row(session->options, results[row].row))
            conclude(session, &results[row]);
        for (size_t column = 0; column <= session->peers_count; column++)
            free(series_at(&results[row], column)->values);
    }
}

static bool is_wanted(const struct options *options, const struct workload *workload)
{
    if ((workload->flags & WORKLOAD_LONG) != 0 && !options->with_long)
        return false;
    for (size_t row = 0; row < workload_rows_count(workload); row++) {
        if (options_want_row(options, &workload->rows[row]))
            return true;
    }
    return false;
}

static bool is_useful(const struct session *session, const struct workload *workload)
{
    for (size_t i = 0; i < session->peers_count; i++) {
        if (is_for(session, workload, session->peers[i]))
            return true;
    }
    return false;
}

static bool is_run(const struct session *session, const struct workload *workload)
{
    return is_wanted(session->options, workload) && is_useful(session, workload);
}

/* The rows that are asked for exist, and yet none may be left: some are long, some are not for every peer. */
static bool is_anything_run(const struct session *session)
{
    const struct workload *workload;

    for (size_t i = 0; (workload = workload_at(i)) != NULL; i++) {
        if (is_run(session, workload))
            return true;
    }
    return false;
}

static int measure(struct session *session)
{
    const struct options *options = session->options;
    const struct workload *workload;
    struct machine machine;

    machine_describe(&machine);
    if (options->json) {
        session->json_rows = json_array();
    } else {
        machine_print(&machine, stdout);
        printf("%u round%s of %g s: of times the best, else the median; "
               "each allocator in a process of its own, in turn\n\n",
               options->rounds, options->rounds == 1 ? "" : "s", options->seconds);
        session->table =
            results_table_create(stdout, session->peers, session->peers_count, options->with_spread);
    }
    for (size_t i = 0; (workload = workload_at(i)) != NULL; i++) {
        if (is_run(session, workload))
            run_workload(session, workload);
    }
    if (options->json) {
        json_t *document = json_pack("{s:s, s:o, s:i, s:f, s:o}", "version", PAGEHEAP_VERSION, "machine",
                                     machine_json(&machine), "rounds", (int)options->rounds, "seconds",
                                     options->seconds, "rows", session->json_rows);

        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(document);
    } else {
        report_destroy(session->table);
        printf("\n%zu target%s missed\n", session->missed, session->missed == 1 ? "" : "s");
    }
    return session->failed != 0 || (options->check && session->missed != 0) ? 1 : 0;
}

static void list(void)
{
    const struct workload *workload;
    const struct peer *peer;

    printf("Rows (--filter):\n");
    for (size_t i = 0; (workload = workload_at(i)) != NULL; i++) {
        for (size_t row = 0; row < workload_rows_count(workload); row++)
            printf("  %-18s %s%s\n", workload->rows[row].name, workload->rows[row].title,
                   (workload->flags & WORKLOAD_LONG) != 0 ? " (--long)" : "");
    }
    printf("\nAllocators (--allocators):\n");
    for (size_t i = 0; (peer = peer_at(i)) != NULL; i++)
        printf("  %-18s %s%s\n", peer->name, peer->description,
               peer_is_installed(peer) ? "" : " (not installed)");
}

static int self_test(const struct session *session)
{
    int status = 0;

    for (size_t i = 0; i < session->peers_count; i++) {
        bool sound = peer_self_test(session->peers[i]) == 0;

        printf("%-12s %s\n", session->peers[i]->name, sound ? "ok" : "FAILED");
        status |= !sound;
    }
    return status;
}

int bench_command(int argc, char **argv)
{
    struct options options;
    struct session session = { .options = &options };

    /* Before anything else: the program may begin anew. */
    peer_make_room();
    options_parse(argc, argv, &options);
    if (options.list) {
        list();
        return 0;
    }
    session.shows_progress = isatty(STDERR_FILENO) != 0;
    choose_peers(&session);
    if (options.self_test)
        return self_test(&session);
    if (!is_anything_run(&session))
        errx(OPTIONS_EXIT_USAGE,
             "nothing to measure: these rows are run with --long, or with other --allocators");
    return measure(&session);
}
