/* SPDX-License-Identifier: MIT */
/* crew.c -- start them together, let them work for a time, stop them together. */
#include "crew.h"

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
    const struct crew_job *job;
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

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct crew *crew = worker->crew;
    void *state = resident_array(crew->job->state_bytes);
    bool ready = state != NULL && crew->job->begin(state, crew->run, worker->seed);
    size_t ops = 0;

    if (!ready)
        atomic_store(&crew->out_of_memory, true);
    pthread_barrier_wait(&crew->gate);
    while (!atomic_load_explicit(&crew->stop, memory_order_relaxed)) {
        if (!ready || !crew->job->work(state, CHUNK_OPS)) {
            atomic_store(&crew->out_of_memory, true);
            break;
        }
        ops += CHUNK_OPS;
        atomic_store_explicit(&worker->ops, ops, memory_order_relaxed);
    }
    pthread_barrier_wait(&crew->gate);
    if (state != NULL) {
        crew->job->end(state);
        resident_array_unmap(state, crew->job->state_bytes);
    }
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

double crew_throughput(const struct crew_job *job, const struct workload_run *run, unsigned threads,
                       uint64_t budget_ns)
{
    struct crew crew = { .job = job, .run = run };
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

/* What else runs on the machine slows now the one and now the other: each is measured several times, in turn,
 * and its best counts. */
#define COMPARE_TURNS 6

int crew_compare(const struct crew_job *job, const struct workload_run *run, unsigned base_threads,
                 uint64_t budget_ns, double *ret_ratio)
{
    double best_base = 0;
    double best_many = 0;

    for (unsigned turn = 0; turn < COMPARE_TURNS; turn++) {
        double base = crew_throughput(job, run, base_threads, budget_ns);
        double many = crew_throughput(job, run, run->workload->threads, budget_ns);

        if (base <= 0 || many <= 0)
            return -1;
        best_base = fmax(best_base, base);
        best_many = fmax(best_many, many);
    }
    *ret_ratio = best_many / best_base;
    return 0;
}
