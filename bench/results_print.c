/* SPDX-License-Identifier: MIT */
/* results_print.c -- see results_print.h. */
#include "results_print.h"

#include <math.h>
#include <string.h>

#define TARGET_CHARS 48

/* "<= 0.75 x best", "<= 0.5 x asmjit", ">= 1.8". */
static void describe_target(char text[TARGET_CHARS], const struct target *target)
{
    const char *rival = target->kind == TARGET_TIMES_BEST   ? "best"
                        : target->kind == TARGET_TIMES_PEER ? target->peer
                                                            : NULL;

    snprintf(text, TARGET_CHARS, "%s %g%s%s", target->kind == TARGET_AT_LEAST ? ">=" : "<=", target->limit,
             rival != NULL ? " x " : "", rival != NULL ? rival : "");
}

struct report_table *results_table_create(FILE *out, const struct peer *const *peers, size_t peers_count,
                                          const char *ratio_title, bool with_spread)
{
    struct report_table *table = report_create(out);
    size_t number_width = with_spread ? 18 : 8;

    report_column(table, "workload", REPORT_LEFT, 46);
    report_column(table, "unit", REPORT_LEFT, 5);
    for (size_t i = 0; i < peers_count; i++)
        report_column(table, peers[i]->name, REPORT_RIGHT, number_width);
    report_column(table, "harness", REPORT_RIGHT, 7);
    report_column(table, ratio_title, REPORT_RIGHT, 9);
    report_column(table, "target", REPORT_RIGHT, 14);
    report_column(table, "", REPORT_LEFT, 4);
    return table;
}

static void add_series(struct report_table *table, const struct workload_row *row,
                       const struct series *series, enum report_look look, bool with_spread)
{
    struct spread spread = spread_of(series->values, series->count);
    char value[REPORT_NUMBER_CHARS];
    char min[REPORT_NUMBER_CHARS];
    char max[REPORT_NUMBER_CHARS];

    if (!series->is_measured)
        report_cell(table, REPORT_PLAIN, "%s", "");
    else if (spread.count == 0)
        report_cell(table, REPORT_FAINT, "%s",
                    series->outcome == OUTCOME_DONE ? "-" : outcome_name(series->outcome));
    else if (with_spread && spread.count > 1)
        report_cell(table, look, "%s (%s..%s)", report_number(value, result_value(row, &spread)),
                    report_number(min, spread.min), report_number(max, spread.max));
    else
        report_cell(table, look, "%s", report_number(value, result_value(row, &spread)));
}

void results_table_add(struct report_table *table, const struct row_result *result, bool with_spread)
{
    struct standing standing = standing_of(result);
    char target[TARGET_CHARS] = "";
    char ratio[REPORT_NUMBER_CHARS];

    report_cell(table, REPORT_PLAIN, "%s", result->row->title);
    report_cell(table, REPORT_FAINT, "%s", result->row->unit);
    for (size_t i = 0; i < result->series_count; i++)
        add_series(table, result->row, &result->series[i],
                   result->series[i].peer == standing.rival ? REPORT_STRONG : REPORT_PLAIN, with_spread);
    add_series(table, result->row, &result->harness, REPORT_FAINT, false);
    report_cell(table, REPORT_PLAIN, "%s",
                isnan(standing.over_rival) ? "" : report_number(ratio, standing.over_rival));
    if (standing.target != NULL)
        describe_target(target, standing.target);
    report_cell(table, REPORT_PLAIN, "%s", target);
    if (standing.verdict == VERDICT_NONE)
        report_cell(table, REPORT_PLAIN, "%s", "");
    else
        report_cell(table, standing.verdict == VERDICT_OK ? REPORT_GOOD : REPORT_BAD, "%s",
                    standing.verdict == VERDICT_OK ? "ok" : "MISS");
    report_flush(table);
}

/* JSON knows no NaN. */
static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *series_json(const struct series *series)
{
    struct spread spread = spread_of(series->values, series->count);
    json_t *object = json_object();
    json_t *rounds = json_array();

    for (size_t i = 0; i < series->count; i++)
        json_array_append_new(rounds, json_real(series->values[i]));
    json_object_set_new(object, "outcome", json_string(outcome_name(series->outcome)));
    if (spread.count != 0) {
        json_object_set_new(object, "median", json_real(spread.median));
        json_object_set_new(object, "min", json_real(spread.min));
        json_object_set_new(object, "max", json_real(spread.max));
    }
    json_object_set_new(object, "rounds", rounds);
    return object;
}

static void add_rival_json(json_t *object, const struct standing *standing)
{
    bool is_named = standing->target != NULL && standing->target->kind == TARGET_TIMES_PEER;

    json_object_set_new(object, is_named ? "target_peer" : "best_peer",
                        standing->rival != NULL ? json_string(standing->rival->name) : json_null());
    json_object_set_new(object, is_named ? "ours_over_target_peer" : "ours_over_best",
                        number_or_null(standing->over_rival));
}

json_t *results_json(const struct row_result *result)
{
    static const char *const verdicts[] = { [VERDICT_OK] = "ok", [VERDICT_MISS] = "miss" };
    struct standing standing = standing_of(result);
    json_t *object = json_object();
    json_t *peers = json_object();

    for (size_t i = 0; i < result->series_count; i++) {
        if (result->series[i].is_measured)
            json_object_set_new(peers, result->series[i].peer->name, series_json(&result->series[i]));
    }
    json_object_set_new(object, "name", json_string(result->row->name));
    json_object_set_new(object, "title", json_string(result->row->title));
    json_object_set_new(object, "unit", json_string(result->row->unit));
    json_object_set_new(object, "allocators", peers);
    if (result->harness.is_measured)
        json_object_set_new(object, "harness", series_json(&result->harness));
    add_rival_json(object, &standing);
    if (standing.target != NULL) {
        char target[TARGET_CHARS];

        describe_target(target, standing.target);
        json_object_set_new(object, "target", json_string(target));
    }
    if (standing.verdict != VERDICT_NONE)
        json_object_set_new(object, "verdict", json_string(verdicts[standing.verdict]));
    return object;
}
