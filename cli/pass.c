/* SPDX-License-Identifier: MIT */
/* pass.c -- the passes that replay a trace in file order on one thread. */
#include "pass.h"

#include "bench/harness.h"
#include "bench/syscount.h"

#define SAMPLE_EVENTS 4096u
#define CLOCK_EVENTS  64u

/* Where a replay keeps its runs. */
struct replay {
    void **runs; /* by slot; resident */
    struct pass_leftover *leftovers;
};

static int prepare(struct replay *replay, const struct pass *pass)
{
    replay->runs = resident_array((size_t)(pass->trace->info.slot_count + 1) * sizeof *replay->runs);
    replay->leftovers = pass_leftovers(pass->trace);
    pass_touch_events(pass->trace);
    return replay->runs != NULL && replay->leftovers != NULL && pass->peer->open() == 0 ? 0 : -1;
}

/* The loop that is timed.  Returns how many allocs failed. */
__attribute__((noinline)) static uint64_t replay_events(const struct pass *pass, void **runs)
{
    const struct trace_event *event = pass->trace->events;
    const struct trace_event *end = event + pass->trace->info.event_count;
    void *(*alloc)(size_t) = pass->peer->alloc;
    void (*release)(void *, size_t) = pass->peer->release;
    uint64_t failed_allocs = 0;

    for (; event != end; event++) {
        void **run = &runs[event->slot];

        if (event->pages > 0) {
            *run = alloc((size_t)event->pages);
            failed_allocs += *run == NULL;
        } else if (*run != NULL) {
            release(*run, (size_t)-event->pages);
        }
    }
    return failed_allocs;
}

static void release_leftovers(const struct pass *pass, const struct replay *replay)
{
    for (uint64_t i = 0; i < pass->trace->info.end_live_runs; i++) {
        void *run = replay->runs[replay->leftovers[i].slot];

        if (run != NULL)
            pass->peer->release(run, (size_t)replay->leftovers[i].pages);
    }
}

json_t *pass_timing(const void *ctx)
{
    const struct pass *pass = ctx;
    uint64_t spent_ns = 0, loops = 0, failed_allocs = 0;
    struct replay replay;

    if (pass->with_threads)
        return pass_timing_threads(pass);
    if (prepare(&replay, pass) != 0)
        return NULL;
    while (loops == 0 || (spent_ns < pass->budget_ns && pass->trace->info.event_count != 0)) {
        uint64_t start_ns = clock_now_ns();

        failed_allocs += replay_events(pass, replay.runs);
        spent_ns += clock_now_ns() - start_ns;
        loops++;
        release_leftovers(pass, &replay);
    }
    return json_pack("{s:f, s:I, s:I}", "ns_per_event",
                     pass_ns_per_event(spent_ns, loops * pass->trace->info.event_count), "loops",
                     (json_int_t)loops, "failed_allocs", (json_int_t)failed_allocs);
}

/* Replay once and write to each page; sample at each new peak that is half a percent above the last. */
static uint64_t replay_touching(const struct pass *pass, void **runs, struct pass_gauge *gauge)
{
    uint64_t live_pages = 0, sample_above_pages = 0, failed_allocs = 0;

    for (uint64_t i = 0; i < pass->trace->info.event_count; i++) {
        const struct trace_event *event = &pass->trace->events[i];
        void **run = &runs[event->slot];

        live_pages += (uint64_t)event->pages;
        if (event->pages > 0) {
            *run = pass->peer->alloc((size_t)event->pages);
            if (*run != NULL)
                touch_pages(*run, (size_t)event->pages);
            else
                failed_allocs++;
        } else if (*run != NULL) {
            pass->peer->release(*run, (size_t)-event->pages);
        }
        if (live_pages > sample_above_pages || i % SAMPLE_EVENTS == 0) {
            pass_gauge_sample(gauge);
            if (live_pages > sample_above_pages)
                sample_above_pages = live_pages + live_pages / 200;
        }
    }
    return failed_allocs;
}

json_t *pass_memory(const void *ctx)
{
    const struct pass *pass = ctx;
    uint64_t faults, end_bytes, failed_allocs;
    struct pass_gauge gauge;
    struct replay replay;

    if (pass->with_threads)
        return pass_memory_threads(pass);
    if (prepare(&replay, pass) != 0)
        return NULL;
    pass_gauge_start(&gauge);
    failed_allocs = replay_touching(pass, replay.runs, &gauge);
    pass_gauge_stop(&gauge, &faults);
    end_bytes = pass_go_idle(&gauge, pass->peer);
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "peak_live_bytes",
                     (json_int_t)(pass->trace->info.peak_live_pages * REPLAY_PAGE_BYTES),
                     "peak_resident_bytes", (json_int_t)gauge.peak_bytes, "end_resident_bytes",
                     (json_int_t)end_bytes, "page_faults", (json_int_t)faults, "failed_allocs",
                     (json_int_t)failed_allocs);
}

/* Count until the budget is used up: a stop for each system call takes long where each event makes one.
 * Returns how many events were replayed. */
static uint64_t replay_counting(const struct pass *pass, void **runs, uint64_t *ret_calls)
{
    uint64_t end_ns = clock_now_ns() + pass->budget_ns;
    uint64_t calls_before = syscount_now();
    uint64_t i;

    for (i = 0; i < pass->trace->info.event_count; i++) {
        const struct trace_event *event = &pass->trace->events[i];
        void **run = &runs[event->slot];

        if (event->pages > 0)
            *run = pass->peer->alloc((size_t)event->pages);
        else if (*run != NULL)
            pass->peer->release(*run, (size_t)-event->pages);
        /* The clock is read without a system call. */
        if (i % CLOCK_EVENTS == CLOCK_EVENTS - 1 && clock_now_ns() > end_ns)
            break;
    }
    *ret_calls = syscount_now() - calls_before;
    return i < pass->trace->info.event_count ? i + 1 : i;
}

json_t *pass_calls(const void *ctx)
{
    const struct pass *pass = ctx;
    uint64_t counted_events, calls;
    struct replay replay;

    if (prepare(&replay, pass) != 0 || syscount_start() != 0)
        return NULL;
    counted_events = replay_counting(pass, replay.runs, &calls);
    syscount_stop();
    return json_pack("{s:I, s:I}", "system_calls", (json_int_t)calls, "counted_events",
                     (json_int_t)counted_events);
}
