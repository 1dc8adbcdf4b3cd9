/* SPDX-License-Identifier: MIT */
/* replay_metrics.c -- what the rows of the table are, and who is best in them: less is better in all. */
#include "replay.h"

#include <math.h>
#include <string.h>

static double ns_per_event(const struct replay_cell *cell)
{
    return cell->rounds_count != 0 ? cell->ns_per_event.min : (double)NAN;
}

static double resident_ratio(const struct replay_cell *cell)
{
    return cell->peak_live_bytes > 0 ? cell->peak_resident_bytes / cell->peak_live_bytes : (double)NAN;
}

static double end_resident_bytes(const struct replay_cell *cell)
{
    return cell->end_resident_bytes;
}

static double page_faults(const struct replay_cell *cell)
{
    return cell->page_faults;
}

static double system_calls(const struct replay_cell *cell)
{
    return cell->system_calls;
}

static const struct replay_metric metrics[] = {
    { "ns per event", 1, false, ns_per_event },
    { "peak resident / peak live", 1, false, resident_ratio },
    { "resident at the end, MiB", 1048576, false, end_resident_bytes },
    { "page faults", 1, true, page_faults },
    { "system calls", 1, true, system_calls },
};

const struct replay_metric *replay_metric_at(size_t index)
{
    return index < sizeof metrics / sizeof metrics[0] ? &metrics[index] : NULL;
}

/* "null" allocates nothing: it competes with nobody. */
static bool competes(const struct peer *peer)
{
    return strcmp(peer->name, "null") != 0;
}

size_t replay_best(const struct replay *replay, const struct replay_trace *trace,
                   const struct replay_metric *metric, size_t from)
{
    size_t best = replay->peers_count;

    for (size_t i = from; i < replay->peers_count; i++) {
        double value = metric->value(&trace->cells[i]);

        if (isnan(value) || !competes(replay->peers[i]))
            continue;
        if (best == replay->peers_count || value < metric->value(&trace->cells[best]))
            best = i;
    }
    return best;
}

double replay_ratio(const struct replay *replay, const struct replay_trace *trace,
                    const struct replay_metric *metric)
{
    size_t best;

    if (replay->peers_count == 0 || strcmp(replay->peers[0]->name, "pageheap") != 0)
        return (double)NAN;
    best = replay_best(replay, trace, metric, 1);
    if (best == replay->peers_count || metric->value(&trace->cells[best]) <= 0)
        return (double)NAN;
    return metric->value(&trace->cells[0]) / metric->value(&trace->cells[best]);
}
