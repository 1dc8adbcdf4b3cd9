/* SPDX-License-Identifier: MIT */
/* pass_threads.c -- the passes that replay each thread of a trace on a thread of its own.
 *
 * Order within a thread is that of the file.  Across threads it is kept only where a run crosses them: a free
 * waits until its alloc has been done.  The alloc stands before the free in the file, so some thread can
 * always go on.  Slots are unique here (TRACE_SLOTS_UNIQUE): a slot is written once in a repetition.
 */
#include "pass.h"

#include "bench/harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SPINS_BEFORE_YIELD 256
#define SAMPLE_NS          NS_PER_MS

typedef _Atomic(void *) run_slot;

struct crew {
    const struct pass *pass;
    run_slot *runs;
    struct pass_leftover *leftovers;
    struct trace_event *events; /* sorted by thread, otherwise in file order; resident */
    pthread_barrier_t start;
    pthread_barrier_t end;
    bool is_touching;
    bool is_over; /* set before a start that is not followed by events */
    atomic_uint_fast64_t failed_allocs;
    atomic_uint_fast64_t running;
    atomic_int_fast64_t live_pages; /* these two only when touching */
    atomic_int_fast64_t peak_live_pages;
};

struct member {
    struct crew *crew;
    const struct trace_event *events;
    uint64_t event_count;
    pthread_t thread;
};

static char failed_run; /* its address stands for an alloc that failed: a free must not wait for it */

static void *wait_for_run(run_slot *slot)
{
    void *run;

    /* Acquire pairs with the release of the thread that allocated. */
    for (unsigned spins = 0; (run = atomic_load_explicit(slot, memory_order_acquire)) == NULL; spins++) {
        if (spins >= SPINS_BEFORE_YIELD)
            sched_yield();
    }
    return run;
}

static void count_live(struct crew *crew, int64_t pages)
{
    int_fast64_t live = atomic_fetch_add_explicit(&crew->live_pages, pages, memory_order_relaxed) + pages;
    int_fast64_t peak = atomic_load_explicit(&crew->peak_live_pages, memory_order_relaxed);

    while (live > peak && !atomic_compare_exchange_weak(&crew->peak_live_pages, &peak, live))
        continue;
}

static uint64_t replay_member(const struct member *member, bool is_touching)
{
    struct crew *crew = member->crew;
    const struct trace_event *event = member->events;
    const struct trace_event *end = event + member->event_count;
    void *(*alloc)(size_t) = crew->pass->peer->alloc;
    void (*release)(void *, size_t) = crew->pass->peer->release;
    uint64_t failed_allocs = 0;

    for (; event != end; event++) {
        run_slot *slot = &crew->runs[event->slot];
        void *run = event->pages > 0 ? alloc((size_t)event->pages) : wait_for_run(slot);

        if (is_touching)
            count_live(crew, event->pages);
        if (event->pages > 0) {
            failed_allocs += run == NULL;
            if (is_touching && run != NULL)
                touch_pages(run, (size_t)event->pages);
            atomic_store_explicit(slot, run != NULL ? run : &failed_run, memory_order_release);
        } else if (run != &failed_run) {
            release(run, (size_t)-event->pages);
        }
    }
    return failed_allocs;
}

static void *member_main(void *argument)
{
    struct member *member = argument;
    struct crew *crew = member->crew;

    for (;;) {
        pthread_barrier_wait(&crew->start);
        if (crew->is_over)
            return NULL;
        atomic_fetch_add(&crew->failed_allocs,
                         crew->is_touching ? replay_member(member, true) : replay_member(member, false));
        atomic_fetch_sub(&crew->running, 1);
        pthread_barrier_wait(&crew->end);
    }
}

/* Give each member its own events, one after the other in memory. */
static struct member *hand_out_events(struct crew *crew)
{
    const struct trace *trace = crew->pass->trace;
    size_t threads = (size_t)trace->info.thread_count;
    struct member *members = calloc(threads + 1, sizeof *members);
    size_t *places = calloc(threads + 1, sizeof *places);

