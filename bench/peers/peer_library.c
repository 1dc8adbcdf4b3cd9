/* SPDX-License-Identifier: MIT */
/* peer_library.c -- see peer_library.h. */
#include "peer_library.h"

#include "../peer.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#define PROBE_RUNS 64

void *library_open(const char *const *names)
{
    for (; *names != NULL; names++) {
        /* Local: the rest of the process keeps its own malloc, so what is measured is the peer alone. */
        void *library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);

        if (library != NULL)
            return library;
    }
    return NULL;
}

library_fn *library_find(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    library_fn *function;

    /* ISO C has no conversion from an object pointer to a function pointer;
     * POSIX says the bytes are the same. */
    static_assert(sizeof function == sizeof symbol, "dlsym can return functions");
    memcpy(&function, &symbol, sizeof function);
    return function;
}

bool library_aligns(void *(*alloc)(size_t pages), void (*release)(void *run, size_t pages), size_t pages)
{
    void *runs[PROBE_RUNS];
    bool aligned = true;

    for (size_t i = 0; i < PROBE_RUNS; i++) {
        runs[i] = alloc(pages);
        aligned = aligned && runs[i] != NULL && (uintptr_t)runs[i] % PEER_PAGE_BYTES == 0;
    }
    for (size_t i = 0; i < PROBE_RUNS; i++) {
        if (runs[i] != NULL)
            release(runs[i], pages);
    }
    return aligned;
}
