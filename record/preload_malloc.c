/* SPDX-License-Identifier: MIT */
/* preload_malloc.c -- the malloc family as the recorded program calls it.
 *
 * Each function does what the real one does and then says what happened.  A call that comes from inside the
 * allocator, or from a signal handler that interrupted the recorder, is passed on and not recorded.
 */
#include "preload.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* The look-up of the real functions allocates little and frees next to nothing:
 * its memory is never reused. */
static void free_early(void *memory)
{
    (void)memory;
}

static void *end_of_alloc(void *memory, size_t bytes)
{
    uint64_t pages = pages_of_request(bytes);

    if (memory != NULL && pages != 0 && record_depth == 1)
        note_malloc(memory, pages);
    record_depth--;
    return memory;
}

RECORD_EXPORT void *malloc(size_t bytes)
{
    const struct real_functions *real = real_functions();

    if (real == NULL)
        return bootstrap_alloc(bytes);
    record_depth++;
    return end_of_alloc(real->malloc(bytes), bytes);
}

RECORD_EXPORT void *calloc(size_t count, size_t item_bytes)
{
    const struct real_functions *real = real_functions();
    size_t bytes;

    if (__builtin_mul_overflow(count, item_bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (real == NULL)
        return bootstrap_alloc(bytes);
    record_depth++;
    return end_of_alloc(real->calloc(count, item_bytes), bytes);
}

/* A block from the bootstrap array moves to the real allocator. */
static void *realloc_early(void *memory, size_t bytes)
{
    size_t old_bytes = memory != NULL ? bootstrap_bytes(memory) : 0;
    void *moved = malloc(bytes);

    if (moved != NULL && memory != NULL)
        memcpy(moved, memory, old_bytes < bytes ? old_bytes : bytes);
    return moved;
}

RECORD_EXPORT void *realloc(void *memory, size_t bytes)
{
    const struct real_functions *real = real_functions();
    struct taken_run taken = { 0, 0 };
    void *moved;

    if (real == NULL || bootstrap_owns(memory))
        return realloc_early(memory, bytes);
    record_depth++;
    if (memory != NULL && record_depth == 1)
        taken = take_run(memory);
    moved = real->realloc(memory, bytes);
    if (moved != NULL && record_depth == 1)
        note_realloc(taken, moved, pages_of_request(bytes));
    else if (taken.run != 0 && bytes != 0)
        put_run(memory, taken); /* failed: the old block is as it was */
    else if (taken.run != 0)
        note_realloc(taken, NULL, 0); /* realloc to nothing is a free */
    record_depth--;
    return moved;
}

RECORD_EXPORT void *reallocarray(void *memory, size_t count, size_t item_bytes)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, item_bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(memory, bytes);
}

RECORD_EXPORT int posix_memalign(void **ret_memory, size_t align_bytes, size_t bytes)
{
    const struct real_functions *real = real_functions();
    int code;

    if (real == NULL)
        return ENOMEM;
    record_depth++;
    code = real->posix_memalign(ret_memory, align_bytes, bytes);
    (void)end_of_alloc(code == 0 ? *ret_memory : NULL, bytes);
    return code;
}

RECORD_EXPORT void *aligned_alloc(size_t align_bytes, size_t bytes)
{
    const struct real_functions *real = real_functions();

    if (real == NULL)
        return NULL;
    record_depth++;
    return end_of_alloc(real->aligned_alloc(align_bytes, bytes), bytes);
}

RECORD_EXPORT void *memalign(size_t align_bytes, size_t bytes)
{
    const struct real_functions *real = real_functions();

    if (real == NULL)
        return NULL;
    record_depth++;
    return end_of_alloc(real->memalign(align_bytes, bytes), bytes);
}

RECORD_EXPORT void *valloc(size_t bytes)
{
    const struct real_functions *real = real_functions();

    if (real == NULL)
        return NULL;
    record_depth++;
    return end_of_alloc(real->valloc(bytes), bytes);
}

RECORD_EXPORT void *pvalloc(size_t bytes)
{
    const struct real_functions *real = real_functions();
    size_t whole_bytes = (bytes + RECORD_PAGE_BYTES - 1) / RECORD_PAGE_BYTES * RECORD_PAGE_BYTES;

    if (real == NULL)
        return NULL;
    record_depth++;
    return end_of_alloc(real->pvalloc(bytes), whole_bytes);
}

RECORD_EXPORT void free(void *memory)
{
    const struct real_functions *real = real_functions();

    if (memory == NULL)
        return;
    if (real == NULL || bootstrap_owns(memory)) {
        free_early(memory);
        return;
    }
    record_depth++;
    /* Before the real free: afterwards another thread may already have been given the address. */
    if (record_depth == 1)
        note_free(memory);
    real->free(memory);
    record_depth--;
}
