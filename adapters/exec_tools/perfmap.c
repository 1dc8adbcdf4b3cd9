/* SPDX-License-Identifier: MIT */
/* perfmap.c -- a line "START SIZE NAME" for each name, in the file that perf looks for.
 *
 * Each line is one write of its own: what a program had named when it was killed is there.  Nothing is
 * remembered, because nothing that was written can be taken back: the format has no word for a free.
 */
#include <pageheap/exec_tools.h>

#include "guard.h"
#include "names.h"
#include "report.h"
#include "writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t default_limit_bytes = UINT64_C(64) << 20;

struct pageheap_exec_tools_perfmap {
    struct ph_tools_guard guard;
    pageheap_exec_hooks hooks;     /* set once */
    struct ph_tools_writer writer; /* guard */
    pid_t writer_process;          /* guard; whose file it is */
    struct ph_tools_tally tally;   /* guard */
    char path[];                   /* set once; empty: the default */
};

/* The file's name in this process, which is the child of the one that opened it if `is_child`. */
static int open_file(const char *path, bool is_child, uint64_t limit_bytes,
                     struct ph_tools_writer *ret_writer)
{
    char name[PATH_MAX];
    int length;
    if (path[0] == '\0')
        length = snprintf(name, sizeof(name), "/tmp/perf-%ld.map", (long)getpid());
    else if (is_child)
        length = snprintf(name, sizeof(name), "%s.%ld", path, (long)getpid());
    else
        length = snprintf(name, sizeof(name), "%s", path);
    if (length < 0 || (size_t)length >= sizeof(name))
        return ENAMETOOLONG;
    return ph_tools_writer_open(ret_writer, name, limit_bytes);
}

/* The child of a fork runs its parent's code at the same addresses: it begins with its parent's lines. */
static void follow_process(pageheap_exec_tools_perfmap *map)
{
    if (map->writer_process == map->guard.process)
        return;
    struct ph_tools_writer inherited = map->writer;
    map->writer_process = map->guard.process;
    ph_tools_tally_reset(&map->tally);
    int error = open_file(map->path, true, inherited.limit_bytes, &map->writer);
    if (error == 0)
        error = ph_tools_writer_copy(&map->writer, &inherited);
    if (error != 0)
        map->tally.last_error = error;
    ph_tools_writer_close(&inherited);
}

static void named(void *ctx, const void *rx, size_t bytes, const char *name)
{
    pageheap_exec_tools_perfmap *map = ctx;
    char text[ph_tools_text_max + 1];
    char place[2 * 16 + 3];
    size_t text_bytes = ph_tools_text_copy(name, text);
    text[text_bytes] = '\n';
    int place_bytes = snprintf(place, sizeof(place), "%" PRIxPTR " %zx ", (uintptr_t)rx, bytes);
    const struct iovec line[] = { { place, (size_t)place_bytes }, { text, text_bytes + 1 } };

    struct ph_tools_visit visit;
    ph_tools_enter(&map->guard, &visit);
    follow_process(map);
    ph_tools_tally_count(&map->tally, ph_tools_writer_append(&map->writer, line, 2));
    ph_tools_leave(&map->guard, &visit);
}

pageheap_exec_tools_perfmap *pageheap_exec_tools_perfmap_open(const pageheap_exec_tools_options *options)
{
    int errno_before = errno;
    pageheap_exec_tools_options chosen;
    pageheap_exec_tools_perfmap *map = NULL;
    int error = ph_tools_options_read(options, &chosen);
    if (error != 0)
        goto refuse;
    const char *path = chosen.path != NULL ? chosen.path : "";
    map = calloc(1, sizeof(*map) + strlen(path) + 1);
    if (map == NULL) {
        error = ENOMEM;
        goto refuse;
    }
    strcpy(map->path, path);
    uint64_t limit_bytes = chosen.limit_bytes != 0 ? chosen.limit_bytes : default_limit_bytes;
    error = open_file(path, false, limit_bytes, &map->writer);
    if (error != 0)
        goto refuse;
    error = ph_tools_guard_open(&map->guard);
    if (error != 0)
        goto close_writer;
    map->writer_process = map->guard.process;
    map->hooks = (pageheap_exec_hooks){ .named = named, .ctx = map };
    errno = errno_before;
    return map;

close_writer:
    ph_tools_writer_close(&map->writer);
refuse:
    free(map);
    errno = error;
    return NULL;
}

const pageheap_exec_hooks *pageheap_exec_tools_perfmap_hooks(const pageheap_exec_tools_perfmap *map)
{
    return map == NULL ? NULL : &map->hooks;
}

int pageheap_exec_tools_perfmap_get_stats(pageheap_exec_tools_perfmap *map,
                                          pageheap_exec_tools_stats *ret_stats)
{
    if (map == NULL || ph_tools_stats_judge(ret_stats) != 0)
        return PAGEHEAP_EINVAL;
    struct ph_tools_visit visit;
    ph_tools_enter(&map->guard, &visit);
    bool is_ours = map->writer_process == map->guard.process;
    pageheap_exec_tools_stats stats = ph_tools_tally_stats(is_ours ? &map->tally : NULL);
    stats.file_bytes = is_ours ? map->writer.file_bytes : 0;
    ph_tools_leave(&map->guard, &visit);
    ph_tools_stats_fill(&stats, ret_stats);
    return 0;
}

void pageheap_exec_tools_perfmap_close(pageheap_exec_tools_perfmap *map)
{
    if (map == NULL)
        return;
    int errno_before = errno;
    ph_tools_guard_close(&map->guard);
    ph_tools_writer_close(&map->writer);
    free(map);
    errno = errno_before;
}
