/* SPDX-License-Identifier: MIT */
/* parallel.c -- churn in several threads, each with live runs of its own. */
#include "../crew.h"

struct churner {
    struct live_table table;
    struct rng rng;
    size_t pages_max;
};

static bool churn(void *state, size_t ops)
{
    struct churner *churner = state;
    struct live_table *table = &churner->table;
    const struct peer *peer = table->peer;

    for (size_t i = 0; i < ops; i++) {
        struct live_run *live = &table->runs[rng_below(&churner->rng, table->count)];
        size_t pages = 1 + rng_below(&churner->rng, churner->pages_max);

        peer->release(live->run, live->pages);
        live->run = peer->alloc(pages);
        live->pages = pages;
        if (live->run == NULL) {
            *live = table->runs[--table->count];
            return false;
        }
    }
    return true;
}

static void end_churn(void *state)
{
    struct churner *churner = state;

    while (churner->table.count != 0)
        live_table_drop(&churner->table, churner->table.count - 1);
}

static bool begin_churn(void *state, const struct workload_run *run, uint64_t seed)
{
    struct churner *churner = state;
    size_t live = run->workload->live_runs;

    churner->rng = rng_seeded(seed);
    churner->pages_max = run->workload->pages_max;
    return live_table_create(&churner->table, run->peer, live) == 0 &&
           live_table_fill(&churner->table, &churner->rng, live, churner->pages_max) &&
           churn(churner, 2 * live);
}

static const struct crew_job churn_job = { sizeof(struct churner), begin_churn, churn, end_churn };

int workload_parallel_churn(const struct workload_run *run, double *ret_values)
{
    unsigned threads = run->workload->threads;
    double ops_per_ns = crew_throughput(&churn_job, run, threads, run->budget_ns);

    if (ops_per_ns <= 0)
        return -1;
    ret_values[0] = threads / ops_per_ns;
    return 0;
}

int workload_scaling(const struct workload_run *run, double *ret_values)
{
    return crew_compare(&churn_job, run, 1, run->budget_ns, &ret_values[0]);
}

/* Longer: every thread must have had its turns on the few cores. */
int workload_oversubscribed(const struct workload_run *run, double *ret_values)
{
    return crew_compare(&churn_job, run, 2, 2 * run->budget_ns, &ret_values[0]);
}
