/* SPDX-License-Identifier: MIT */
/* exec_serial.c -- nanoseconds on code memory: pairs, churn, and making functions that run. */
#include "../exec_harness.h"
#include "../workload.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Many rows, many peers, and operations of which a millisecond holds hundreds: a part of the time will do. */
#define BUDGET_PART 6

struct serial {
    const struct exec_peer *peer;
    struct exec_table table;
    struct rng rng;
    size_t bytes;
    struct exec_span span; /* the live one that is written */
    unsigned char *code;   /* `bytes` to write */
    uint16_t value;        /* what the next function returns */
};

static double measure(step_fn *step, struct serial *serial, const struct workload_run *run, size_t warm_ops)
{
    return measure_ns_per_op(step, serial, run->budget_ns / BUDGET_PART, warm_ops);
}

/* As on plain pages, the calls are read into locals: what is measured must not depend on what the compiler
 * knows of the structs. */
static size_t step_pair(void *state, size_t ops)
{
    const struct serial *serial = state;
    bool (*alloc)(size_t, struct exec_span *) = serial->peer->alloc;
    void (*release)(const struct exec_span *) = serial->peer->release;
    size_t bytes = serial->bytes;

    for (size_t i = 0; i < ops; i++) {
        struct exec_span span;

        if (!alloc(bytes, &span))
            return 0;
        release(&span);
    }
    return ops;
}

int workload_exec_pair(const struct workload_run *run, double *ret_values)
{
    struct serial serial = { .peer = exec_peer_of(run->peer), .bytes = run->workload->bytes_max };

    if (!exec_peer_can(serial.peer, serial.bytes, false))
        return 0;
    ret_values[0] = measure(step_pair, &serial, run, 0);
    return isnan(ret_values[0]) ? -1 : 0;
}

/* ---- churn ------------------------------------------------------------------------------- */

#define CHURN_BYTES_MIN 64

static size_t step_churn(void *state, size_t ops)
{
    struct serial *serial = state;
    struct exec_span *spans = serial->table.spans;
    bool (*alloc)(size_t, struct exec_span *) = serial->peer->alloc;
    void (*release)(const struct exec_span *) = serial->peer->release;
    size_t count = serial->table.count;
    size_t bytes_max = serial->bytes;
    struct rng rng = serial->rng;

    for (size_t i = 0; i < ops; i++) {
        struct exec_span *live = &spans[rng_below(&rng, count)];

        release(live);
        if (!alloc(rng_between(&rng, CHURN_BYTES_MIN, bytes_max), live))
            return 0;
    }
    serial->rng = rng;
    return ops;
}

int workload_exec_churn(const struct workload_run *run, double *ret_values)
{
    struct serial serial = { .peer = exec_peer_of(run->peer),
                             .rng = rng_seeded(run->seed),
                             .bytes = run->workload->bytes_max };
    size_t live = run->workload->live_runs;

    if (!exec_peer_can(serial.peer, serial.bytes, false))
        return 0;
    if (exec_table_create(&serial.table, serial.peer, live) != 0)
        return -1;
    while (serial.table.count < live) {
        if (!exec_table_add(&serial.table, rng_between(&serial.rng, CHURN_BYTES_MIN, serial.bytes)))
            return -1;
    }
    ret_values[0] = measure(step_churn, &serial, run, 2 * live);
    return isnan(ret_values[0]) ? -1 : 0;
}

/* ---- writing and running ----------------------------------------------------------------- */

static size_t step_publish(void *state, size_t ops)
{
    struct serial *serial = state;
    bool (*publish)(struct exec_span *, const void *, size_t) = serial->peer->publish;

    for (size_t i = 0; i < ops; i++) {
        if (!publish(&serial->span, serial->code, serial->bytes))
            return 0;
    }
    return ops;
}

/* Publish the next function in `span` and call it.  A process that runs stale code must not get a number. */
static bool make_and_call(struct serial *serial, struct exec_span *span)
{
    serial->value++;
    exec_function_make(serial->value, serial->code);
    if (!serial->peer->publish(span, serial->code, serial->bytes))
        return false;
    if (exec_function_call(span->rx) != serial->value)
        abort();
    return true;
}

static size_t step_call(void *state, size_t ops)
{
    struct serial *serial = state;

    for (size_t i = 0; i < ops; i++) {
        if (!make_and_call(serial, &serial->span))
            return 0;
    }
    return ops;
}

static size_t step_life(void *state, size_t ops)
{
    struct serial *serial = state;

    for (size_t i = 0; i < ops; i++) {
        struct exec_span span;

        if (!serial->peer->alloc(serial->bytes, &span) || !make_and_call(serial, &span))
            return 0;
        serial->peer->release(&span);
    }
    return ops;
}

/* Fill in what the rows below share.  False if the row is not for this peer or this processor. */
static bool prepare(struct serial *serial, const struct workload_run *run)
{
    *serial = (struct serial){ .peer = exec_peer_of(run->peer), .bytes = run->workload->bytes_max };
    serial->code = resident_array(serial->bytes);
    if (serial->code == NULL)
        return false;
    for (size_t at = 0; at + EXEC_FUNCTION_BYTES <= serial->bytes; at += EXEC_FUNCTION_BYTES) {
        if (!exec_function_make(0, serial->code + at))
            return false;
    }
    return exec_peer_can(serial->peer, serial->bytes, true);
}

static int write_in_live_span(const struct workload_run *run, step_fn *step, double *ret_values)
{
    struct serial serial;

    if (!prepare(&serial, run))
        return 0;
    if (!serial.peer->alloc(serial.bytes, &serial.span))
        return -1;
    ret_values[0] = measure(step, &serial, run, 0);
    return isnan(ret_values[0]) ? -1 : 0;
}

int workload_exec_publish(const struct workload_run *run, double *ret_values)
{
    return write_in_live_span(run, step_publish, ret_values);
}

int workload_exec_call(const struct workload_run *run, double *ret_values)
{
    return write_in_live_span(run, step_call, ret_values);
}

int workload_exec_life(const struct workload_run *run, double *ret_values)
{
    struct serial serial;

    if (!prepare(&serial, run))
        return 0;
    ret_values[0] = measure(step_life, &serial, run, 0);
    return isnan(ret_values[0]) ? -1 : 0;
}
