/* SPDX-License-Identifier: MIT */
/* spool.h -- the file that recorded processes write to and `pageheap record` reads when they are done.
 *
 * Every recorded process maps the same file, shared.  An event is complete the moment its `kind` is stored:
 * nothing has to be flushed, so _exit, execve and SIGKILL lose nothing.
 *
 *     offset 0                   struct spool_header
 *     SPOOL_EVENTS_OFFSET + i*24 event i
 *
 * Event numbers come from one counter that all processes share, so the file is already one merged stream in
 * the order in which things happened.  A number that was taken by a process that died before it filled the
 * event leaves a hole: kind SPOOL_HOLE.
 */
#ifndef PH_RECORD_SPOOL_H
#define PH_RECORD_SPOOL_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#define SPOOL_MAGIC         0x314c4f4f50534850u /* "PHSPOOL1" */
#define SPOOL_EVENTS_OFFSET 4096u
#define SPOOL_WINDOW_EVENTS 131072u /* events in the piece of the file that a process maps at a time */
#define SPOOL_MAX_WINDOWS   65536u
#define SPOOL_PATH_VARIABLE "PAGEHEAP_RECORD_SPOOL"

enum spool_kind { SPOOL_HOLE = 0, SPOOL_ALLOC = 1, SPOOL_FREE = 2 };

struct spool_event {
    uint64_t
        run; /* SPOOL_ALLOC: zero, the reader's scratch; SPOOL_FREE: number of the event that allocated */
    uint64_t pages; /* SPOOL_ALLOC only */
    uint32_t thread;
    _Atomic uint32_t kind; /* stored last, with release; the reader's load pairs with it */
};

struct spool_header {
    uint64_t magic;
    _Atomic uint64_t next_event;   /* the shared order of all processes */
    _Atomic uint64_t lost_events;  /* the file could not be extended */
    _Atomic uint32_t next_thread;  /* threads of all processes are numbered together, from 1 */
    _Atomic uint32_t next_process; /* likewise */
};

#define SPOOL_WINDOW_BYTES (SPOOL_WINDOW_EVENTS * sizeof(struct spool_event))

static_assert(sizeof(struct spool_event) == 24, "processes of every word size share the file");
static_assert(SPOOL_WINDOW_BYTES % 65536 == 0, "windows are mapped at page boundaries of any page size");
static_assert(sizeof(struct spool_header) <= SPOOL_EVENTS_OFFSET, "the header fits before the events");

#endif
