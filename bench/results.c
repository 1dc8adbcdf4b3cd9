/* SPDX-License-Identifier: MIT */
/* results.c -- see results.h. */
#include "results.h"

#include <math.h>
#include <string.h>

double result_value(const struct workload_row *row, const struct spread *spread)
{
    bool is_time = strcmp(row->unit, "ns") == 0;

    return is_time ? spread->min : spread->median;
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

/* True if this peer, with this value, takes the place of the rival so far. */
static bool is_rival(const struct target *target, const struct peer *peer, double value, double rival)
{
    if (peer->role != PEER_OTHER)
        return false;
    if (target != NULL && target->kind == TARGET_TIMES_PEER)
        return strcmp(peer->name, target->peer) == 0;
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
        } else if (is_rival(standing.target, series->peer, value, rival)) {
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
