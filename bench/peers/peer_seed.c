/* SPDX-License-Identifier: MIT */
/* peer_seed.c -- the page heap that this library started from, as a peer. */
#include "../seed.h"

#include "peers_all.h"

static struct seed_heap heap = SEED_HEAP_INIT;

static int open_nothing(void)
{
    return 0;
}

static void *alloc(size_t pages)
{
    return seed_alloc(&heap, pages);
}

static void release(void *run, size_t pages)
{
    seed_free(&heap, run, pages);
}

const struct peer peer_seed = {
    .name = "seed",
    .description = "the seed's algorithm: one lock, two bitmaps a block, two hints, search in address order",
    .open = open_nothing,
    .alloc = alloc,
    .release = release,
};
