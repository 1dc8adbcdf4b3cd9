/* SPDX-License-Identifier: MIT */
/* peer_pageheap.c -- this library, through its public calls, on one heap with default options. */
#include "peers_all.h"

static pageheap *heap;

static int open_heap(void)
{
    heap = pageheap_create(NULL);
    /* Runs are asked for in pages of 4096 bytes; a heap with other pages would be given another task. */
    return heap != NULL && pageheap_page_bytes(heap) == PEER_PAGE_BYTES ? 0 : -1;
}

static void *alloc(size_t pages)
{
    return pageheap_alloc(heap, pages, 0);
}

static void release(void *run, size_t pages)
{
    pageheap_free(heap, run, pages);
}

static void idle(void)
{
    pageheap_tick(heap);
}

static void trim(void)
{
    pageheap_trim(heap, 0);
}

pageheap *peer_pageheap_heap(void)
{
    return heap;
}

const struct peer peer_pageheap = {
    .name = "pageheap",
    .description = "this library: pageheap_alloc and pageheap_free on a heap with default options",
    .role = PEER_OURS,
    .open = open_heap,
    .alloc = alloc,
    .release = release,
    .idle = idle,
    .trim = trim,
};
