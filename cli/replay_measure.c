/* SPDX-License-Identifier: MIT */
/* replay_measure.c -- which passes run when.
 *
 * Timing passes run alone, in rounds: peer A, B, C, then A, B, C again, so that a busy moment of the machine
 * hits all of them.  The other passes count, they do not time, and half of them mostly wait: those of one
 * trace run side by side, two for each processor if they fit into memory.
 */
#include "replay.h"

#include "pass.h"
#include "progress.h"

#include "bench/harness.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX        8
#define CALLS_BUDGET_NS (2 * NS_PER_SECOND)

enum job_kind { JOB_MEMORY, JOB_CALLS, JOB_KINDS };

struct job {
    enum job_kind kind;
    size_t peer_index;
    struct pass pass;
    struct worker worker;
    bool is_running;
};

static const char *const job_names[JOB_KINDS] = { "memory", "system calls" };
static worker_fn *const job_functions[JOB_KINDS] = { pass_memory, pass_calls };

void replay_add_note(struct replay *replay, const char *format, ...)
{
    va_list arguments;

    if (replay->notes_count == REPLAY_NOTES_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(replay->notes[replay->notes_count].text, sizeof replay->notes[0].text, format, arguments);
    va_end(arguments);
    replay->notes_count++;
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void announce(struct progress *progress, const struct replay_trace *trace, const struct peer *peer,
                     const char *what, bool is_step)
{
    char text[128];

    snprintf(text, sizeof text, "%s: %s, %s", trace->name, peer->name, what);
    if (is_step)
        progress_step(progress, text);
    else
        progress_stay(progress, text);
}

static void note_failure(struct replay *replay, const struct replay_trace *trace, const struct peer *peer,
                         const char *what, const char *reason)
{
    replay->has_failures = true;
    replay_add_note(replay, "%s, %s: the %s pass %s", trace->name, peer->name, what, reason);
}

/* ---- timing ------------------------------------------------------------------------------ */

static void note_failed_allocs(struct replay *replay, const struct replay_trace *trace,
                               const struct peer *peer, double failed_allocs)
{
    if (failed_allocs > 0)
        replay_add_note(replay, "%s, %s: %.0f allocs failed", trace->name, peer->name, failed_allocs);
}

/* NaN if the pass failed. */
static double run_timing(struct replay *replay, const struct replay_trace *trace, const struct peer *peer,
                         double *ret_failed_allocs)
{
    struct pass pass = { peer, &trace->trace, replay->options->budget_ms * NS_PER_MS,
                         replay->options->with_threads };
    char reason[WORKER_REASON_CHARS] = "could not be started";
    struct worker worker;
    json_t *result = worker_start(&worker, pass_timing, &pass) == 0 ? worker_finish(&worker, reason) : NULL;
    double ns = number_of(result, "ns_per_event");

    *ret_failed_allocs = number_of(result, "failed_allocs") / number_of(result, "loops");
    if (result == NULL)
        note_failure(replay, trace, peer, "timing", reason);
    json_decref(result);
    return ns;
}

static void time_peer(struct replay *replay, struct replay_trace *trace, size_t peer_index)
{
    struct replay_cell *cell = &trace->cells[peer_index];
    const struct peer *peer = replay->peers[peer_index];
    double failed_allocs;
    double ns = run_timing(replay, trace, peer, &failed_allocs);

    /* The memory pass has told already, if there was one. */
    if (isnan(cell->failed_allocs)) {
        cell->failed_allocs = failed_allocs;
        note_failed_allocs(replay, trace, peer, failed_allocs);
    }
    if (!isnan(ns))
        cell->rounds_ns[cell->rounds_count++] = ns;
}

/* Not for who failed in a round, or has left one out already: who is far from the best does not come near. */
static bool wants_round(const struct replay *replay, const struct replay_trace *trace, unsigned done,
                        bool *ret_takes_part)
{
    struct settle_rounds all[REPLAY_PEERS_MAX];

    for (size_t i = 0; i < replay->peers_count; i++) {
        const struct replay_cell *cell = &trace->cells[i];
        enum peer_role role = replay->peers[i]->role;
        bool contends = role != PEER_NULL && cell->rounds_count == done;

        all[i] =
            (struct settle_rounds){ cell->rounds_ns, contends ? cell->rounds_count : 0, role == PEER_OURS };
    }
    return settle_wants_round(all, replay->peers_count, done, replay->options->rounds, ret_takes_part);
}

/* The rounds that were asked for, and some more for those who contend. */
static void measure_timing(struct replay *replay, struct replay_trace *trace, struct progress *progress)
{
    const struct peer *null = peer_named("null");
    double harness_ns[REPLAY_ROUNDS_MAX];
    unsigned harness_count = 0, round;
    bool takes_part[REPLAY_PEERS_MAX];
    double failed_allocs;

    for (round = 0; round < replay->options->rounds; round++) {
        for (size_t i = 0; i < replay->peers_count; i++) {
            announce(progress, trace, replay->peers[i], "timing", true);
            /* What failed once fails again, and says so again. */
            if (trace->cells[i].rounds_count == round)
                time_peer(replay, trace, i);
        }
        if (null != NULL)
            harness_ns[harness_count] = run_timing(replay, trace, null, &failed_allocs);
        if (null != NULL && !isnan(harness_ns[harness_count]))
            harness_count++;
    }
    for (; wants_round(replay, trace, round, takes_part); round++) {
        for (size_t i = 0; i < replay->peers_count; i++) {
            if (!takes_part[i])
                continue;
            announce(progress, trace, replay->peers[i], "timing", false);
            time_peer(replay, trace, i);
        }
    }
    for (size_t i = 0; i < replay->peers_count; i++)
        trace->cells[i].ns_per_event = spread_of(trace->cells[i].rounds_ns, trace->cells[i].rounds_count);
    trace->harness_ns = spread_of(harness_ns, harness_count);
}

/* ---- memory and system calls ------------------------------------------------------------- */

/* Memory that could be had now without swapping; 0 if unknown. */
static double available_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long available_kib = 0;
    char line[256];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "MemAvailable: %lu kB", &available_kib) == 1)
            break;
    }
    if (file != NULL)
        fclose(file);
    return (double)available_kib * 1024;
}

