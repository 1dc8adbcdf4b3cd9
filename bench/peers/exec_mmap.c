/* SPDX-License-Identifier: MIT */
/* exec_mmap.c -- the system alone: a mapping for each function, writable first and executable then. */
#include "exec_all.h"

#include <string.h>
#include <sys/mman.h>

static int open_nothing(void)
{
    return 0;
}

static bool alloc(size_t bytes, struct exec_span *ret_span)
{
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapping == MAP_FAILED)
        return false;
    *ret_span = (struct exec_span){ mapping, mapping, bytes };
    return true;
}

static void release(const struct exec_span *span)
{
    munmap(span->rx, span->bytes);
}

static bool publish(struct exec_span *span, const void *code, size_t bytes)
{
    if (span->rw == NULL && mprotect(span->rx, span->bytes, PROT_READ | PROT_WRITE) != 0)
        return false;
    memcpy(span->rx, code, bytes);
    __builtin___clear_cache((char *)span->rx, (char *)span->rx + bytes);
    span->rw = NULL;
    return mprotect(span->rx, span->bytes, PROT_READ | PROT_EXEC) == 0;
}

const struct exec_peer exec_peer_mmap = {
    .peer = { .name = "mmap",
              .description = "the system: mmap for each span, mprotect once it is written, munmap",
              .open = open_nothing },
    .alloc = alloc,
    .release = release,
    .publish = publish,
};
