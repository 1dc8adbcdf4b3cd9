/* SPDX-License-Identifier: MIT */
/* peer_null.c -- no allocator at all: what its rows show is what the measuring itself costs. */
#include "peers_all.h"

#define RUN_PAGES_MAX 4096

static _Alignas(4096) char run_bytes[RUN_PAGES_MAX * PEER_PAGE_BYTES];

static int open_nothing(void)
{
    return 0;
}

static void *alloc(size_t pages)
{
    return pages <= RUN_PAGES_MAX ? run_bytes : NULL;
}

static void release(void *run, size_t pages)
{
    (void)run;
    (void)pages;
}

const struct peer peer_null = {
    .name = "null",
    .description = "no allocator: the cost of the harness",
    .role = PEER_NULL,
    .open = open_nothing,
    .alloc = alloc,
    .release = release,
};