    crew->events = resident_array((size_t)(trace->info.event_count + 1) * sizeof *crew->events);
    if (members == NULL || places == NULL || crew->events == NULL)
        return NULL;
    for (uint64_t i = 0; i < trace->info.event_count; i++)
        members[trace->events[i].thread].event_count++;
    for (size_t thread = 0; thread < threads; thread++) {
        members[thread].crew = crew;
        members[thread].events = &crew->events[places[thread]];
        places[thread + 1] = places[thread] + members[thread].event_count;
    }
    for (uint64_t i = 0; i < trace->info.event_count; i++)
        crew->events[places[trace->events[i].thread]++] = trace->events[i];
    free(places);
    return members;
}

static struct member *assemble(struct crew *crew, const struct pass *pass)
{
    unsigned threads = (unsigned)pass->trace->info.thread_count;
    struct member *members;

    crew->pass = pass;
    crew->runs = resident_array((size_t)(pass->trace->info.slot_count + 1) * sizeof *crew->runs);
    crew->leftovers = pass_leftovers(pass->trace);
    members = hand_out_events(crew);
    if (crew->runs == NULL || crew->leftovers == NULL || members == NULL || pass->peer->open() != 0)
        return NULL;
    pthread_barrier_init(&crew->start, NULL, threads + 1);
    pthread_barrier_init(&crew->end, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0)
            return NULL;
    }
    return members;
}

static void dismiss(struct crew *crew, struct member *members)
{
    crew->is_over = true;
    pthread_barrier_wait(&crew->start);
    for (uint64_t i = 0; i < crew->pass->trace->info.thread_count; i++)
        pthread_join(members[i].thread, NULL);
}

static void clear_runs(struct crew *crew)
{
    const struct trace_info *info = &crew->pass->trace->info;

    for (uint64_t i = 0; i < info->end_live_runs; i++) {
        void *run = atomic_load(&crew->runs[crew->leftovers[i].slot]);

        if (run != &failed_run)
            crew->pass->peer->release(run, (size_t)crew->leftovers[i].pages);
    }
    for (uint64_t i = 0; i < info->slot_count; i++)
        atomic_store_explicit(&crew->runs[i], NULL, memory_order_relaxed);
}

json_t *pass_timing_threads(const struct pass *pass)
{
    struct crew crew = { 0 };
    struct member *members = assemble(&crew, pass);
    uint64_t spent_ns = 0, loops = 0;

    if (members == NULL)
        return NULL;
    while (loops == 0 || (spent_ns < pass->budget_ns && pass->trace->info.event_count != 0)) {
        uint64_t start_ns = clock_now_ns();

        pthread_barrier_wait(&crew.start);
        pthread_barrier_wait(&crew.end);
        spent_ns += clock_now_ns() - start_ns;
        loops++;
        clear_runs(&crew);
    }
    dismiss(&crew, members);
    return json_pack("{s:f, s:I, s:I}", "ns_per_event",
                     pass_ns_per_event(spent_ns, loops * pass->trace->info.event_count), "loops",
                     (json_int_t)loops, "failed_allocs", (json_int_t)atomic_load(&crew.failed_allocs));
}

json_t *pass_memory_threads(const struct pass *pass)
{
    struct crew crew = { .is_touching = true };
    struct member *members = assemble(&crew, pass);
    struct pass_gauge gauge;
    uint64_t faults, end_bytes;

    if (members == NULL)
        return NULL;
    pass_gauge_start(&gauge);
    atomic_store(&crew.running, pass->trace->info.thread_count);
    pthread_barrier_wait(&crew.start);
    while (atomic_load(&crew.running) != 0) {
        pass_gauge_sample(&gauge);
        clock_sleep_ns(SAMPLE_NS);
    }
    pthread_barrier_wait(&crew.end);
    pass_gauge_stop(&gauge, &faults);
    end_bytes = pass_go_idle(&gauge, pass->peer);
    dismiss(&crew, members);
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "peak_live_bytes",
                     (json_int_t)(atomic_load(&crew.peak_live_pages) * (int64_t)REPLAY_PAGE_BYTES),
                     "peak_resident_bytes", (json_int_t)gauge.peak_bytes, "end_resident_bytes",
                     (json_int_t)end_bytes, "page_faults", (json_int_t)faults, "failed_allocs",
                     (json_int_t)atomic_load(&crew.failed_allocs));
}
