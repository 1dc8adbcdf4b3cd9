/* SPDX-License-Identifier: MIT */
/* bench.c -- the `bench` command: all workloads, the allocators in turn within each round. */
#include "bench.h"

#include "harness.h"
#include "machine.h"
#include "options.h"
#include "results_print.h"
#include "sections.h"
#include "settle.h"

#include <err.h>
#include <math.h>
#include <pageheap/pageheap.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The peers of one section that are measured. */
struct columns {
    const struct peer *peers[RESULTS_PEERS_MAX];
    size_t count;
};

struct session {
    const struct options *options;
    struct columns columns[SECTIONS];
    struct report_table *table; /* of the section at hand; NULL under --json */
    json_t *json_rows;          /* NULL without */
    bool shows_progress;
    size_t missed;
    size_t failed; /* rows in which pageheap itself gave no result */
};

static bool is_of_section(const struct section *section, const struct peer *wanted)
{
    const struct peer *peer;

    for (size_t i = 0; (peer = section->peer_at(i)) != NULL; i++) {
        if (peer == wanted)
            return true;
    }
    return wanted == section->null;
}

static void choose_peers(struct session *session, size_t section)
{
    const struct options *options = session->options;
    struct columns *columns = &session->columns[section];
    const struct peer *peer;

    for (size_t i = 0; i < options->peers_count; i++) {
        peer = options->peers[i];
        if (is_of_section(&sections[section], peer) && peer_is_installed(peer))
            columns->peers[columns->count++] = peer;
    }
    for (size_t i = 0; options->peers_count == 0 && (peer = sections[section].peer_at(i)) != NULL; i++) {
        if (peer_is_installed(peer))
            columns->peers[columns->count++] = peer;
    }
}

static bool is_chosen(const struct session *session, const char *name)
{
    for (size_t section = 0; section < SECTIONS; section++) {
        for (size_t i = 0; i < session->columns[section].count; i++) {
            if (strcmp(session->columns[section].peers[i]->name, name) == 0)
                return true;
        }
    }
    return false;
}

/* Who asks for an allocator by name wants to know if it is not there.  One that is in both sections is there
 * if it is in one: a machine may refuse code memory alone. */
