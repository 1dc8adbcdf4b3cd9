/* SPDX-License-Identifier: MIT */
/* parallel.c -- churn in several threads, each with live runs of its own. */
#include "../harness.h"
#include "../workload.h"

#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_OPS          256
#define THREAD_STACK_BYTES (256 << 10)
#define LINE_BYTES         64

/* The time is cut into so many windows, of which the best counts: on a shared machine two threads are seldom
 * left alone both at once for long. */
#define WINDOWS 6

/* One group of threads that start together. */
struct crew {
    const struct workload_run *run;
    pthread_barrier_t gate; /* passed together when all are ready, and when all have stopped */
    atomic_bool stop;
    atomic_bool out_of_memory;
};

struct worker {
    struct crew *crew;
    pthread_t thread;
    uint64_t seed;
    alignas(LINE_BYTES) atomic_size_t ops; /* since the start */
};

static bool churn(struct live_table *table, struct rng *rng, size_t pages_max, size_t ops)
{
    const struct peer *peer = table->peer;

    for (size_t i = 0; i < ops; i++) {
        struct live_run *live = &table->runs[rng_below(rng, table->count)];
        size_t pages = 1 + rng_below(rng, pages_max);

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

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct crew *crew = worker->crew;
    size_t pages_max = crew->run->workload->pages_max;
    size_t live_runs = crew->run->workload->live_runs;
    struct rng rng = rng_seeded(worker->seed);
    struct live_table table = { .peer = crew->run->peer };
    bool ready = live_table_create(&table, crew->run->peer, live_runs) == 0 &&
                 live_table_fill(&table, &rng, live_runs, pages_max) &&
                 churn(&table, &rng, pages_max, 2 * live_runs);
    size_t ops = 0;

    if (!ready)
        atomic_store(&crew->out_of_memory, true);
    pthread_barrier_wait(&crew->gate);
    while (!atomic_load_explicit(&crew->stop, memory_order_relaxed)) {
        if (!ready || !churn(&table, &rng, pages_max, CHUNK_OPS)) {
            atomic_store(&crew->out_of_memory, true);
            break;
        }
        ops += CHUNK_OPS;
        atomic_store_explicit(&worker->ops, ops, memory_order_relaxed);
    }
    pthread_barrier_wait(&crew->gate);
    while (table.count != 0)
        live_table_drop(&table, table.count - 1);
    return NULL;
}

static int start_workers(struct crew *crew, struct worker *workers, unsigned threads)
{
    pthread_attr_t attributes;
    int code = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    for (unsigned i = 0; i < threads && code == 0; i++) {
        workers[i].crew = crew;
        workers[i].seed = crew->run->seed * 1000 + i;
        code = pthread_create(&workers[i].thread, &attributes, work, &workers[i]);
    }
    pthread_attr_destroy(&attributes);
    return code;
}

static size_t ops_of(const struct worker *workers, unsigned threads)
{
    size_t ops = 0;

    for (unsigned i = 0; i < threads; i++)
        ops += atomic_load_explicit(&workers[i].ops, memory_order_relaxed);
    return ops;
}

/* Operations per nanosecond of all threads together in the best of the windows. */
static double best_window(const struct worker *workers, unsigned threads, uint64_t budget_ns)
{
    double best = 0;
    uint64_t start_ns = clock_now_ns();
    size_t start_ops = ops_of(workers, threads);

    for (unsigned window = 0; window < WINDOWS; window++) {
        clock_sleep_ns(budget_ns / WINDOWS);

        uint64_t now_ns = clock_now_ns();
        size_t now_ops = ops_of(workers, threads);

        best = fmax(best, (double)(now_ops - start_ops) / (double)(now_ns - start_ns));
        start_ns = now_ns;
        start_ops = now_ops;
    }
    return best;
}

/* Operations per nanosecond of all threads together; 0 if memory ran out. */
static double throughput(const struct workload_run *run, unsigned threads, uint64_t budget_ns)
{
    struct crew crew = { .run = run };
    struct worker *workers = aligned_alloc(LINE_BYTES, threads * sizeof *workers);
    double best;

    if (workers == NULL || pthread_barrier_init(&crew.gate, NULL, threads + 1) != 0)
        return 0;
    memset(workers, 0, threads * sizeof *workers);
    /* Without all of its threads the crew would wait for ever; the process ends and takes them with it. */
    if (start_workers(&crew, workers, threads) != 0)
        return 0;
    pthread_barrier_wait(&crew.gate);
    best = best_window(workers, threads, budget_ns);
    atomic_store_explicit(&crew.stop, true, memory_order_relaxed);
    pthread_barrier_wait(&crew.gate);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&crew.gate);
    free(workers);
    return atomic_load(&crew.out_of_memory) ? 0 : best;
}

int workload_parallel_churn(const struct workload_run *run, double *ret_values)
{
    unsigned threads = run->workload->threads;
    double ops_per_ns = throughput(run, threads, run->budget_ns);

    if (ops_per_ns <= 0)
        return -1;
    ret_values[0] = threads / ops_per_ns;
    return 0;
}

/* What else runs on the machine slows now the one and now the other: each is measured several times, in turn,
 * and its best counts. */
#define COMPARE_TURNS 6

static int compare(const struct workload_run *run, unsigned base_threads, uint64_t budget_ns,
                   double *ret_ratio)
{
    double best_base = 0;
    double best_many = 0;

    for (unsigned turn = 0; turn < COMPARE_TURNS; turn++) {
        double base = throughput(run, base_threads, budget_ns);
        double many = throughput(run, run->workload->threads, budget_ns);

        if (base <= 0 || many <= 0)
            return -1;
        best_base = fmax(best_base, base);
        best_many = fmax(best_many, many);
    }
    *ret_ratio = best_many / best_base;
    return 0;
}

int workload_scaling(const struct workload_run *run, double *ret_values)
{
    return compare(run, 1, run->budget_ns, &ret_values[0]);
}

/* Longer: every thread must have had its turns on the few cores. */
int workload_oversubscribed(const struct workload_run *run, double *ret_values)
{
    return compare(run, 2, 2 * run->budget_ns, &ret_values[0]);
}
