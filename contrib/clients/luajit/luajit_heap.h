/* SPDX-License-Identifier: MIT */
/* luajit_heap.h -- LuaJIT's hooks for executable memory, of which it has none: the three system calls of the
 * two files that map code, lj_mcode.c and lj_ccallback.c.  To be included before all else in those two
 * (-include); elsewhere LuaJIT maps data. */
#ifndef CONTRIB_LUAJIT_HEAP_H
#define CONTRIB_LUAJIT_HEAP_H

#include <sys/mman.h> /* now, that its declarations keep their names */

void *luajit_heap_map(void *hint, size_t bytes, int protection, int flags, int file, off_t offset);
int luajit_heap_unmap(void *start, size_t bytes);
int luajit_heap_protect(void *start, size_t bytes, int protection);

#define mmap     luajit_heap_map
#define munmap   luajit_heap_unmap
#define mprotect luajit_heap_protect

#endif
