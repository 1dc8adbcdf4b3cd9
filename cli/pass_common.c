/* SPDX-License-Identifier: MIT */
/* pass_common.c -- what all passes do before and after the events. */
#include "pass.h"

#include "bench/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDLE_STEPS   60
#define IDLE_STEP_NS (20 * NS_PER_MS)

/* The loop's result goes nowhere; the compiler must not know. */
static volatile int64_t sink;

void pass_touch_events(const struct trace *trace)
{
    int64_t sum = 0;

    for (uint64_t i = 0; i < trace->info.event_count; i++)
        sum += trace->events[i].pages;
    sink = sum;
}

struct pass_leftover *pass_leftovers(const struct trace *trace)
{
    size_t slot_bytes = (size_t)(trace->info.slot_count + 1) * sizeof(uint64_t);
    uint64_t *live_pages = resident_array(slot_bytes);
    struct pass_leftover *leftovers =
        resident_array((size_t)(trace->info.end_live_runs + 1) * sizeof *leftovers);
    uint64_t count = 0;

    if (live_pages == NULL || leftovers == NULL)
        return NULL;
    for (uint64_t i = 0; i < trace->info.event_count; i++) {
        const struct trace_event *event = &trace->events[i];

        live_pages[event->slot] = event->pages > 0 ? (uint64_t)event->pages : 0;
    }
    for (uint64_t slot = 0; slot < trace->info.slot_count; slot++) {
        if (live_pages[slot] != 0)
            leftovers[count++] = (struct pass_leftover){ slot, live_pages[slot] };
    }
    resident_array_unmap(live_pages, slot_bytes);
    return leftovers;
}

double pass_ns_per_event(uint64_t spent_ns, uint64_t events)
{
    return events != 0 ? (double)spent_ns / (double)events : 0;
}

static uint64_t page_faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

/* Make the kernel forget the most that was resident so far. */
static bool reset_high_water(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool is_reset = file >= 0 && write(file, "5", 1) == 1;

    if (file >= 0)
        close(file);
    return is_reset;
}

static uint64_t high_water_bytes(void)
{
    static const char key[] = "\nVmHWM:";
    static char text[8192];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t text_bytes = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    const char *found;

    if (file >= 0)
        close(file);
    if (text_bytes <= 0)
        return 0;
    text[text_bytes] = '\0';
    found = strstr(text, key);
    return found != NULL ? strtoull(found + sizeof key - 1, NULL, 10) * 1024 : 0;
}

static void raise_peak(struct pass_gauge *gauge, uint64_t bytes)
{
    if (bytes > gauge->base_bytes && bytes - gauge->base_bytes > gauge->peak_bytes)
        gauge->peak_bytes = bytes - gauge->base_bytes;
}

/* Only the anonymous memory counts: pages of code and of the trace, read for the first time, are memory of no
 * allocator, and no allocator here hands out pages of a file. */
void pass_gauge_start(struct pass_gauge *gauge)
{
    *gauge = (struct pass_gauge){ 0 };
    (void)high_water_bytes(); /* so that its buffer and its code are resident too */
    (void)residency_now();
    gauge->has_high_water = reset_high_water();
    gauge->base_bytes = residency_now().anonymous_bytes;
    gauge->base_faults = page_faults();
}

void pass_gauge_sample(struct pass_gauge *gauge)
{
    raise_peak(gauge, residency_now().anonymous_bytes);
}

void pass_gauge_stop(struct pass_gauge *gauge, uint64_t *ret_faults)
{
    uint64_t high_water = high_water_bytes(), file_bytes = residency_now().file_bytes;

    *ret_faults = page_faults() - gauge->base_faults;
    pass_gauge_sample(gauge);
    /* The mark counts file pages too; they only become more, so no more than these were in it. */
    if (gauge->has_high_water && high_water > file_bytes)
        raise_peak(gauge, high_water - file_bytes);
}

uint64_t pass_go_idle(const struct pass_gauge *gauge, const struct peer *peer)
{
    uint64_t bytes;

    for (int step = 0; step < IDLE_STEPS; step++) {
        void *run = peer->alloc(1);

        if (run != NULL) {
            touch_pages(run, 1);
            peer->release(run, 1);
        }
        if (peer->idle != NULL)
            peer->idle();
        clock_sleep_ns(IDLE_STEP_NS);
    }
    bytes = residency_now().anonymous_bytes;
    return bytes > gauge->base_bytes ? bytes - gauge->base_bytes : 0;
}
