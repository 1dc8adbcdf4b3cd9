/* SPDX-License-Identifier: MIT */
/* seed.h -- the page heap that this library started from, written anew, so that every table has its row.
 *
 * Kept are its algorithm and its costs: one lock; blocks of 2 MiB from mmap; in each a bitmap of taken pages
 * and one of first pages, read page by page; two hints, one set by frees and one by allocations, that move
 * only to a block with more unused pages; then all blocks from the left; a new block, mapped without the
 * lock; direct mmap and munmap from 128 KiB; and its rule for shrinking.
 *
 * Not kept is what it gets wrong where being right costs the same: a free must name one whole live run, so
 * the page behind a run is never freed with it.  Large runs are passed to munmap unchecked, as in the
 * original.
 */
#ifndef PH_BENCH_SEED_H
#define PH_BENCH_SEED_H

#include "seed_tree.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEED_PAGE_BYTES   ((size_t)4096)
#define SEED_BLOCK_BYTES  ((size_t)2 << 20)
#define SEED_BLOCK_PAGES  (SEED_BLOCK_BYTES / SEED_PAGE_BYTES)
#define SEED_DIRECT_PAGES ((size_t)(128 << 10) / SEED_PAGE_BYTES)

struct seed_block;

struct seed_heap {
    pthread_mutex_t lock;
    struct seed_node *blocks;
    struct seed_block *freed_hint; /* NULL, or the block freed into that had the most unused pages */
    struct seed_block *taken_hint; /* the same for allocations */
    size_t pages;                  /* in all blocks */
    size_t unused_pages;           /* of them */
    uint64_t frees;
    uint64_t frees_at_shrink; /* `frees` when blocks were last given back */
};

#define SEED_HEAP_INIT                                                                                       \
    {                                                                                                        \
        PTHREAD_MUTEX_INITIALIZER, NULL, NULL, NULL, 0, 0, 0, 0                                              \
    }

/* A run of `pages` pages; NULL if there is no memory or no page is asked for. */
void *seed_alloc(struct seed_heap *heap, size_t pages);

/* 0, or -1 if [run, run + pages) is not exactly one live run below 128 KiB; then nothing has changed. */
int seed_free(struct seed_heap *heap, void *run, size_t pages);

/* Give every block back, live runs in them too; the original has no such call.  The heap is then empty. */
void seed_destroy(struct seed_heap *heap);

#endif
