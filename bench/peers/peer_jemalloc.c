/* SPDX-License-Identifier: MIT */
/* peer_jemalloc.c -- libjemalloc: malloc for the sizes that it aligns anyway, mallocx with an alignment for
 * the others.
 *
 * Its slabs start on a page, so classes of whole pages are aligned; large runs are not, because it shifts
 * them by some cache lines on purpose.  Sized frees spare it a lookup.
 */
#include "peers_all.h"
#include "peer_library.h"

/* The documented encodings of its header, which need not be installed. */
#define ALIGN_PAGE_FLAG 12 /* MALLOCX_ALIGN(4096) */
#define PURGE_ALL       "arena.4096.purge"
#define DECAY_ALL       "arena.4096.decay"

/* Requests up to here are served from slabs. */
#define SLAB_PAGES_MAX 3

typedef void *malloc_fn(size_t bytes);
typedef void *mallocx_fn(size_t bytes, int flags);
typedef void sdallocx_fn(void *run, size_t bytes, int flags);
typedef int mallctl_fn(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes);

static malloc_fn *je_malloc;
static mallocx_fn *je_mallocx;
static sdallocx_fn *je_sdallocx;
static mallctl_fn *je_mallctl;
static size_t plain_pages_max;

static void *alloc(size_t pages)
{
    if (pages <= plain_pages_max)
        return je_malloc(pages * PEER_PAGE_BYTES);
    return je_mallocx(pages * PEER_PAGE_BYTES, ALIGN_PAGE_FLAG);
}

static void release(void *run, size_t pages)
{
    je_sdallocx(run, pages * PEER_PAGE_BYTES, pages <= plain_pages_max ? 0 : ALIGN_PAGE_FLAG);
}

static int open_library(void)
{
    static const char *const names[] = { "libjemalloc.so.2", NULL };
    void *library = library_open(names);

    if (library == NULL)
        return -1;
    je_malloc = (malloc_fn *)library_find(library, "malloc");
    je_mallocx = (mallocx_fn *)library_find(library, "mallocx");
    je_sdallocx = (sdallocx_fn *)library_find(library, "sdallocx");
    je_mallctl = (mallctl_fn *)library_find(library, "mallctl");
    if (je_malloc == NULL || je_mallocx == NULL || je_sdallocx == NULL || je_mallctl == NULL)
        return -1;
    for (size_t pages = 1; pages <= SLAB_PAGES_MAX; pages++) {
        plain_pages_max = pages;
        if (!library_aligns(alloc, release, pages)) {
            plain_pages_max = pages - 1;
            break;
        }
    }
    return 0;
}

static void idle(void)
{
    je_mallctl(DECAY_ALL, NULL, NULL, NULL, 0);
}

static void trim(void)
{
    je_mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    je_mallctl(PURGE_ALL, NULL, NULL, NULL, 0);
}

const struct peer peer_jemalloc = {
    .name = "jemalloc",
    .description = "libjemalloc.so.2: malloc or mallocx with page alignment, and sdallocx",
    .open = open_library,
    .alloc = alloc,
    .release = release,
    .idle = idle,
    .trim = trim,
};