static void refuse_absent(const struct session *session)
{
    const struct options *options = session->options;

    for (size_t i = 0; i < options->peers_count; i++) {
        if (!is_chosen(session, options->peers[i]->name))
            errx(EXIT_FAILURE, "allocator '%s' is not installed", options->peers[i]->name);
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
    if (peer->role == PEER_OURS)
        return true;
    if (peer->role == PEER_NULL)
        return (workload->flags & WORKLOAD_HARNESS) != 0;
    if ((workload->flags & WORKLOAD_HEAP) != 0)
        return false;
    return (workload->flags & WORKLOAD_OURS_ONLY) == 0 || session->options->every;
}

static void prepare_series(const struct session *session, const struct workload *workload,
                           const struct peer *peer, unsigned rounds, struct series *series)
{
    *series = (struct series){ .peer = peer, .is_measured = is_for(session, workload, peer) };
    series->values = calloc((size_t)SETTLE_TIMES * rounds, sizeof *series->values);
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

static void conclude(struct session *session, const struct section *section, struct row_result *result)
{
    struct standing standing = standing_of(result);

    for (size_t i = 0; i < result->series_count; i++) {
        const struct series *series = &result->series[i];

        session->failed += series->peer->role == PEER_OURS && series->outcome != OUTCOME_DONE;
    }
    session->missed += standing.verdict == VERDICT_MISS;
    if (session->table != NULL) {
        results_table_add(session->table, result, session->options->with_spread);
    } else {
        json_t *row = results_json(result);

        json_object_set_new(row, "section", json_string(section->name));
        json_array_append_new(session->json_rows, row);
    }
}

/* Rounds beyond those that were asked for, if the row is a time. */
static void run_until_settled(const struct session *session, const struct workload *workload, unsigned asked,
                              struct row_result *results)
{
    struct settle_rounds all[RESULTS_PEERS_MAX];
    bool takes_part[RESULTS_PEERS_MAX];
    size_t count = results[0].series_count;

    for (unsigned round = asked; row_is_time(results[0].row); round++) {
        for (size_t i = 0; i < count; i++) {
            const struct series *series = &results[0].series[i];
            bool is_ours = series->peer->role == PEER_OURS;
            bool contends = series->outcome == OUTCOME_DONE &&
                            (is_ours || result_may_rival(results[0].row, series->peer));

            all[i] = (struct settle_rounds){ series->values, contends ? series->count : 0, is_ours };
        }
        if (!settle_wants_round(all, count, round, asked, takes_part))
            return;
        for (size_t column = 0; column < count; column++) {
            if (takes_part[column])
                run_once(session, workload, round, results, column);
        }
    }
}

static void run_workload(struct session *session, size_t section, const struct workload *workload)
{
    const struct columns *columns = &session->columns[section];
    struct row_result results[WORKLOAD_ROWS_MAX];
    size_t rows_count = workload_rows_count(workload);
    unsigned rounds = session->options->rounds;

    if (workload->rounds_max != 0 && rounds > workload->rounds_max)
        rounds = workload->rounds_max;
    for (size_t row = 0; row < rows_count; row++) {
        results[row].row = &workload->rows[row];
        results[row].series_count = columns->count;
        for (size_t i = 0; i < columns->count; i++)
            prepare_series(session, workload, columns->peers[i], rounds, &results[row].series[i]);
        prepare_series(session, workload, sections[section].null, rounds, &results[row].harness);
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t column = 0; column <= columns->count; column++)
            run_once(session, workload, round, results, column);
    }
    run_until_settled(session, workload, rounds, results);
    clear_progress(session);
    for (size_t row = 0; row < rows_count; row++) {
        if (options_want_row(session->options, results[row].row))
            conclude(session, &sections[section], &results[row]);
        for (size_t column = 0; column <= columns->count; column++)
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

static bool is_run(const struct session *session, size_t section, const struct workload *workload)
{
    const struct columns *columns = &session->columns[section];

    for (size_t i = 0; i < columns->count; i++) {
        if (is_for(session, workload, columns->peers[i]))
            return is_wanted(session->options, workload);
    }
    return false;
}

/* The rows that are asked for exist, and yet none may be left: some are long, some are not for every peer. */
static bool is_section_run(const struct session *session, size_t section)
{
    const struct workload *workload;

    for (size_t i = 0; (workload = sections[section].workload_at(i)) != NULL; i++) {
        if (is_run(session, section, workload))
            return true;
    }
    return false;
}

static bool is_anything_run(const struct session *session)
{
    for (size_t section = 0; section < SECTIONS; section++) {
        if (is_section_run(session, section))
            return true;
    }
    return false;
}

static void run_section(struct session *session, size_t section)
{
    const struct options *options = session->options;
    const struct columns *columns = &session->columns[section];
    const struct workload *workload;

    if (!is_section_run(session, section))
        return;
    if (session->json_rows == NULL) {
        printf("\n%s\n\n", sections[section].title);
        session->table = results_table_create(stdout, columns->peers, columns->count,
                                              sections[section].ratio_title, options->with_spread);
    }
    for (size_t i = 0; (workload = sections[section].workload_at(i)) != NULL; i++) {
        if (is_run(session, section, workload))
            run_workload(session, section, workload);
    }
    if (session->table != NULL)
        report_destroy(session->table);
    session->table = NULL;
}

static int measure(struct session *session)
{
    const struct options *options = session->options;
    struct machine machine;

    machine_describe(&machine);
    if (options->json) {
        session->json_rows = json_array();
    } else {
        machine_print(&machine, stdout);
        printf("%u round%s of %g s: of times the best, else the median; "
               "each allocator in a process of its own, in turn\n",
               options->rounds, options->rounds == 1 ? "" : "s", options->seconds);
    }
    for (size_t section = 0; section < SECTIONS; section++)
        run_section(session, section);
    if (options->json) {
        json_t *document = json_pack("{s:s, s:o, s:i, s:f, s:o}", "version", PAGEHEAP_VERSION, "machine",
                                     machine_json(&machine), "rounds", (int)options->rounds, "seconds",
                                     options->seconds, "rows", session->json_rows);

        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(document);
    } else {
        printf("\n%zu target%s missed\n", session->missed, session->missed == 1 ? "" : "s");
    }
    return session->failed != 0 || (options->check && session->missed != 0) ? 1 : 0;
}

static void list_section(const struct section *section)
{
    const struct workload *workload;
    const struct peer *peer;

    printf("%s\n\nRows (--filter):\n", section->title);
    for (size_t i = 0; (workload = section->workload_at(i)) != NULL; i++) {
        for (size_t row = 0; row < workload_rows_count(workload); row++)
            printf("  %-18s %s%s\n", workload->rows[row].name, workload->rows[row].title,
                   (workload->flags & WORKLOAD_LONG) != 0 ? " (--long)" : "");
    }
    printf("\nAllocators (--allocators):\n");
    for (size_t i = 0; (peer = section->peer_at(i)) != NULL; i++)
        printf("  %-18s %s%s\n", peer->name, peer->description,
               peer_is_installed(peer) ? "" : " (not installed)");
}

static void list(void)
{
    for (size_t section = 0; section < SECTIONS; section++) {
        if (section != 0)
            putchar('\n');
        list_section(&sections[section]);
    }
}

static int self_test(const struct session *session)
{
    int status = 0;

    for (size_t section = 0; section < SECTIONS; section++) {
        const struct columns *columns = &session->columns[section];

        if (columns->count != 0)
            printf("%s\n", sections[section].title);
        for (size_t i = 0; i < columns->count; i++) {
            bool sound = sections[section].self_test(columns->peers[i]) == 0;

            printf("  %-18s %s\n", columns->peers[i]->name, sound ? "ok" : "FAILED");
            status |= !sound;
        }
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
    for (size_t section = 0; section < SECTIONS; section++)
        choose_peers(&session, section);
    refuse_absent(&session);
    if (options.self_test)
        return self_test(&session);
    if (!is_anything_run(&session))
        errx(OPTIONS_EXIT_USAGE,
             "nothing to measure: these rows are run with --long, or with other --allocators");
    return measure(&session);
}
