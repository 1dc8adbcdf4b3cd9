/* SPDX-License-Identifier: MIT */
/* peer_glibc.c -- the running C library's own allocator. */
#include "peers_all.h"

#include <malloc.h>
#include <stdlib.h>

static int open_nothing(void)
{
    return 0;
}

static void *alloc(size_t pages)
{
    /* The older name: aligned_alloc is the same function behind one more check. */
    return memalign(PEER_PAGE_BYTES, pages * PEER_PAGE_BYTES);
}

static void release(void *run, size_t pages)
{
    (void)pages;
    free(run);
}

static void trim(void)
{
    malloc_trim(0);
}

const struct peer peer_glibc = {
    .name = "glibc",
    .description = "the C library: memalign and free",
    .open = open_nothing,
    .alloc = alloc,
    .release = release,
    .trim = trim,
};
