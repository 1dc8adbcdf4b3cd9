/* SPDX-License-Identifier: MIT */
/* trace.c -- reads a trace line by line and turns ids into slots. */
#include "trace.h"

#include "event_sheet.h"
#include "idmap.h"
#include "source.h"
#include "trace_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVE_MAX_PAGES ((UINT64_C(1) << 51) - 1) /* less than 2^63 bytes: no more can have an address */

enum run_state { RUN_UNKNOWN = 0, RUN_LIVE, RUN_FREED, RUN_ORPHAN };

/* Slots that freed runs have left, the last on top. */
struct slot_stack {
    uint32_t *slots;
    size_t count;
    size_t capacity;
};

struct loader {
    struct trace_info info;
    enum trace_slots slots;
    struct event_sheet *sheet;
    struct idmap runs;
    struct idmap threads; /* by number + 1 */
    struct slot_stack left;
    uint64_t live_pages;
    uint64_t live_runs;
};

static const char memory_is_short[] = "there is not enough memory to hold the trace";

static int push_slot(struct slot_stack *stack, uint32_t slot)
{
    if (stack->count == stack->capacity) {
        size_t capacity = stack->capacity * 2 + 1024;
        uint32_t *slots = realloc(stack->slots, capacity * sizeof *slots);

        if (slots == NULL)
            return -1;
        stack->slots = slots;
        stack->capacity = capacity;
    }
    stack->slots[stack->count++] = slot;
    return 0;
}

static const char *thread_index(struct loader *loader, uint32_t thread, uint32_t *ret_index)
{
    struct idmap_entry *entry = idmap_get(&loader->threads, (uint64_t)thread + 1);

    if (entry == NULL)
        return memory_is_short;
    if (entry->state == RUN_UNKNOWN) {
        entry->state = RUN_LIVE;
        entry->value = (uint32_t)loader->info.thread_count++;
    }
    *ret_index = entry->value;
    return NULL;
}

static const char *add_alloc(struct loader *loader, const struct trace_line *line, struct trace_event *event)
{
    struct idmap_entry *run = idmap_get(&loader->runs, line->id);
    uint64_t bytes, pages;

    if (run == NULL)
        return memory_is_short;
    if (run->state == RUN_ORPHAN)
        return "ID was freed before this alloc";
    if (run->state != RUN_UNKNOWN)
        return "ID was used by an earlier alloc";
    if (__builtin_mul_overflow(line->pages, loader->info.page_bytes, &bytes) || bytes > TRACE_RUN_MAX_BYTES)
        return "PAGES is too large";
    pages = (bytes + REPLAY_PAGE_BYTES - 1) / REPLAY_PAGE_BYTES;
    if (loader->live_pages + pages > LIVE_MAX_PAGES)
        return "more memory is live than can have addresses";
    if (loader->left.count != 0)
        run->value = loader->left.slots[--loader->left.count];
    else if (loader->info.slot_count == UINT32_MAX)
        return "more runs than 4294967295";
    else
        run->value = (uint32_t)loader->info.slot_count++;
    run->state = RUN_LIVE;
    run->pages = pages;
    loader->live_pages += pages;
    loader->live_runs++;
    if (loader->live_pages > loader->info.peak_live_pages)
        loader->info.peak_live_pages = loader->live_pages;
    if (loader->live_runs > loader->info.peak_live_runs)
        loader->info.peak_live_runs = loader->live_runs;
    loader->info.alloc_count++;
    event->slot = run->value;
    event->pages = (int64_t)pages;
    return NULL;
}

static const char *add_free(struct loader *loader, const struct trace_line *line, struct trace_event *event)
{
    struct idmap_entry *run = idmap_get(&loader->runs, line->id);

    if (run == NULL)
        return memory_is_short;
    if (run->state == RUN_FREED || run->state == RUN_ORPHAN)
        return "ID was freed before";
    if (run->state == RUN_UNKNOWN) {
        run->state = RUN_ORPHAN;
        loader->info.orphan_count++;
        return NULL;
    }
    run->state = RUN_FREED;
    loader->live_pages -= run->pages;
    loader->live_runs--;
    loader->info.free_count++;
    event->slot = run->value;
    event->pages = -(int64_t)run->pages;
    if (loader->slots == TRACE_SLOTS_REUSED && push_slot(&loader->left, run->value) != 0)
        return memory_is_short;
    return NULL;
}

static const char *add_line(struct loader *loader, uint64_t number, const char *text, size_t text_bytes)
{
    struct trace_event event = { 0, 0, 0 };
    struct trace_line line;
    const char *reason;

    if (number == 1)
        return trace_parse_header(text, text_bytes, &loader->info.page_bytes);
    reason = trace_parse_line(text, text_bytes, &line);
    if (reason != NULL || line.kind == TRACE_LINE_COMMENT)
        return reason;
    reason =
        line.kind == TRACE_LINE_ALLOC ? add_alloc(loader, &line, &event) : add_free(loader, &line, &event);
    if (reason != NULL || event.pages == 0)
        return reason;
    reason = thread_index(loader, line.thread, &event.thread);
    if (reason == NULL && event_sheet_append(loader->sheet, &event) != 0)
        reason = memory_is_short;
    return reason;
}

