/* SPDX-License-Identifier: MIT */
/* sljit_heap.h -- sljit's hooks for executable memory, by macros: to be included before all else (-include).
 *
 * With its own allocator switched off, sljit asks SLJIT_MALLOC_EXEC for memory, writes there, and runs it at
 * an address that lies SLJIT_EXEC_OFFSET further: our two views.  SLJIT_UPDATE_WX_FLAGS says when code is
 * complete, and so it publishes.
 *
 * sljit's own test program has a SLJIT_MALLOC_EXEC of its own, which calls the SLJIT_BUILTIN_ one.
 */
#ifndef CONTRIB_SLJIT_HEAP_H
#define CONTRIB_SLJIT_HEAP_H

#include <stddef.h>

void *sljit_heap_take(size_t bytes);       /* returns where to write, NULL if there is no memory */
void sljit_heap_give(void *rx);            /* where it runs */
ptrdiff_t sljit_heap_offset(const void *); /* from where it is written to where it runs */
void sljit_heap_update(void *from, void *to, int executable);
void sljit_free_unused_memory_exec(void);

#define SLJIT_EXECUTABLE_ALLOCATOR            0
#define SLJIT_PROT_EXECUTABLE_ALLOCATOR       1 /* or the offset is ignored */
#define SLJIT_BUILTIN_MALLOC_EXEC(size, data) sljit_heap_take(size)
#define SLJIT_BUILTIN_FREE_EXEC(code, data)   sljit_heap_give(code)
#define SLJIT_EXEC_OFFSET(code)               sljit_heap_offset(code)
#define SLJIT_UPDATE_WX_FLAGS(from, to, executable)                                                          \
    sljit_heap_update((void *)(from), (void *)(to), (executable))

#ifndef SLJIT_HAVE_CONFIG_PRE
#define SLJIT_MALLOC_EXEC(size, data) sljit_heap_take(size)
#define SLJIT_FREE_EXEC(code, data)   sljit_heap_give(code)
#endif

#endif
