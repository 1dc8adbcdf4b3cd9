/* SPDX-License-Identifier: MIT */
/* misuse.h -- what happens when a caller is refused. */
#ifndef PH_API_MISUSE_H
#define PH_API_MISUSE_H

#include <stddef.h>

#include "heap/heap.h"

/* Hand `code` on; a refusal is counted, and if the heap wants that to be fatal, one line and the end. */
int ph_judge(pageheap *heap, int code, const char *call, const void *address, size_t pages);
int ph_judge_bytes(pageheap *heap, int code, const char *call, const void *address, size_t bytes);

#endif
