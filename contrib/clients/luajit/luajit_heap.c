/* SPDX-License-Identifier: MIT */
/* luajit_heap.c -- LuaJIT's executable memory, near its interpreter, writable or executable by turns.
 *
 * LuaJIT maps an area of 64 KiB writable, generates code from its end downwards, and makes it executable; to
 * patch an area it makes the whole writable again, and runs none of it meanwhile.  So a heap whose pages flip
 * serves it: begin_write and end_write are its two calls of mprotect.
 *
 * All areas have to lie within 1 GiB of the interpreter.  LuaJIT asks for the place below its last area, and
 * otherwise guesses addresses and throws away what the system puts elsewhere.  Here the place asked for is
 * given if it is free in the heap; if not, the middle of the heap is tried, so that there is room below, and
 * then the whole of it.  All of it is near the interpreter, and no guess misses.
 */
#include "luajit_heap.h"

/* Here they are the system's. */
#undef mmap
#undef munmap
#undef mprotect

#include "client.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)

extern char lj_vm_exit_handler[]; /* LuaJIT's own centre of what jumps must reach */

/* A busy address space: take whatever is free within 2 GiB of the interpreter but `hole_mib` of it, which
 * begin 700 MiB before it.  Unused pieces of less than 1 MiB may remain. */
static void crowd(size_t hole_mib)
{
    uintptr_t centre = (uintptr_t)lj_vm_exit_handler & ~(uintptr_t)(MIB - 1);
    for (size_t mib = 0; mib < 4096; mib++) {
        if (mib >= 2048 - 700 && mib < 2048 - 700 + hole_mib)
            continue;
        (void)mmap((char *)(centre - 2048 * MIB + mib * MIB), MIB, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    }
}

static char *middle; /* of the heap; set once, in the constructor */

/* The first span of an empty heap is taken for its beginning.  If it is not, more requests are served by the
 * second attempt or the third. */
static void find_middle(void)
{
    pageheap_exec_stats stats = { .struct_bytes = sizeof stats };
    pageheap_exec_span span;
    if (pageheap_exec_get_stats(client_heap, &stats) != 0 || pageheap_exec_alloc(client_heap, 1, &span) != 0)
        return;
    middle = (char *)((uintptr_t)span.rx & ~(2 * MIB - 1)) + stats.reserved_bytes / 2;
    (void)pageheap_exec_free(client_heap, span.rx, span.bytes);
}

__attribute__((constructor)) static void start(void)
{
    const char *hole_mib = getenv("LUAJIT_HEAP_CROWD");
    if (hole_mib != NULL)
        crowd(strtoul(hole_mib, NULL, 10));
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_FLIP;
    options.near = lj_vm_exit_handler;
    options.reach_bytes = 1024 * MIB - 65536; /* LuaJIT keeps so much away from the ends */
    options.reserve_bytes = 64 * MIB;
    client_start(&options);
    find_middle();
}

static int take(void *hint, size_t bytes, pageheap_exec_span *ret_span)
{
    if (hint != NULL && client_take(bytes, hint, ret_span) == 0)
        return 0;
    if (middle != NULL && client_take(bytes, middle, ret_span) == 0)
        return 0;
    return client_take(bytes, NULL, ret_span);
}

void *luajit_heap_map(void *hint, size_t bytes, int protection, int flags, int file, off_t offset)
{
    pageheap_exec_span span;
    (void)protection, (void)flags, (void)file, (void)offset; /* private memory, to be written first */
    if (take(hint, bytes, &span) != 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    if (client_begin_write(span.rx, bytes) != 0) {
        (void)client_give(span.rx);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return span.rx;
}

int luajit_heap_unmap(void *start, size_t bytes)
{
    /* An area may go while it is written; if it is not, there is no write to end, which is no fault. */
    (void)pageheap_exec_end_write(client_heap, start, bytes);
    return client_give(start) == 0 ? 0 : -1;
}

int luajit_heap_protect(void *start, size_t bytes, int protection)
{
    int code =
        (protection & PROT_WRITE) != 0 ? client_begin_write(start, bytes) : client_end_write(start, bytes);
    if (code == 0 && (protection & PROT_EXEC) != 0)
        code = client_publish(start, bytes);
    errno = code == 0 ? errno : ENOMEM;
    return code == 0 ? 0 : -1;
}
