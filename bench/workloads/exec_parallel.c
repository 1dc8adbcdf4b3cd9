/* SPDX-License-Identifier: MIT */
/* exec_parallel.c -- churn of code memory in several threads, each with live spans of its own. */
#include "../crew.h"
#include "../exec_harness.h"

#define CHURN_BYTES_MIN 64

struct churner {
    struct exec_table table;
    struct rng rng;
    size_t bytes_max;
};

static bool churn(void *state, size_t ops)
{
    struct churner *churner = state;
    struct exec_table *table = &churner->table;

    for (size_t i = 0; i < ops; i++) {
        struct exec_span *live = &table->spans[rng_below(&churner->rng, table->count)];

        table->peer->release(live);
        if (!table->peer->alloc(rng_between(&churner->rng, CHURN_BYTES_MIN, churner->bytes_max), live)) {
            *live = table->spans[--table->count];
            return false;
        }
    }
    return true;
}

static void end_churn(void *state)
{
    struct churner *churner = state;

    while (churner->table.count != 0)
        exec_table_drop(&churner->table, churner->table.count - 1);
}

static bool begin_churn(void *state, const struct workload_run *run, uint64_t seed)
{
    struct churner *churner = state;
    size_t live = run->workload->live_runs;

    churner->rng = rng_seeded(seed);
    churner->bytes_max = run->workload->bytes_max;
    bool is_ready = exec_table_create(&churner->table, exec_peer_of(run->peer), live) == 0;
    while (is_ready && churner->table.count < live)
        is_ready =
            exec_table_add(&churner->table, rng_between(&churner->rng, CHURN_BYTES_MIN, churner->bytes_max));
    return is_ready && churn(churner, 2 * live);
}

int workload_exec_scaling(const struct workload_run *run, double *ret_values)
{
    static const struct crew_job job = { sizeof(struct churner), begin_churn, churn, end_churn };

    if (!exec_peer_can(exec_peer_of(run->peer), run->workload->bytes_max, false))
        return 0;
    return crew_compare(&job, run, 1, run->budget_ns, &ret_values[0]);
}
