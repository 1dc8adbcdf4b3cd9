/* SPDX-License-Identifier: MIT */
/* event_sheet.h -- an array of events that grows in shared memory: a child fills it, its parent reads it. */
#ifndef PH_CLI_EVENT_SHEET_H
#define PH_CLI_EVENT_SHEET_H

#include "trace.h"

struct event_sheet {
    int file;
    struct trace_event *events;
    uint64_t capacity;
    uint64_t count;
};

/* All return 0, or -1 with errno. */
int event_sheet_open(struct event_sheet *sheet);
int event_sheet_append(struct event_sheet *sheet, const struct trace_event *event);

/* The first `count` events, by whichever process they were appended, mapped read-only for good. */
const struct trace_event *event_sheet_seal(const struct event_sheet *sheet, uint64_t count);

void event_sheet_close(struct event_sheet *sheet);

#endif
