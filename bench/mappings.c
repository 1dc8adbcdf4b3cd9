/* SPDX-License-Identifier: MIT */
/* mappings.c -- see mappings.h. */
#include "mappings.h"

#include "peer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LINE_BYTES  4400 /* a path and what stands before it */
#define VIEWS_MAX   4096
#define CHUNK_PAGES ((size_t)4096)

/* One mapping of shared memory; or what is left of it, the rest having been counted through another. */
struct view {
    unsigned long file; /* the number of its inode; those of memory files are unique in a system */
    unsigned long offset_bytes;
    unsigned long start;
    unsigned long end;
};

struct line {
    struct view view;
    char access[5]; /* "r-xp": the last letter p if private, s if shared */
};

size_t mappings_count(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    size_t lines = 0;
    int c;

    if (file == NULL)
        return 0;
    while ((c = fgetc(file)) != EOF)
        lines += c == '\n';
    fclose(file);
    return lines;
}

/* mincore tells of private memory which pages are there, and of shared memory which its file has. */
static size_t resident_between(unsigned long start, unsigned long end)
{
    static unsigned char is_resident[CHUNK_PAGES];
    size_t resident_pages = 0;

    while (start < end) {
        size_t bytes =
            end - start < CHUNK_PAGES * PEER_PAGE_BYTES ? end - start : CHUNK_PAGES * PEER_PAGE_BYTES;

        /* Refused for the page of old system calls, which is no memory of ours. */
        if (mincore((void *)start, bytes, is_resident) == 0) {
            for (size_t page = 0; page < bytes / PEER_PAGE_BYTES; page++)
                resident_pages += is_resident[page] & 1;
        }
        start += bytes;
    }
    return resident_pages * PEER_PAGE_BYTES;
}

static int compare_views(const void *left, const void *right)
{
    const struct view *a = left;
    const struct view *b = right;

    if (a->file != b->file)
        return (a->file > b->file) - (a->file < b->file);
    return (a->offset_bytes > b->offset_bytes) - (a->offset_bytes < b->offset_bytes);
}

/* Walk all views by file and offset, and count of each what no earlier one has shown. */
static size_t resident_in_views(struct view *views, size_t count)
{
    unsigned long shown_to = 0; /* offset in the current file */
    size_t resident_bytes = 0;

    qsort(views, count, sizeof *views, compare_views);
    for (size_t i = 0; i < count; i++) {
        struct view view = views[i];
        unsigned long end_offset = view.offset_bytes + (view.end - view.start);

        if (i == 0 || view.file != views[i - 1].file)
            shown_to = 0;
        if (end_offset <= shown_to)
            continue;
        if (view.offset_bytes < shown_to)
            view.start += shown_to - view.offset_bytes;
        resident_bytes += resident_between(view.start, view.end);
        shown_to = end_offset;
    }
    return resident_bytes;
}

static bool read_line(FILE *file, struct line *ret_line)
{
    static char text[LINE_BYTES];

    return fgets(text, sizeof text, file) != NULL &&
           sscanf(text, "%lx-%lx %4s %lx %*s %lu", &ret_line->view.start, &ret_line->view.end,
                  ret_line->access, &ret_line->view.offset_bytes, &ret_line->view.file) == 5;
}

size_t mappings_resident_bytes(void)
{
    static struct view views[VIEWS_MAX];
    FILE *file = fopen("/proc/self/maps", "re");
    size_t resident_bytes = 0;
    size_t views_count = 0;
    struct line line;

    if (file == NULL)
        return 0;
    while (read_line(file, &line)) {
        if (line.access[3] == 's') {
            if (views_count == VIEWS_MAX)
                break;
            views[views_count++] = line.view;
        } else if (line.view.file == 0) {
            resident_bytes += resident_between(line.view.start, line.view.end);
        }
    }
    fclose(file);
    if (views_count == VIEWS_MAX)
        return 0;
    return resident_bytes + resident_in_views(views, views_count);
}
