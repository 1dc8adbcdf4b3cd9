/* SPDX-License-Identifier: MIT */
/* event_sheet.c -- a memory file and its mapping. */
#include "event_sheet.h"

#include <sys/mman.h>
#include <unistd.h>

#define FIRST_CAPACITY 65536u /* one mebibyte */

int event_sheet_open(struct event_sheet *sheet)
{
    *sheet = (struct event_sheet){ 0 };
    sheet->file = memfd_create("pageheap-trace", MFD_CLOEXEC);
    return sheet->file < 0 ? -1 : 0;
}

static int grow(struct event_sheet *sheet)
{
    uint64_t capacity = sheet->capacity != 0 ? sheet->capacity * 2 : FIRST_CAPACITY;
    size_t old_bytes = (size_t)sheet->capacity * sizeof *sheet->events;
    size_t bytes = (size_t)capacity * sizeof *sheet->events;
    void *events;

    if (ftruncate(sheet->file, (off_t)bytes) != 0)
        return -1;
    if (old_bytes == 0)
        events = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, sheet->file, 0);
    else
        events = mremap(sheet->events, old_bytes, bytes, MREMAP_MAYMOVE);
    if (events == MAP_FAILED)
        return -1;
    sheet->events = events;
    sheet->capacity = capacity;
    return 0;
}

int event_sheet_append(struct event_sheet *sheet, const struct trace_event *event)
{
    if (sheet->count == sheet->capacity && grow(sheet) != 0)
        return -1;
    sheet->events[sheet->count++] = *event;
    return 0;
}

const struct trace_event *event_sheet_seal(const struct event_sheet *sheet, uint64_t count)
{
    static const struct trace_event no_events[1];
    void *events;

    if (count == 0)
        return no_events;
    events = mmap(NULL, (size_t)count * sizeof *sheet->events, PROT_READ, MAP_SHARED, sheet->file, 0);
    return events == MAP_FAILED ? NULL : events;
}

void event_sheet_close(struct event_sheet *sheet)
{
    if (sheet->capacity != 0)
        munmap(sheet->events, (size_t)sheet->capacity * sizeof *sheet->events);
    close(sheet->file);
}
