/* SPDX-License-Identifier: MIT */
/* peer_tcmalloc.c -- gperftools' tcmalloc.
 *
 * Its spans start on a page, so a size class of whole pages gives aligned runs from the plain call, much
 * cheaper than from tc_memalign.  Some sizes belong to a class that is not of whole pages: for those the
 * next size whose class is gets asked for.  The table of what to ask is made, and tried, at open.
 */
#include "peers_all.h"
#include "peer_library.h"

/* Above its largest size class every request is a span of its own. */
#define CLASS_PAGES_MAX 64

typedef void *malloc_fn(size_t bytes);
typedef void free_sized_fn(void *run, size_t bytes);
typedef size_t nallocx_fn(size_t bytes, int flags);
typedef void release_memory_fn(void);

static malloc_fn *tc_malloc;
static free_sized_fn *tc_free_sized;
static nallocx_fn *tc_nallocx;
static release_memory_fn *release_free_memory;
static size_t ask_bytes[CLASS_PAGES_MAX + 1];

static size_t bytes_to_ask(size_t pages)
{
    return pages <= CLASS_PAGES_MAX ? ask_bytes[pages] : pages * PEER_PAGE_BYTES;
}

static void *alloc(size_t pages)
{
    return tc_malloc(bytes_to_ask(pages));
}

static void release(void *run, size_t pages)
{
    tc_free_sized(run, bytes_to_ask(pages));
}

static int open_library(void)
{
    static const char *const names[] = { "libtcmalloc_minimal.so.4", "libtcmalloc.so.4", NULL };
    void *library = library_open(names);

    if (library == NULL)
        return -1;
    tc_malloc = (malloc_fn *)library_find(library, "tc_malloc");
    tc_free_sized = (free_sized_fn *)library_find(library, "tc_free_sized");
    tc_nallocx = (nallocx_fn *)library_find(library, "tc_nallocx");
    release_free_memory = library_find(library, "MallocExtension_ReleaseFreeMemory");
    if (tc_malloc == NULL || tc_free_sized == NULL || tc_nallocx == NULL || release_free_memory == NULL)
        return -1;
    for (size_t pages = 1; pages <= CLASS_PAGES_MAX; pages++) {
        ask_bytes[pages] = pages * PEER_PAGE_BYTES;
        while (tc_nallocx(ask_bytes[pages], 0) % PEER_PAGE_BYTES != 0)
            ask_bytes[pages] += PEER_PAGE_BYTES;
        if (!library_aligns(alloc, release, pages))
            return -1;
    }
    return 0;
}

static void trim(void)
{
    release_free_memory();
}

const struct peer peer_tcmalloc = {
    .name = "tcmalloc",
    .description =
        "libtcmalloc_minimal.so.4 (gperftools): tc_malloc where that is page-aligned, tc_free_sized",
    .open = open_library,
    .alloc = alloc,
    .release = release,
    .trim = trim,
};
