/* SPDX-License-Identifier: MIT */
/* serial.c -- one thread: pairs, bulks, and random replacement at a constant number of live runs. */
#include "../harness.h"
#include "../peers/peers_all.h"
#include "../workload.h"

#include <math.h>

/* Sizes are drawn from a table where computing one would cost as much as what is measured. */
#define MIX_SIZES 4096

/* How long before its turn a run is chosen. */
#define FORESEEN_OPS 16

struct serial {
    const struct peer *peer;
    struct live_table table;
    struct rng rng;
    size_t pages_max;
    uint16_t *mix; /* MIX_SIZES sizes in pages; NULL if sizes are uniform */
};

/* The calls are read into locals: what is measured must not depend on
 * what the compiler knows of the structs. */
static size_t step_pair(void *state, size_t ops)
{
    const struct serial *serial = state;
    void *(*alloc)(size_t) = serial->peer->alloc;
    void (*release)(void *, size_t) = serial->peer->release;
    size_t pages = serial->pages_max;

    for (size_t i = 0; i < ops; i++) {
        void *run = alloc(pages);

        if (run == NULL)
            return 0;
        release(run, pages);
    }
    return ops;
}

int workload_pair(const struct workload_run *run, double *ret_values)
{
    struct serial serial = { .peer = run->peer, .pages_max = run->workload->pages_max };

    ret_values[0] = measure_ns_per_op(step_pair, &serial, run->budget_ns, 0);
    return isnan(ret_values[0]) ? -1 : 0;
}

/* Allocate all, then free all in the same order; one alloc and its free are one operation. */
static size_t step_bulk(void *state, size_t ops)
{
    struct serial *serial = state;
    struct live_run *runs = serial->table.runs;
    void *(*alloc)(size_t) = serial->peer->alloc;
    void (*release)(void *, size_t) = serial->peer->release;
    size_t count = serial->table.capacity;
    size_t pages = serial->pages_max;
    size_t done_ops = 0;

    do {
        for (size_t i = 0; i < count; i++) {
            runs[i].run = alloc(pages);
            if (runs[i].run == NULL)
                return 0;
        }
        for (size_t i = 0; i < count; i++)
            release(runs[i].run, pages);
        done_ops += count;
    } while (done_ops + count <= ops);
    return done_ops;
}

int workload_bulk(const struct workload_run *run, double *ret_values)
{
    struct serial serial = { .peer = run->peer, .pages_max = run->workload->pages_max };

    if (live_table_create(&serial.table, run->peer, run->workload->live_runs) != 0)
        return -1;
    ret_values[0] = measure_ns_per_op(step_bulk, &serial, run->budget_ns, 0);
    return isnan(ret_values[0]) ? -1 : 0;
}

/* Free a random live run, allocate one of random size in its place.  Always inline: each caller knows whether
 * sizes come from the table, so the loop does not ask. */
__attribute__((always_inline)) static inline size_t churn(struct serial *serial, size_t ops, bool is_mixed)
{
    struct live_run *runs = serial->table.runs;
    void *(*alloc)(size_t) = serial->peer->alloc;
    void (*release)(void *, size_t) = serial->peer->release;
    size_t count = serial->table.count;
    size_t pages_max = serial->pages_max;
    const uint16_t *mix = serial->mix;
    struct rng rng = serial->rng;

    for (size_t i = 0; i < ops; i++) {
        struct live_run *live = &runs[rng_below(&rng, count)];
        size_t pages = is_mixed ? mix[rng_below(&rng, MIX_SIZES)] : 1 + rng_below(&rng, pages_max);

        release(live->run, live->pages);
        live->run = alloc(pages);
        live->pages = pages;
        if (live->run == NULL)
            return 0;
    }
    serial->rng = rng;
    return ops;
}

static size_t step_churn(void *state, size_t ops)
{
    return churn(state, ops, false);
}

static size_t step_mixed_churn(void *state, size_t ops)
{
    return churn(state, ops, true);
}

/* Random replacement of runs that are chosen well before their turn, so that the table's line has come when
 * it is needed: with a million runs the wait for that line would be most of what is measured, for an
 * allocator that does nothing too. */