/* A count that was cut short is scaled to all events: such peers make about as many calls for each event. */
static void take_calls(const struct replay_trace *trace, struct replay_cell *cell, const json_t *result)
{
    double events = (double)trace->trace.info.event_count;
    double counted_events = number_of(result, "counted_events");

    cell->system_calls = number_of(result, "system_calls");
    cell->is_calls_estimate = counted_events < events;
    if (cell->is_calls_estimate)
        cell->system_calls = floor(cell->system_calls * events / counted_events + 0.5);
}

static void take_result(struct replay *replay, struct replay_trace *trace, struct job *job)
{
    struct replay_cell *cell = &trace->cells[job->peer_index];
    char reason[WORKER_REASON_CHARS];
    json_t *result = worker_finish(&job->worker, reason);

    job->is_running = false;
    if (result == NULL) {
        note_failure(replay, trace, job->pass.peer, job_names[job->kind], reason);
    } else if (job->kind == JOB_CALLS) {
        take_calls(trace, cell, result);
    } else {
        cell->peak_live_bytes = number_of(result, "peak_live_bytes");
        cell->peak_resident_bytes = number_of(result, "peak_resident_bytes");
        cell->end_resident_bytes = number_of(result, "end_resident_bytes");
        cell->page_faults = number_of(result, "page_faults");
        cell->failed_allocs = number_of(result, "failed_allocs");
        note_failed_allocs(replay, trace, job->pass.peer, cell->failed_allocs);
    }
    json_decref(result);
}

/* "null" hands out the same run each time: what it says of memory is nothing. */
static bool is_pointless(const struct replay *replay, size_t peer_index)
{
    return strcmp(replay->peers[peer_index]->name, "null") == 0;
}

static void measure_counts(struct replay *replay, struct replay_trace *trace, struct progress *progress)
{
    struct job jobs[JOBS_MAX] = { 0 };
    double needed_bytes = 1.5 * (double)trace->trace.info.peak_live_pages * REPLAY_PAGE_BYTES;
    double room_bytes = 0.8 * available_bytes();
    long wanted_jobs = 2 * sysconf(_SC_NPROCESSORS_ONLN);
    size_t slots = wanted_jobs > JOBS_MAX ? JOBS_MAX : wanted_jobs < 1 ? 1 : (size_t)wanted_jobs;
    bool fits = needed_bytes <= room_bytes;
    size_t next = 0;

    if (!fits)
        replay_add_note(replay, "%s: no memory pass: it needs about %.0f MiB of RAM", trace->name,
                        needed_bytes / 1048576);
    while (slots > 1 && (double)slots * needed_bytes > room_bytes)
        slots--;
    for (size_t number = 0; number < JOB_KINDS * replay->peers_count; number++) {
        enum job_kind kind = number % JOB_KINDS;
        size_t peer_index = number / JOB_KINDS;
        struct job *job = &jobs[next];

        announce(progress, trace, replay->peers[peer_index], job_names[kind], true);
        if (is_pointless(replay, peer_index) || (kind == JOB_MEMORY && !fits))
            continue;
        if (job->is_running)
            take_result(replay, trace, job);
        job->kind = kind;
        job->peer_index = peer_index;
        job->pass = (struct pass){ replay->peers[peer_index], &trace->trace, CALLS_BUDGET_NS,
                                   replay->options->with_threads };
        job->is_running = worker_start(&job->worker, job_functions[kind], &job->pass) == 0;
        if (!job->is_running)
            note_failure(replay, trace, job->pass.peer, job_names[kind], strerror(errno));
        next = (next + 1) % slots;
    }
    for (size_t i = 0; i < slots; i++) {
        if (jobs[i].is_running)
            take_result(replay, trace, &jobs[i]);
    }
}

void replay_measure(struct replay *replay)
{
    size_t passes_per_trace = replay->peers_count * (replay->options->rounds + JOB_KINDS);
    struct progress progress;

    progress_start(&progress, replay->traces_count * passes_per_trace, replay->options->with_progress);
    for (size_t i = 0; i < replay->traces_count; i++) {
        struct replay_trace *trace = &replay->traces[i];

        for (size_t peer = 0; peer < replay->peers_count; peer++) {
            struct replay_cell *cell = &trace->cells[peer];

            cell->peak_live_bytes = cell->peak_resident_bytes = cell->end_resident_bytes = (double)NAN;
            cell->page_faults = cell->system_calls = cell->failed_allocs = (double)NAN;
        }
        measure_counts(replay, trace, &progress);
        measure_timing(replay, trace, &progress);
    }
    progress_end(&progress);
}
