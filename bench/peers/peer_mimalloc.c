/* SPDX-License-Identifier: MIT */
/* peer_mimalloc.c -- libmimalloc through its own names.
 *
 * The aligned call is its cheapest: it looks at the first free block and takes it if it happens to be
 * aligned, and nothing is promised for the plain call.
 */
#include "peers_all.h"
#include "peer_library.h"

typedef void *malloc_aligned_fn(size_t bytes, size_t align_bytes);
typedef void free_fn(void *run);
typedef void collect_fn(bool force);

static malloc_aligned_fn *mi_malloc_aligned;
static free_fn *mi_free;
static collect_fn *mi_collect;

static void *alloc(size_t pages)
{
    return mi_malloc_aligned(pages * PEER_PAGE_BYTES, PEER_PAGE_BYTES);
}

static void release(void *run, size_t pages)
{
    (void)pages;
    mi_free(run);
}

static int open_library(void)
{
    static const char *const names[] = { "libmimalloc.so.2", "libmimalloc.so.3", NULL };
    void *library = library_open(names);

    if (library == NULL)
        return -1;
    mi_malloc_aligned = (malloc_aligned_fn *)library_find(library, "mi_malloc_aligned");
    mi_free = (free_fn *)library_find(library, "mi_free");
    mi_collect = (collect_fn *)library_find(library, "mi_collect");
    return mi_malloc_aligned != NULL && mi_free != NULL && mi_collect != NULL ? 0 : -1;
}

static void idle(void)
{
    mi_collect(false);
}

static void trim(void)
{
    mi_collect(true);
}

const struct peer peer_mimalloc = {
    .name = "mimalloc",
    .description = "libmimalloc.so.2: mi_malloc_aligned and mi_free",
    .open = open_library,
    .alloc = alloc,
    .release = release,
    .idle = idle,
    .trim = trim,
};
