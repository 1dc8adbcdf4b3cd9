/* SPDX-License-Identifier: MIT */
/* fragmentation.c -- LLFree's fragmentation test.
 *
 * Single pages are taken until 16 GiB of address space are in use; a random half is given back; then, a
 * hundred times, a random tenth of what is live is given back and as much is taken.  An allocator that fills
 * partly used blocks first ends with nearly as many free 2 MiB blocks as its free pages could make.
 */
#include "../harness.h"
#include "../peers/peers_all.h"
#include "../workload.h"

#include <math.h>
#include <stdlib.h>

#define BLOCK_LOG2  21
#define BLOCK_PAGES (((size_t)1 << BLOCK_LOG2) / PEER_PAGE_BYTES)
#define TOTAL_PAGES (((size_t)16 << 30) / PEER_PAGE_BYTES)
#define ROUNDS      100

struct pages {
    const struct peer *peer;
    void **runs;
    size_t count;
    struct rng rng;
};

static bool take(struct pages *pages, size_t count)
{
    while (count-- != 0) {
        void *run = pages->peer->alloc(1);

        if (run == NULL)
            return false;
        pages->runs[pages->count++] = run;
    }
    return true;
}

static void give_back_random(struct pages *pages, size_t count)
{
    while (count-- != 0) {
        size_t index = rng_below(&pages->rng, pages->count);

        pages->peer->release(pages->runs[index], 1);
        pages->runs[index] = pages->runs[--pages->count];
    }
}

static int compare_addresses(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left;
    uintptr_t b = *(const uintptr_t *)right;

    return (a > b) - (a < b);
}

/* Of any allocator: the 2 MiB ranges that hold a live page. */
static size_t blocks_by_address(struct pages *pages)
{
    size_t blocks = 0;
    uintptr_t last = 0;

    qsort(pages->runs, pages->count, sizeof *pages->runs, compare_addresses);
    for (size_t i = 0; i < pages->count; i++) {
        uintptr_t block = (uintptr_t)pages->runs[i] >> BLOCK_LOG2;

        blocks += block != last;
        last = block;
    }
    return blocks;
}

static int count_used_block(void *context, const pageheap_block *block)
{
    size_t *used_blocks = context;

    *used_blocks += block->unused_pages != block->pages;
    return 0;
}

int workload_fragmentation(const struct workload_run *run, double *ret_values)
{
    struct pages pages = { .peer = run->peer, .rng = rng_seeded(run->seed) };
    size_t total_blocks = TOTAL_PAGES / BLOCK_PAGES;
    size_t ideal_blocks;
    size_t used_blocks = 0;

    pages.runs = resident_array(TOTAL_PAGES * sizeof *pages.runs);
    if (pages.runs == NULL || !take(&pages, TOTAL_PAGES))
        return -1;
    give_back_random(&pages, TOTAL_PAGES / 2);
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t tenth = pages.count / 10;

        give_back_random(&pages, tenth);
        if (!take(&pages, tenth))
            return -1;
    }
    ideal_blocks = (TOTAL_PAGES - pages.count) / BLOCK_PAGES;
    if (run->peer == &peer_pageheap) {
        /* Stricter than the addresses: what a thread's cache holds is not free for a block either. */
        if (pageheap_each_block(peer_pageheap_heap(), count_used_block, &used_blocks) != 0)
            return -1;
    } else {
        used_blocks = blocks_by_address(&pages);
    }
    ret_values[0] =
        used_blocks < total_blocks ? (double)(total_blocks - used_blocks) / (double)ideal_blocks : 0;
    return 0;
}
