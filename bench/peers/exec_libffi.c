/* SPDX-License-Identifier: MIT */
/* exec_libffi.c -- libffi's closures.
 *
 * A closure is a record of fixed size with a trampoline, which libffi writes itself; it is no room for code
 * that somebody else made.  So only the rows on small spans that are not written are for it.
 */
#include "exec_all.h"
#include "peer_library.h"

/* sizeof(ffi_closure) is 56 or less where this runs; libffi rounds it up itself. */
#define CLOSURE_BYTES 64

typedef void *closure_alloc_fn(size_t bytes, void **ret_code);
typedef void closure_free_fn(void *closure);

static closure_alloc_fn *closure_alloc;
static closure_free_fn *closure_free;

static int open_library(void)
{
    static const char *const names[] = { "libffi.so.8", "libffi.so.7", NULL };
    void *library = library_open(names);

    if (library == NULL)
        return -1;
    closure_alloc = (closure_alloc_fn *)library_find(library, "ffi_closure_alloc");
    closure_free = (closure_free_fn *)library_find(library, "ffi_closure_free");
    return closure_alloc != NULL && closure_free != NULL ? 0 : -1;
}

static bool alloc(size_t bytes, struct exec_span *ret_span)
{
    ret_span->bytes = bytes;
    ret_span->rw = closure_alloc(bytes, &ret_span->rx);
    return ret_span->rw != NULL;
}

static void release(const struct exec_span *span)
{
    closure_free(span->rw);
}

const struct exec_peer exec_peer_libffi = {
    .peer = { .name = "libffi",
              .description = "libffi.so.8: ffi_closure_alloc, ffi_closure_free; closures only",
              .open = open_library },
    .alloc = alloc,
    .release = release,
    .bytes_max = CLOSURE_BYTES,
};