struct line_reader {
    struct source *source;
    size_t start; /* of the bytes not yet handed out */
    size_t end;
    bool is_at_end;
    char bytes[2 * TRACE_LINE_MAX_BYTES];
};

/* Find the next line.  Returns 1 and the line, 0 at the end of the file, -1 with *ret_reason. */
static int next_line(struct line_reader *reader, const char **ret_line, size_t *ret_bytes,
                     const char **ret_reason)
{
    for (;;) {
        char *start = &reader->bytes[reader->start];
        size_t left_bytes = reader->end - reader->start;
        char *feed = memchr(start, '\n', left_bytes);
        long got;

        if (feed != NULL)
            left_bytes = (size_t)(feed - start);
        if (left_bytes > TRACE_LINE_MAX_BYTES) {
            *ret_reason = "the line is longer than 65536 bytes";
            return -1;
        }
        if (feed != NULL || (reader->is_at_end && left_bytes != 0)) {
            *ret_line = start;
            *ret_bytes = left_bytes;
            reader->start += *ret_bytes + (feed != NULL);
            return 1;
        }
        if (reader->is_at_end)
            return 0;
        memmove(reader->bytes, start, left_bytes);
        reader->start = 0;
        reader->end = left_bytes;
        got = source_read(reader->source, &reader->bytes[left_bytes], sizeof reader->bytes - left_bytes);
        if (got < 0) {
            *ret_reason = source_reason(reader->source);
            return -1;
        }
        reader->end += (size_t)got;
        reader->is_at_end = got == 0;
    }
}

static int load_lines(struct loader *loader, struct source *source, struct trace_error *ret_error)
{
    struct line_reader *reader = calloc(1, sizeof *reader);
    const char *reason = reader == NULL ? memory_is_short : NULL;
    uint64_t number = 0;

    while (reason == NULL) {
        const char *line;
        size_t line_bytes;
        int found;

        reader->source = source;
        number++;
        found = next_line(reader, &line, &line_bytes, &reason);
        if (found > 0)
            reason = add_line(loader, number, line, line_bytes);
        else if (found == 0 && number == 1)
            reason = "the file is empty";
        if (found == 0)
            break;
    }
    free(reader);
    if (reason == NULL)
        return 0;
    ret_error->line = number;
    snprintf(ret_error->reason, sizeof ret_error->reason, "%s", reason);
    return -1;
}

/* Load into a sheet that exists. */
static int load_into(struct event_sheet *sheet, const char *path, enum trace_slots slots,
                     struct trace_info *ret_info, struct trace_error *ret_error)
{
    struct loader loader = { .slots = slots, .sheet = sheet };
    struct source *source = source_open(path);
    int result;

    if (source == NULL) {
        ret_error->line = 0;
        snprintf(ret_error->reason, sizeof ret_error->reason, "%s", strerror(errno));
        return -1;
    }
    result = load_lines(&loader, source, ret_error);
    source_close(source);
    loader.info.event_count = loader.info.alloc_count + loader.info.free_count;
    loader.info.end_live_pages = loader.live_pages;
    loader.info.end_live_runs = loader.live_runs;
    *ret_info = loader.info;
    idmap_clear(&loader.runs);
    idmap_clear(&loader.threads);
    free(loader.left.slots);
    return result;
}

static int out_of_memory(struct trace_error *ret_error)
{
    ret_error->line = 0;
    snprintf(ret_error->reason, sizeof ret_error->reason, "%s", memory_is_short);
    return -1;
}

static int finish(struct event_sheet *sheet, int result, struct trace *ret_trace,
                  struct trace_error *ret_error)
{
    if (result == 0) {
        ret_trace->events = event_sheet_seal(sheet, ret_trace->info.event_count);
        if (ret_trace->events == NULL)
            result = out_of_memory(ret_error);
    }
    event_sheet_close(sheet);
    return result;
}

int trace_load(const char *path, enum trace_slots slots, struct trace *ret_trace,
               struct trace_error *ret_error)
{
    struct event_sheet sheet;

    if (event_sheet_open(&sheet) != 0)
        return out_of_memory(ret_error);
    return finish(&sheet, load_into(&sheet, path, slots, &ret_trace->info, ret_error), ret_trace, ret_error);
}

struct shared_outcome {
    struct trace_info info;
    struct trace_error error;
};

int trace_load_aside(const char *path, enum trace_slots slots, struct trace *ret_trace,
                     struct trace_error *ret_error)
{
    struct shared_outcome *outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct event_sheet sheet;
    int status = 0;
    pid_t child;

    if (outcome == MAP_FAILED || event_sheet_open(&sheet) != 0)
        return out_of_memory(ret_error);
    fflush(NULL);
    child = fork();
    if (child == 0)
        _exit(load_into(&sheet, path, slots, &outcome->info, &outcome->error) == 0 ? 0 : 1);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        out_of_memory(&outcome->error);
    ret_trace->info = outcome->info;
    *ret_error = outcome->error;
    munmap(outcome, sizeof *outcome);
    return finish(&sheet, child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1, ret_trace,
                  ret_error);
}
