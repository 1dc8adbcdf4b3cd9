/* SPDX-License-Identifier: MIT */
/* exec_flip.c -- one arena whose pages are made writable for each write and executable again after it.
 *
 * What a small JIT does that cares for W^X and nothing else.  Its allocator is as trivial as can be, a list
 * of freed spans for each size and a pointer that moves on, one thread only: what its rows show is the
 * flipping.
 */
#include "exec_all.h"

#include <string.h>
#include <sys/mman.h>

#define GRANULE_BYTES ((size_t)64)
#define ARENA_BYTES   ((size_t)1 << 30)
#define CLASSES       256 /* sizes up to 16 KiB */

static char *arena;
static size_t used_bytes;

/* Lists of freed spans by size in granules: the offset in granules of the first, and behind each the next.
 * They lie apart from the arena, which cannot be written.  0 ends a list: the first granule is never used. */
static uint32_t first_free[CLASSES + 1];
static uint32_t *next_free;

static int open_arena(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

    arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_EXEC, flags, -1, 0);
    next_free =
        mmap(NULL, ARENA_BYTES / GRANULE_BYTES * sizeof *next_free, PROT_READ | PROT_WRITE, flags, -1, 0);
    used_bytes = GRANULE_BYTES;
    return arena != MAP_FAILED && next_free != MAP_FAILED ? 0 : -1;
}

static size_t class_of(size_t bytes)
{
    return (bytes + GRANULE_BYTES - 1) / GRANULE_BYTES;
}

static bool alloc(size_t bytes, struct exec_span *ret_span)
{
    size_t class = class_of(bytes);
    size_t align_bytes = bytes < PEER_PAGE_BYTES ? GRANULE_BYTES : PEER_PAGE_BYTES;
    size_t offset_bytes;

    if (class > CLASSES)
        return false;
    offset_bytes = first_free[class] * GRANULE_BYTES;
    if (offset_bytes != 0) {
        first_free[class] = next_free[first_free[class]];
    } else {
        offset_bytes = (used_bytes + align_bytes - 1) / align_bytes * align_bytes;
        if (offset_bytes + class * GRANULE_BYTES > ARENA_BYTES)
            return false;
        used_bytes = offset_bytes + class * GRANULE_BYTES;
    }
    *ret_span = (struct exec_span){ arena + offset_bytes, NULL, bytes };
    return true;
}

static void release(const struct exec_span *span)
{
    size_t class = class_of(span->bytes);
    uint32_t granule = (uint32_t)((size_t)((char *)span->rx - arena) / GRANULE_BYTES);

    next_free[granule] = first_free[class];
    first_free[class] = granule;
}

static bool publish(struct exec_span *span, const void *code, size_t bytes)
{
    char *rx = span->rx;
    char *page = rx - (uintptr_t)rx % PEER_PAGE_BYTES;
    size_t flipped_bytes = (size_t)(rx - page) + bytes;

    if (mprotect(page, flipped_bytes, PROT_READ | PROT_WRITE) != 0)
        return false;
    memcpy(rx, code, bytes);
    __builtin___clear_cache(rx, rx + bytes);
    return mprotect(page, flipped_bytes, PROT_READ | PROT_EXEC) == 0;
}

const struct exec_peer exec_peer_flip = {
    .peer = { .name = "flip",
              .description = "the system: one arena, mprotect before and after each write",
              .open = open_arena },
    .alloc = alloc,
    .release = release,
    .publish = publish,
};
