/* SPDX-License-Identifier: MIT */
/* inspect.h -- walks over a heap; no lock is held while the callback runs. */
#ifndef PH_HEAP_INSPECT_H
#define PH_HEAP_INSPECT_H

#include "pageheap/pageheap.h"

int ph_heap_each_run(pageheap *heap, pageheap_run_fn *fn, void *ctx);
int ph_heap_each_block(pageheap *heap, pageheap_block_fn *fn, void *ctx);

#endif
