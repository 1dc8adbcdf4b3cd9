/* SPDX-License-Identifier: MIT */
/* replay_print.c -- the table and the JSON of a replay; the schema is in docs/tool.md. */
#include "replay.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

/* Digits of a count in groups of three: "1,234,567". */
static const char *grouped(char text[REPORT_NUMBER_CHARS], uint64_t number)
{
    char digits[REPORT_NUMBER_CHARS];
    size_t count = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number);
    char *out = text;

    for (size_t i = 0; i < count; i++) {
        if (i != 0 && (count - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

static void print_cell(struct report_table *rows, const struct replay_metric *metric, double value,
                       bool is_best)
{
    char text[REPORT_NUMBER_CHARS];

    if (metric->is_count && !isnan(value))
        grouped(text, (uint64_t)value);
    else
        report_number(text, value / metric->unit);
    report_cell(rows, is_best ? REPORT_GOOD : REPORT_PLAIN, "%s%s", text, is_best ? "*" : "");
}

static void print_row(struct report_table *rows, const struct replay *replay,
                      const struct replay_trace *trace, const struct replay_metric *metric)
{
    size_t best = replay_best(replay, trace, metric, 0);
    double ratio = replay_ratio(replay, trace, metric);
    char text[REPORT_NUMBER_CHARS];

    report_cell(rows, REPORT_PLAIN, "%s", trace->name);
    for (size_t i = 0; i < replay->peers_count; i++) {
        double value = metric->value(&trace->cells[i]);
        bool is_best = best != replay->peers_count && value <= metric->value(&trace->cells[best]);

        print_cell(rows, metric, value, is_best && strcmp(replay->peers[i]->name, "null") != 0);
    }
    report_cell(rows, ratio <= 1 ? REPORT_GOOD : REPORT_PLAIN, "%s", report_number(text, ratio));
}

static void print_traces(const struct replay *replay)
{
    for (size_t i = 0; i < replay->traces_count; i++) {
        const struct trace_info *info = &replay->traces[i].trace.info;
        char events[REPORT_NUMBER_CHARS], peak[REPORT_NUMBER_CHARS], end[REPORT_NUMBER_CHARS];

        printf("%s: %s event%s, %" PRIu64 " thread%s, peak live %s, live at the end %s\n",
               replay->traces[i].name, grouped(events, info->event_count), info->event_count == 1 ? "" : "s",
               info->thread_count, info->thread_count == 1 ? "" : "s",
               report_bytes(peak, (double)(info->peak_live_pages * REPLAY_PAGE_BYTES)),
               report_bytes(end, (double)(info->end_live_pages * REPLAY_PAGE_BYTES)));
    }
}

void replay_print_table(const struct replay *replay)
{
    struct report_table *rows = report_create(stdout);
    const struct replay_metric *metric;

    print_traces(replay);
    printf("\n");
    report_column(rows, "", REPORT_LEFT, 12);
    for (size_t i = 0; i < replay->peers_count; i++)
        report_column(rows, replay->peers[i]->name, REPORT_RIGHT, 7);
    report_column(rows, "ours/best", REPORT_RIGHT, 9);
    for (size_t m = 0; (metric = replay_metric_at(m)) != NULL; m++) {
        report_cell(rows, REPORT_STRONG, "%s", metric->title);
        report_end_row(rows);
        for (size_t i = 0; i < replay->traces_count; i++)
            print_row(rows, replay, &replay->traces[i], metric);
    }
    report_destroy(rows);
    printf("\n* best of the row.  ours/best: pageheap over the best of the others; below 1 is better.\n");
    for (size_t i = 0; i < replay->notes_count; i++)
        printf("%s\n", replay->notes[i].text);
}

/* ---- JSON -------------------------------------------------------------------------------- */

/* JSON has no NaN: what was not measured is null. */
static json_t *json_measured(double value)
{
    if (isnan(value))
        return json_null();
    return value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *json_spread(const struct spread *spread, const double *rounds)
{
    json_t *values = json_array();

    if (spread->count == 0) {
        json_decref(values);
        return json_null();
    }
    for (size_t i = 0; rounds != NULL && i < spread->count; i++)
        json_array_append_new(values, json_real(rounds[i]));
    if (rounds == NULL) {
        json_decref(values);
        return json_pack("{s:f, s:f, s:f}", "median", spread->median, "min", spread->min, "max", spread->max);
    }
    return json_pack("{s:f, s:f, s:f, s:o}", "median", spread->median, "min", spread->min, "max", spread->max,
                     "rounds", values);
}

static json_t *json_cell(const struct peer *peer, const struct replay_cell *cell)
{
    double ratio =
        cell->peak_live_bytes > 0 ? cell->peak_resident_bytes / cell->peak_live_bytes : (double)NAN;

    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "allocator", peer->name,
                     "ns_per_event", json_spread(&cell->ns_per_event, cell->rounds_ns), "resident_ratio",
                     json_measured(ratio), "peak_live_bytes", json_measured(cell->peak_live_bytes),
                     "peak_resident_bytes", json_measured(cell->peak_resident_bytes), "end_resident_bytes",
                     json_measured(cell->end_resident_bytes), "page_faults", json_measured(cell->page_faults),
                     "system_calls", json_measured(cell->system_calls), "system_calls_is_estimate",
                     (int)cell->is_calls_estimate, "failed_allocs", json_measured(cell->failed_allocs));
}

static json_t *json_trace(const struct replay *replay, const struct replay_trace *trace)
{
    const struct trace_info *info = &trace->trace.info;
    json_t *results = json_array();

    for (size_t i = 0; i < replay->peers_count; i++)
        json_array_append_new(results, json_cell(replay->peers[i], &trace->cells[i]));
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "name", trace->name,
                     "file", trace->path, "page_size", (json_int_t)info->page_bytes, "events",
                     (json_int_t)info->event_count, "allocs", (json_int_t)info->alloc_count, "frees",
                     (json_int_t)info->free_count, "orphan_frees", (json_int_t)info->orphan_count, "threads",
                     (json_int_t)info->thread_count, "peak_live_bytes",
                     (json_int_t)(info->peak_live_pages * REPLAY_PAGE_BYTES), "peak_live_runs",
                     (json_int_t)info->peak_live_runs, "end_live_bytes",
                     (json_int_t)(info->end_live_pages * REPLAY_PAGE_BYTES), "harness_ns_per_event",
                     json_spread(&trace->harness_ns, NULL), "results", results);
}

int replay_print_json(const struct replay *replay)
{
    json_t *traces = json_array(), *notes = json_array(), *document;
    int result;

    for (size_t i = 0; i < replay->traces_count; i++)
        json_array_append_new(traces, json_trace(replay, &replay->traces[i]));
    for (size_t i = 0; i < replay->notes_count; i++)
        json_array_append_new(notes, json_string(replay->notes[i].text));
    document = json_pack("{s:s, s:i, s:b, s:o, s:o}", "schema", "pageheap-replay/1", "rounds",
                         (int)replay->options->rounds, "with_threads", (int)replay->options->with_threads,
                         "traces", traces, "notes", notes);
    result = document == NULL || json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0
                 ? -1
                 : 0;
    printf("\n");
    json_decref(document);
    return result;
}
