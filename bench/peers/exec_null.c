/* SPDX-License-Identifier: MIT */
/* exec_null.c -- no allocator at all, and nothing that runs: what measuring code memory costs by itself. */
#include "exec_all.h"

#include <string.h>

static _Alignas(4096) char span_bytes[PEER_PAGE_BYTES];

static int open_nothing(void)
{
    return 0;
}

static bool alloc(size_t bytes, struct exec_span *ret_span)
{
    *ret_span = (struct exec_span){ span_bytes, span_bytes, bytes };
    return true;
}

static void release(const struct exec_span *span)
{
    (void)span;
}

static bool publish(struct exec_span *span, const void *code, size_t bytes)
{
    memcpy(span->rw, code, bytes);
    return true;
}

const struct exec_peer exec_peer_null = {
    .peer = { .name = "null",
              .description = "no allocator: the cost of the harness",
              .role = PEER_NULL,
              .open = open_nothing },
    .alloc = alloc,
    .release = release,
    .publish = publish,
    .bytes_max = sizeof span_bytes,
};
