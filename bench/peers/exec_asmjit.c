/* SPDX-License-Identifier: MIT */
/* exec_asmjit.c -- asmjit's JitAllocator with two views of each block, without and with trap fill. */
#include "exec_all.h"
#include "exec_asmjit_calls.h"

#include <string.h>

static int open_plain(void)
{
    return exec_asmjit_open(false) ? 0 : -1;
}

static int open_filling(void)
{
    return exec_asmjit_open(true) ? 0 : -1;
}

static bool alloc(size_t bytes, struct exec_span *ret_span)
{
    ret_span->bytes = bytes;
    return exec_asmjit_alloc(bytes, &ret_span->rx, &ret_span->rw);
}

static void release(const struct exec_span *span)
{
    exec_asmjit_release(span->rx);
}

/* What asmjit's own JitRuntime does after it copied a function. */
static bool publish(struct exec_span *span, const void *code, size_t bytes)
{
    memcpy(span->rw, code, bytes);
    __builtin___clear_cache((char *)span->rx, (char *)span->rx + bytes);
    return true;
}

const struct exec_peer exec_peer_asmjit = {
    .peer = { .name = "asmjit",
              .description = "asmjit's JitAllocator (libasmjit.a), kUseDualMapping",
              .open = open_plain },
    .alloc = alloc,
    .release = release,
    .publish = publish,
};

const struct exec_peer exec_peer_asmjit_fill = {
    .peer = { .name = "asmjit-fill",
              .description = "the same with kFillUnusedMemory: freed memory holds traps, as ours does",
              .open = open_filling },
    .alloc = alloc,
    .release = release,
    .publish = publish,
};
