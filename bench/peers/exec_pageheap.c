/* SPDX-License-Identifier: MIT */
/* exec_pageheap.c -- this library's executable heaps, through their public calls: one with default options,
 * and one of the backend that flips protections, for machines that allow no pair of views. */
#include "exec_all.h"

#include <pageheap/exec.h>

#include <string.h>

static pageheap_exec *heap;

static int open_heap(uint32_t backend)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;

    options.backend = backend;
    heap = pageheap_exec_create(&options);
    return heap != NULL ? 0 : -1;
}

static int open_best(void)
{
    return open_heap(PAGEHEAP_EXEC_BEST);
}

static int open_flip(void)
{
    return open_heap(PAGEHEAP_EXEC_FLIP);
}

static bool alloc(size_t bytes, struct exec_span *ret_span)
{
    pageheap_exec_span span;

    if (pageheap_exec_alloc(heap, bytes, &span) != 0)
        return false;
    *ret_span = (struct exec_span){ span.rx, span.rw, bytes };
    return true;
}

static void release(const struct exec_span *span)
{
    pageheap_exec_free(heap, span->rx, span->bytes);
}

/* The cheapest way: straight through the second view where there is one. */
static bool publish(struct exec_span *span, const void *code, size_t bytes)
{
    if (span->rw != NULL)
        memcpy(span->rw, code, bytes);
    else if (pageheap_exec_write(heap, span->rx, code, bytes) != 0)
        return false;
    return pageheap_exec_publish(heap, span->rx, bytes) == 0;
}

static void trim(void)
{
    pageheap_exec_trim(heap, 0);
}

const struct exec_peer exec_peer_pageheap = {
    .peer = { .name = "pageheap",
              .description =
                  "this library: pageheap_exec_alloc, _publish and _free on a heap with default options",
              .role = PEER_OURS,
              .open = open_best,
              .trim = trim },
    .alloc = alloc,
    .release = release,
    .publish = publish,
};

const struct exec_peer exec_peer_pageheap_flip = {
    .peer = { .name = "pageheap-flip",
              .description = "the same on a heap without a second view (PAGEHEAP_EXEC_FLIP)",
              .role = PEER_VARIANT,
              .open = open_flip,
              .trim = trim },
    .alloc = alloc,
    .release = release,
    .publish = publish,
};
