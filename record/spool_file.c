/* SPDX-License-Identifier: MIT */
/* spool_file.c -- makes the spool and turns it into a trace.
 *
 * The events are in their final order already.  An alloc's `run` field is free: it holds the id given to the
 * run here, so that a later free finds it by the alloc's number without any table.
 */
#include "spool_file.h"

#include "spool.h"
#include "trace_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACE_PAGE_BYTES 4096u

struct merge {
    struct spool_event *events;
    uint64_t count; /* events that the file has room for */
    struct trace_writer *writer;
    struct spool_summary summary;
};

int spool_file_create(struct spool_file *ret_spool)
{
    struct spool_header header = { .magic = SPOOL_MAGIC };
    const char *directory = getenv("TMPDIR");
    int saved_errno;

    if (directory == NULL || directory[0] == '\0')
        directory = "/tmp";
    if (snprintf(ret_spool->path, sizeof ret_spool->path, "%s/pageheap-spool-XXXXXX", directory) >=
        (int)sizeof ret_spool->path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    ret_spool->descriptor = mkostemp(ret_spool->path, O_CLOEXEC);
    if (ret_spool->descriptor < 0)
        return -1;
    if (pwrite(ret_spool->descriptor, &header, sizeof header, 0) == (ssize_t)sizeof header &&
        ftruncate(ret_spool->descriptor, SPOOL_EVENTS_OFFSET) == 0)
        return 0;
    saved_errno = errno;
    spool_file_destroy(ret_spool);
    errno = saved_errno;
    return -1;
}

static void merge_event(struct merge *merge, uint64_t number)
{
    struct spool_event *event = &merge->events[number];
    uint64_t allocated_by = event->run;

    switch (atomic_load_explicit(&event->kind, memory_order_acquire)) {
    case SPOOL_ALLOC:
        event->run = ++merge->summary.allocs;
        trace_writer_alloc(merge->writer, event->run, event->pages, event->thread);
        break;
    case SPOOL_FREE:
        /* A program that scribbles over its memory can reach the spool: trust nothing in it. */
        if (allocated_by < number && merge->events[allocated_by].kind == SPOOL_ALLOC) {
            merge->summary.frees++;
            trace_writer_free(merge->writer, merge->events[allocated_by].run, event->thread);
        } else {
            merge->summary.lost++;
        }
        break;
    default:
        merge->summary.lost++;
        break;
    }
}

static int write_trace(struct merge *merge, const char *trace_path, uint64_t taken)
{
    int code;

    merge->writer = trace_writer_create(trace_path, TRACE_PAGE_BYTES);
    if (merge->writer == NULL)
        return -1;
    for (uint64_t i = 0; i < taken && i < merge->count; i++)
        merge_event(merge, i);
    merge->summary.lost += taken > merge->count ? taken - merge->count : 0;
    code = trace_writer_destroy(merge->writer);
    errno = code;
    return code == 0 ? 0 : -1;
}

int spool_file_merge(struct spool_file *spool, const char *trace_path, struct spool_summary *ret_summary)
{
    struct merge merge = { 0 };
    const struct spool_header *header;
    struct stat status;
    size_t bytes;
    unsigned char *mapped;
    int result;

    if (fstat(spool->descriptor, &status) != 0)
        return -1;
    bytes = (size_t)status.st_size;
    /* Private: the ids written into it are nobody else's, and processes that live on may still append. */
    mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, spool->descriptor, 0);
    if (mapped == MAP_FAILED)
        return -1;
    header = (const struct spool_header *)(const void *)mapped;
    merge.events = (struct spool_event *)(void *)(mapped + SPOOL_EVENTS_OFFSET);
    merge.count = (bytes - SPOOL_EVENTS_OFFSET) / sizeof(struct spool_event);
    merge.summary.threads = header->next_thread;
    merge.summary.processes = header->next_process;
    result = write_trace(&merge, trace_path, header->next_event);
    *ret_summary = merge.summary;
    munmap(mapped, bytes);
    return result;
}

void spool_file_destroy(struct spool_file *spool)
{
    if (spool->descriptor >= 0)
        close(spool->descriptor);
    unlink(spool->path);
    spool->descriptor = -1;
}
