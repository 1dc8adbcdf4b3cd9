/* SPDX-License-Identifier: MIT */
/* peer_tbb.c -- oneTBB's scalable allocator. */
#include "peers_all.h"
#include "peer_library.h"

#define CLEAN_ALL_BUFFERS 0 /* TBBMALLOC_CLEAN_ALL_BUFFERS of its header, which need not be installed */

typedef void *aligned_malloc_fn(size_t bytes, size_t align_bytes);
typedef void aligned_free_fn(void *run);
typedef int command_fn(int command, void *parameter);

static aligned_malloc_fn *scalable_aligned_malloc;
static aligned_free_fn *scalable_aligned_free;
static command_fn *scalable_allocation_command;

static void *alloc(size_t pages)
{
    return scalable_aligned_malloc(pages * PEER_PAGE_BYTES, PEER_PAGE_BYTES);
}

static void release(void *run, size_t pages)
{
    (void)pages;
    scalable_aligned_free(run);
}

static int open_library(void)
{
    static const char *const names[] = { "libtbbmalloc.so.2", NULL };
    void *library = library_open(names);

    if (library == NULL)
        return -1;
    scalable_aligned_malloc = (aligned_malloc_fn *)library_find(library, "scalable_aligned_malloc");
    scalable_aligned_free = (aligned_free_fn *)library_find(library, "scalable_aligned_free");
    scalable_allocation_command = (command_fn *)library_find(library, "scalable_allocation_command");
    return scalable_aligned_malloc != NULL && scalable_aligned_free != NULL &&
                   scalable_allocation_command != NULL
               ? 0
               : -1;
}

static void trim(void)
{
    scalable_allocation_command(CLEAN_ALL_BUFFERS, NULL);
}

const struct peer peer_tbb = {
    .name = "tbb",
    .description = "libtbbmalloc.so.2 (oneTBB): scalable_aligned_malloc and scalable_aligned_free",
    .open = open_library,
    .alloc = alloc,
    .release = release,
    .trim = trim,
};
