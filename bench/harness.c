/* SPDX-License-Identifier: MIT */
/* harness.c -- see harness.h. */
#include "harness.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Long enough that two readings of the clock are nothing, short enough to end on time. */
#define CHUNK_NS        NS_PER_MS
#define FIRST_CHUNK_OPS 64
#define CHUNK_OPS_MAX   ((size_t)1 << 24)

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

uint64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void clock_sleep_ns(uint64_t duration_ns)
{
    struct timespec duration = { .tv_sec = (time_t)(duration_ns / NS_PER_SECOND),
                                 .tv_nsec = (long)(duration_ns % NS_PER_SECOND) };

    nanosleep(&duration, NULL);
}

double measure_ns_per_op(step_fn *step, void *state, uint64_t budget_ns, size_t warm_ops)
{
    size_t chunk_ops = FIRST_CHUNK_OPS;
    uint64_t spent_ns = 0;
    size_t spent_ops = 0;
    bool warm = false;

    while (!warm || spent_ns < budget_ns) {
        uint64_t before_ns = clock_now_ns();
        size_t done_ops = step(state, chunk_ops);
        uint64_t took_ns = clock_now_ns() - before_ns;

        if (done_ops == 0)
            return NAN;
        spent_ns += took_ns;
        spent_ops += done_ops;
        if (warm)
            continue;
        if (took_ns < CHUNK_NS && chunk_ops < CHUNK_OPS_MAX)
            chunk_ops *= 2;
        warm = (spent_ns >= budget_ns / 4 && spent_ops >= warm_ops) || spent_ns >= 4 * budget_ns;
        if (warm)
            spent_ns = spent_ops = 0;
    }
    return (double)spent_ns / (double)spent_ops;
}

static void *map_array(size_t bytes, int flags)
{
    void *array = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    return array != MAP_FAILED ? array : NULL;
}

static size_t whole_huge_bytes(size_t bytes)
{
    return (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
}

/* The advice must come before the first touch, so the system cannot be asked to populate the mapping. */
static void *map_huge_array(size_t bytes)
{
    size_t mapped_bytes = bytes + HUGE_PAGE_BYTES;
    char *mapped = map_array(mapped_bytes, 0);
    char *array;
    size_t head_bytes;

    if (mapped == NULL)
        return NULL;
    head_bytes = (0 - (uintptr_t)mapped) % HUGE_PAGE_BYTES;
    array = mapped + head_bytes;
    if (head_bytes != 0)
        munmap(mapped, head_bytes);
    munmap(array + bytes, HUGE_PAGE_BYTES - head_bytes);
    /* Refused where huge pages are off: then small ones serve all allocators alike. */
    (void)madvise(array, bytes, MADV_HUGEPAGE);
    for (size_t at = 0; at < bytes; at += PEER_PAGE_BYTES)
        *(volatile char *)(array + at) = 0;
    return array;
}

void *resident_array(size_t bytes)
{
    return bytes < HUGE_PAGE_BYTES ? map_array(bytes, MAP_POPULATE) : map_huge_array(whole_huge_bytes(bytes));
}

void resident_array_unmap(void *array, size_t bytes)
{
    munmap(array, bytes < HUGE_PAGE_BYTES ? bytes : whole_huge_bytes(bytes));
}

int live_table_create(struct live_table *table, const struct peer *peer, size_t capacity)
{
    *table = (struct live_table){ .peer = peer, .capacity = capacity };
    table->runs = resident_array(capacity * sizeof *table->runs);
    return table->runs != NULL ? 0 : -1;
}

bool live_table_add(struct live_table *table, size_t pages)
{
    void *run = table->count < table->capacity ? table->peer->alloc(pages) : NULL;

    if (run == NULL)
        return false;
    table->runs[table->count++] = (struct live_run){ run, pages };
    table->pages += pages;
    return true;
}

void live_table_drop(struct live_table *table, size_t index)
{
    struct live_run dropped = table->runs[index];

    table->runs[index] = table->runs[--table->count];
    table->pages -= dropped.pages;
    table->peer->release(dropped.run, dropped.pages);
}

bool live_table_fill(struct live_table *table, struct rng *rng, size_t count, size_t pages_max)
{
    while (table->count < count) {
        if (!live_table_add(table, rng_between(rng, 1, pages_max)))
            return false;
    }
    return true;
}

struct residency residency_now(void)
{
    static int file = -1;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t all_pages, file_pages;
    char text[128];
    ssize_t text_bytes;

    if (file < 0)
        file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    text_bytes = pread(file, text, sizeof text - 1, 0);
    if (text_bytes <= 0)
        return (struct residency){ 0, 0 };
    text[text_bytes] = '\0';
    if (sscanf(text, "%*u %zu %zu", &all_pages, &file_pages) != 2 || all_pages < file_pages)
        return (struct residency){ 0, 0 };
    return (struct residency){ (all_pages - file_pages) * page_bytes, file_pages * page_bytes };
}

size_t resident_bytes(void)
{
    struct residency now = residency_now();

    return now.anonymous_bytes + now.file_bytes;
}

void touch_pages(void *run, size_t pages)
{
    volatile char *bytes = run;

    for (size_t page = 0; page < pages; page++)
        bytes[page * PEER_PAGE_BYTES] = 1;
}
