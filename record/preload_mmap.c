/* SPDX-License-Identifier: MIT */
/* preload_mmap.c -- mmap, munmap, mremap and mprotect as the recorded program calls them.
 *
 * The system calls are made directly, with the recorder locked wherever one takes addresses away: nobody
 * can be given an address between its unmapping and the event that says so.  The C library's own mappings
 * for malloc do not come this way, so nothing is counted twice.
 */
#include "preload.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static uintptr_t map_directly(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    return (uintptr_t)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}

static bool has_failed(uintptr_t result)
{
    return result == (uintptr_t)MAP_FAILED;
}

RECORD_EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    bool is_recorded = record_depth == 0 && (flags & (MAP_ANONYMOUS | MAP_FIXED)) != 0;
    struct record_state *state;
    uintptr_t result;

    record_depth++;
    state = is_recorded ? lock_state() : NULL;
    result = map_directly(address, bytes, protection, flags, file, offset);
    if (state != NULL) {
        if (!has_failed(result) && (flags & MAP_ANONYMOUS) != 0)
            map_insert(state, result, bytes, protection == PROT_NONE);
        else if (!has_failed(result))
            map_remove(state, result, bytes); /* a file in place of what was there */
        unlock_state(state);
    }
    record_depth--;
    return (void *)result; /* NOLINT(performance-no-int-to-ptr) */
}

/* Where off_t has 64 bits the two are one function under two names. */
RECORD_EXPORT void *mmap64(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
    __attribute__((alias("mmap")));

RECORD_EXPORT int munmap(void *address, size_t bytes)
{
    struct record_state *state;
    int result;

    record_depth++;
    state = record_depth == 1 ? lock_state() : NULL;
    result = (int)syscall(SYS_munmap, address, bytes);
    if (state != NULL) {
        if (result == 0)
            map_remove(state, (uintptr_t)address, bytes);
        unlock_state(state);
    }
    record_depth--;
    return result;
}

RECORD_EXPORT int mprotect(void *address, size_t bytes, int protection)
{
    struct record_state *state;
    int result;

    record_depth++;
    state = record_depth == 1 && protection != PROT_NONE ? lock_state() : NULL;
    result = (int)syscall(SYS_mprotect, address, bytes, protection);
    if (state != NULL) {
        if (result == 0)
            map_commit(state, (uintptr_t)address, bytes);
        unlock_state(state);
    }
    record_depth--;
    return result;
}

RECORD_EXPORT void *mremap(void *address, size_t bytes, size_t new_bytes, int flags, ...)
{
    /* With MREMAP_DONTUNMAP, and for an old size of 0, the old range stays mapped. */
    bool keeps_old = bytes == 0 || (flags & MREMAP_DONTUNMAP) != 0;
    struct record_state *state;
    uintptr_t result;
    void *wanted = NULL;
    va_list arguments;

    va_start(arguments, flags);
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0)
        wanted = va_arg(arguments, void *);
    va_end(arguments);
    record_depth++;
    state = record_depth == 1 ? lock_state() : NULL;
    result = (uintptr_t)syscall(SYS_mremap, address, bytes, new_bytes, flags, wanted);
    if (state != NULL) {
        if (!has_failed(result) && keeps_old)
            map_insert(state, result, new_bytes, false);
        else if (!has_failed(result))
            map_move(state, (uintptr_t)address, bytes, result, new_bytes);
        unlock_state(state);
    }
    record_depth--;
    return (void *)result; /* NOLINT(performance-no-int-to-ptr) */
}
