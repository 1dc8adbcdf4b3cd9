/* SPDX-License-Identifier: MIT */
/* seed.c -- see seed.h. */
#include "seed.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WORD_BITS   64
#define BLOCK_WORDS (SEED_BLOCK_PAGES / WORD_BITS)

/* Frees that must pass between two shrinks. */
#define SHRINK_FREES SEED_BLOCK_PAGES
/* Blocks' worth of unused pages below which nothing goes back. */
#define SHRINK_BLOCKS 3

struct seed_block {
    struct seed_node node; /* first: a node is its block */
    size_t unused_pages;
    uint64_t taken[BLOCK_WORDS];
    uint64_t first[BLOCK_WORDS]; /* pages that begin a run */
};

static bool bit_is_set(const uint64_t *words, size_t bit)
{
    return (words[bit / WORD_BITS] >> (bit % WORD_BITS) & 1) != 0;
}

/* Set, or clear, `count` bits from `bit` on, a word at a time. */
static void write_bits(uint64_t *words, size_t bit, size_t count, bool value)
{
    while (count != 0) {
        size_t shift = bit % WORD_BITS;
        size_t here = count < WORD_BITS - shift ? count : WORD_BITS - shift;
        uint64_t mask = (UINT64_MAX >> (WORD_BITS - here)) << shift;

        if (value)
            words[bit / WORD_BITS] |= mask;
        else
            words[bit / WORD_BITS] &= ~mask;
        bit += here;
        count -= here;
    }
}

/* The first bit from `bit` on whose value is `value`; SEED_BLOCK_PAGES if there is none. */
static size_t next_bit(const uint64_t *words, size_t bit, bool value)
{
    while (bit < SEED_BLOCK_PAGES) {
        uint64_t word = value ? words[bit / WORD_BITS] : ~words[bit / WORD_BITS];

        word >>= bit % WORD_BITS;
        if (word != 0)
            return bit + (size_t)__builtin_ctzll(word);
        bit += WORD_BITS - bit % WORD_BITS;
    }
    return SEED_BLOCK_PAGES;
}

/* From the far end, page by page: a taken page there rules out the candidate soonest. */
static bool range_is_unused(const struct seed_block *block, size_t page, size_t pages)
{
    while (pages-- != 0) {
        if (bit_is_set(block->taken, page + pages))
            return false;
    }
    return true;
}

static void *take_at(struct seed_heap *heap, struct seed_block *block, size_t page, size_t pages)
{
    write_bits(block->taken, page, pages, true);
    write_bits(block->first, page, 1, true);
    block->unused_pages -= pages;
    heap->unused_pages -= pages;
    if (heap->taken_hint == NULL || heap->taken_hint->unused_pages < block->unused_pages)
        heap->taken_hint = block;
    return (void *)(block->node.start + page * SEED_PAGE_BYTES);
}

/* First fit.  NULL if the block has no such run. */
static void *take_from(struct seed_heap *heap, struct seed_block *block, size_t pages)
{
    size_t page;

    if (block->unused_pages < pages)
        return NULL;
    page = next_bit(block->taken, 0, false);
    while (page + pages <= SEED_BLOCK_PAGES) {
        if (range_is_unused(block, page, pages))
            return take_at(heap, block, page, pages);
        page = next_bit(block->taken, next_bit(block->taken, page, true), false);
    }
    return NULL;
}

struct search {
    struct seed_heap *heap;
    size_t pages;
    void *run;
};

static bool try_block(void *context, struct seed_node *node)
{
    struct search *search = context;

    search->run = take_from(search->heap, (struct seed_block *)node, search->pages);
    return search->run != NULL;
}

/* The hints, then every block from the left.  The lock is held. */
static void *take_from_blocks(struct seed_heap *heap, size_t pages)
{
    struct search search = { heap, pages, NULL };

    if (heap->freed_hint != NULL)
        search.run = take_from(heap, heap->freed_hint, pages);
    if (search.run == NULL && heap->taken_hint != NULL)
        search.run = take_from(heap, heap->taken_hint, pages);
    if (search.run == NULL && heap->unused_pages >= pages)
        seed_tree_walk(heap->blocks, SEED_FROM_LEFT, try_block, &search);
    return search.run;
}

static void *map(size_t bytes)
{
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return start != MAP_FAILED ? start : NULL;
}

static struct seed_block *create_block(void)
{
    struct seed_block *block = calloc(1, sizeof *block);
    void *start;

    if (block == NULL)
        return NULL;
    start = map(SEED_BLOCK_BYTES);
    if (start == NULL) {
        free(block);
        return NULL;
    }
    block->node.start = (uintptr_t)start;
    block->unused_pages = SEED_BLOCK_PAGES;
    return block;
}

