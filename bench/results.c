/* SPDX-License-Identifier: MIT */
/* results.c -- see results.h. */
#include "results.h"

#include <math.h>
#include <string.h>

bool row_is_time(const struct workload_row *row)
{
    return strcmp(row->unit, "ns") == 0;
}

double result_value(const struct workload_row *row, const struct spread *spread)
{
    return row_is_time(row) ? spread->min : spread->median;
}

static bool is_about_rival(const struct target *target)
{
    return target == NULL || target->kind == TARGET_TIMES_BEST || target->kind == TARGET_TIMES_PEER;
}

static enum verdict judge(const struct target *target, const struct standing *standing)
{
    double measured = is_about_rival(target) ? standing->over_rival : standing->ours;

    if (isnan(measured))
        return VERDICT_NONE;
    if (target->kind == TARGET_AT_LEAST)
        return measured >= target->limit ? VERDICT_OK : VERDICT_MISS;
    return measured <= target->limit ? VERDICT_OK : VERDICT_MISS;
}

bool result_may_rival(const struct workload_row *row, const struct peer *peer)
{
    const struct target *target = target_for(row->name);

    if (target != NULL && target->kind == TARGET_TIMES_PEER)
        return strcmp(peer->name, target->peer) == 0;
    return peer->role == PEER_OTHER;
}

/* True if such a peer's value takes the place of the rival's so far. */
static bool is_better(const struct target *target, double value, double rival)
{
    if (isnan(rival))
        return true;
    return target != NULL && target->kind == TARGET_AT_LEAST ? value > rival : value < rival;
}

struct standing standing_of(const struct row_result *result)
{
    struct standing standing = { .target = target_for(result->row->name), .ours = NAN, .over_rival = NAN };
    double rival = NAN;

    for (size_t i = 0; i < result->series_count; i++) {
        const struct series *series = &result->series[i];
        struct spread spread = spread_of(series->values, series->count);
        double value = result_value(result->row, &spread);

        if (series->count == 0)
            continue;
        if (series->peer->role == PEER_OURS) {
            standing.ours = value;
        } else if (result_may_rival(result->row, series->peer) && is_better(standing.target, value, rival)) {
            rival = value;
            standing.rival = series->peer;
        }
    }
    /* Against a fixed target the others are company, not the measure. */
    if (rival > 0 && is_about_rival(standing.target))
        standing.over_rival = standing.ours / rival;
    if (standing.target != NULL)
        standing.verdict = judge(standing.target, &standing);
    return standing;
}
