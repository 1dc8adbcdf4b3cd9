/* SPDX-License-Identifier: MIT */
/* peer_mmap.c -- the system alone: each run is a mapping. */
#include "peers_all.h"

#include <sys/mman.h>

static int open_nothing(void)
{
    return 0;
}

static void *alloc(size_t pages)
{
    void *run =
        mmap(NULL, pages * PEER_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return run != MAP_FAILED ? run : NULL;
}

static void release(void *run, size_t pages)
{
    munmap(run, pages * PEER_PAGE_BYTES);
}

const struct peer peer_mmap = {
    .name = "mmap",
    .description = "the system: mmap and munmap for each run",
    .open = open_nothing,
    .alloc = alloc,
    .release = release,
};
