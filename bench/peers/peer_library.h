/* SPDX-License-Identifier: MIT */
/* peer_library.h -- shared libraries of other allocators, loaded by name at run time. */
#ifndef PH_BENCH_PEERS_PEER_LIBRARY_H
#define PH_BENCH_PEERS_PEER_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/* A function of unknown type.  Cast it to its own before the call. */
typedef void library_fn(void);

/* Load the first of `names` (ended by NULL) that is installed.  NULL if none is. */
void *library_open(const char *const *names);

/* The function `name` of the library, or NULL. */
library_fn *library_find(void *library, const char *name);

/* True if many runs of `pages` pages, held at the same time, all came out page-aligned. */
bool library_aligns(void *(*alloc)(size_t pages), void (*release)(void *run, size_t pages), size_t pages);

#endif