static size_t step_foreseen_churn(void *state, size_t ops)
{
    struct serial *serial = state;
    struct live_run *runs = serial->table.runs;
    void *(*alloc)(size_t) = serial->peer->alloc;
    void (*release)(void *, size_t) = serial->peer->release;
    size_t count = serial->table.count;
    size_t pages_max = serial->pages_max;
    size_t chosen[FORESEEN_OPS];

    for (size_t i = 0; i < FORESEEN_OPS; i++)
        chosen[i] = rng_below(&serial->rng, count);
    for (size_t i = 0; i < ops; i++) {
        struct live_run *live = &runs[chosen[i % FORESEEN_OPS]];
        size_t pages = 1 + rng_below(&serial->rng, pages_max);

        chosen[i % FORESEEN_OPS] = rng_below(&serial->rng, count);
        __builtin_prefetch(&runs[chosen[i % FORESEEN_OPS]], 1);
        release(live->run, live->pages);
        live->run = alloc(pages);
        live->pages = pages;
        if (live->run == NULL)
            return 0;
    }
    return ops;
}

int workload_churn(const struct workload_run *run, double *ret_values)
{
    struct serial serial = { .peer = run->peer,
                             .rng = rng_seeded(run->seed),
                             .pages_max = run->workload->pages_max };
    size_t live_runs = run->workload->live_runs;

    if (live_table_create(&serial.table, run->peer, live_runs) != 0)
        return -1;
    if (!live_table_fill(&serial.table, &serial.rng, live_runs, serial.pages_max))
        return -1;
    /* Only after each run was replaced about twice is the order of the first fill forgotten. */
    ret_values[0] = measure_ns_per_op(step_churn, &serial, run->budget_ns, 2 * live_runs);
    return isnan(ret_values[0]) ? -1 : 0;
}

/* As real programs ask: one run in n has n pages or more. */
int workload_mixed_churn(const struct workload_run *run, double *ret_values)
{
    struct serial serial = { .peer = run->peer, .rng = rng_seeded(run->seed) };
    size_t live_runs = run->workload->live_runs;
    size_t pages_max = run->workload->pages_max;

    serial.mix = resident_array(MIX_SIZES * sizeof *serial.mix);
    if (serial.mix == NULL || live_table_create(&serial.table, run->peer, live_runs) != 0)
        return -1;
    for (size_t i = 0; i < MIX_SIZES; i++)
        serial.mix[i] = (uint16_t)(pages_max / (1 + rng_below(&serial.rng, pages_max)));
    while (serial.table.count < live_runs) {
        if (!live_table_add(&serial.table, serial.mix[rng_below(&serial.rng, MIX_SIZES)]))
            return -1;
    }
    ret_values[0] = measure_ns_per_op(step_mixed_churn, &serial, run->budget_ns, 2 * live_runs);
    return isnan(ret_values[0]) ? -1 : 0;
}

/* The heap's records per live page; NaN for other peers. */
static double metadata_bytes_per_page(const struct peer *peer, size_t live_pages)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };

    if (peer != &peer_pageheap || pageheap_get_stats(peer_pageheap_heap(), &stats) != 0)
        return NAN;
    return (double)stats.metadata_bytes / (double)live_pages;
}

/* Churn with few live runs and, in the same process, with very many.  The second value is what the records of
 * so many runs take. */
int workload_growth(const struct workload_run *run, double *ret_values)
{
    struct serial serial = { .peer = run->peer,
                             .rng = rng_seeded(run->seed),
                             .pages_max = run->workload->pages_max };
    size_t few = 1000;
    size_t many = run->workload->live_runs;
    double few_ns;
    double many_ns;
    size_t live_pages = 0;

    if (live_table_create(&serial.table, run->peer, many) != 0)
        return -1;
    if (!live_table_fill(&serial.table, &serial.rng, few, serial.pages_max))
        return -1;
    few_ns = measure_ns_per_op(step_foreseen_churn, &serial, run->budget_ns, 2 * few);
    if (isnan(few_ns) || !live_table_fill(&serial.table, &serial.rng, many, serial.pages_max))
        return -1;
    many_ns = measure_ns_per_op(step_foreseen_churn, &serial, run->budget_ns, 2 * many);
    for (size_t i = 0; i < serial.table.count; i++)
        live_pages += serial.table.runs[i].pages;
    ret_values[0] = many_ns / few_ns;
    ret_values[1] = metadata_bytes_per_page(run->peer, live_pages);
    return isnan(many_ns) ? -1 : 0;
}
