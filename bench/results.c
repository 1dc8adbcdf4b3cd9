/* SPDX-License-Identifier: MIT */
/* results.c -- see results.h. */
#include "results.h"

#include "peers/peers_all.h"

#include <math.h>
#include <string.h>

double result_value(const struct workload_row *row, const struct spread *spread)
{
    bool is_time = strcmp(row->unit, "ns") == 0;

    return is_time ? spread->min : spread->median;
}

static enum verdict judge(const struct target *target, const struct standing *standing)
{
    double measured = target->kind == TARGET_TIMES_BEST ? standing->over_best : standing->ours;

    if (isnan(measured))
        return VERDICT_NONE;
    if (target->kind == TARGET_AT_LEAST)
        return measured >= target->limit ? VERDICT_OK : VERDICT_MISS;
    return measured <= target->limit ? VERDICT_OK : VERDICT_MISS;
}

struct standing standing_of(const struct row_result *result)
{
    struct standing standing = { .target = target_for(result->row->name), .ours = NAN, .over_best = NAN };
    bool less_is_better = standing.target == NULL || standing.target->kind != TARGET_AT_LEAST;
    double best = NAN;

    for (size_t i = 0; i < result->series_count; i++) {
        const struct series *series = &result->series[i];
        struct spread spread = spread_of(series->values, series->count);
        double value = result_value(result->row, &spread);

        if (series->count == 0)
            continue;
        if (series->peer == &peer_pageheap) {
            standing.ours = value;
        } else if (isnan(best) || (less_is_better ? value < best : value > best)) {
            best = value;
            standing.best = series->peer;
        }
    }
    /* Against a fixed target the others are company, not the measure. */
    if (best > 0 && (standing.target == NULL || standing.target->kind == TARGET_TIMES_BEST))
        standing.over_best = standing.ours / best;
    if (standing.target != NULL)
        standing.verdict = judge(standing.target, &standing);
    return standing;
}