void *seed_alloc(struct seed_heap *heap, size_t pages)
{
    struct seed_block *block;
    void *run;

    if (pages == 0 || pages > SIZE_MAX / SEED_PAGE_BYTES)
        return NULL;
    if (pages >= SEED_DIRECT_PAGES)
        return map(pages * SEED_PAGE_BYTES);
    pthread_mutex_lock(&heap->lock);
    run = take_from_blocks(heap, pages);
    if (run == NULL) {
        /* As the original: threads that miss at the same time map a block each. */
        pthread_mutex_unlock(&heap->lock);
        block = create_block();
        pthread_mutex_lock(&heap->lock);
        if (block != NULL) {
            seed_tree_insert(&heap->blocks, &block->node);
            heap->pages += SEED_BLOCK_PAGES;
            heap->unused_pages += SEED_BLOCK_PAGES;
            run = take_from(heap, block, pages);
        }
    }
    pthread_mutex_unlock(&heap->lock);
    return run;
}

static bool is_live_run(const struct seed_block *block, size_t page, size_t pages)
{
    size_t end = page + pages;

    if (end > SEED_BLOCK_PAGES || !bit_is_set(block->first, page))
        return false;
    if (end != SEED_BLOCK_PAGES && bit_is_set(block->taken, end) && !bit_is_set(block->first, end))
        return false;
    for (size_t i = page + 1; i < end; i++) {
        if (!bit_is_set(block->taken, i) || bit_is_set(block->first, i))
            return false;
    }
    return true;
}

static bool block_is_unused(void *context, struct seed_node *node)
{
    (void)context;
    return ((const struct seed_block *)node)->unused_pages == SEED_BLOCK_PAGES;
}

static bool should_shrink(const struct seed_heap *heap)
{
    return heap->unused_pages >= SHRINK_BLOCKS * SEED_BLOCK_PAGES && heap->unused_pages >= heap->pages / 2 &&
           heap->frees - heap->frees_at_shrink > SHRINK_FREES;
}

/* Give unused blocks back, from the right, until a quarter of the heap is unused.  The lock is held; it is
 * let go for each munmap. */
static void shrink(struct seed_heap *heap)
{
    size_t target_pages = heap->pages / 4;

    while (heap->unused_pages > target_pages) {
        struct seed_node *node;

        heap->frees_at_shrink = heap->frees;
        node = seed_tree_walk(heap->blocks, SEED_FROM_RIGHT, block_is_unused, NULL);
        if (node == NULL)
            return;
        seed_tree_remove(&heap->blocks, node);
        heap->pages -= SEED_BLOCK_PAGES;
        heap->unused_pages -= SEED_BLOCK_PAGES;
        heap->freed_hint = NULL;
        heap->taken_hint = NULL;
        pthread_mutex_unlock(&heap->lock);
        munmap((void *)node->start, SEED_BLOCK_BYTES);
        free(node);
        pthread_mutex_lock(&heap->lock);
    }
}

static int free_in_block(struct seed_heap *heap, uintptr_t address, size_t pages)
{
    struct seed_block *block = (struct seed_block *)seed_tree_find(heap->blocks, address, SEED_BLOCK_BYTES);
    size_t page;

    if (block == NULL)
        return -1;
    page = (address - block->node.start) / SEED_PAGE_BYTES;
    if (!is_live_run(block, page, pages))
        return -1;
    write_bits(block->taken, page, pages, false);
    write_bits(block->first, page, 1, false);
    block->unused_pages += pages;
    heap->unused_pages += pages;
    heap->frees++;
    if (heap->freed_hint == NULL || heap->freed_hint->unused_pages < block->unused_pages)
        heap->freed_hint = block;
    if (should_shrink(heap))
        shrink(heap);
    return 0;
}

int seed_free(struct seed_heap *heap, void *run, size_t pages)
{
    int code;

    if (run == NULL)
        return 0;
    if (pages == 0 || (uintptr_t)run % SEED_PAGE_BYTES != 0)
        return -1;
    if (pages >= SEED_DIRECT_PAGES)
        return munmap(run, pages * SEED_PAGE_BYTES) == 0 ? 0 : -1;
    pthread_mutex_lock(&heap->lock);
    code = free_in_block(heap, (uintptr_t)run, pages);
    pthread_mutex_unlock(&heap->lock);
    return code;
}

static bool is_any(void *context, struct seed_node *node)
{
    (void)context;
    (void)node;
    return true;
}

void seed_destroy(struct seed_heap *heap)
{
    struct seed_node *node;

    while ((node = seed_tree_walk(heap->blocks, SEED_FROM_LEFT, is_any, NULL)) != NULL) {
        seed_tree_remove(&heap->blocks, node);
        munmap((void *)node->start, SEED_BLOCK_BYTES);
        free(node);
    }
    heap->freed_hint = NULL;
    heap->taken_hint = NULL;
    heap->pages = 0;
    heap->unused_pages = 0;
}
