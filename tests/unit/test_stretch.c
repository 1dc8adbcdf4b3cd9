/* SPDX-License-Identifier: MIT */
/* test_stretch.c -- the order in which blocks are picked, and what it is for: threads' blocks lie apart. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/units.h"
#include "dice.h"
#include "heap/stretch.h"
#include "pageheap/pageheap.h"

#define ROUNDS 20000u

/* ---- against the same order, told block by block --------------------------------------------- */

typedef struct region {
    bool dirty[PH_REGION_BLOCKS_MAX], untaken[PH_REGION_BLOCKS_MAX], kept[PH_REGION_BLOCKS_MAX];
} region;

static int first_between(const bool *bits, unsigned from, unsigned end)
{
    for (unsigned b = from; b < end; b++)
        if (bits[b])
            return (int)b;
    return -1;
}

/* Even if somebody keeps it: kept_too. */
static bool is_of_nobody(const region *r, bool kept_too, unsigned from, unsigned end)
{
    for (unsigned b = from; b < end; b++)
        if (!r->untaken[b] || (r->kept[b] && !kept_too))
            return false;
    return true;
}

static int naive_of_others(const region *r, const bool *bits, bool kept_too, unsigned end, unsigned most,
                           ph_stretch *stretch)
{
    for (unsigned length = most; length >= 8; length /= 2)
        for (unsigned first = 0; first + length <= end; first += length) {
            int block = first_between(bits, first, first + length);
            if (block < 0 || !is_of_nobody(r, kept_too, first, first + length))
                continue;
            *stretch = (ph_stretch){ first, length };
            return block;
        }
    return -1;
}

static int naive_next(const region *r, unsigned usable, unsigned most, ph_stretch *stretch)
{
    unsigned first = usable;
    while (first % 8 != 0)
        first++;
    for (unsigned length = most; length >= 8; length /= 2) {
        if (first % length == 0 && first + length <= PH_REGION_BLOCKS_MAX &&
            is_of_nobody(r, false, first, first + length)) {
            *stretch = (ph_stretch){ first, length };
            return (int)first;
        }
    }
    return -1;
}

static int naive_pick(const region *r, unsigned usable, unsigned most, ph_stretch *stretch)
{
    unsigned end = stretch->first + stretch->blocks;
    int block = first_between(r->dirty, stretch->first, end);
    if (block < 0)
        block = naive_of_others(r, r->dirty, true, usable, most, stretch);
    if (block < 0)
        block = first_between(r->dirty, 0, PH_REGION_BLOCKS_MAX);
    if (block < 0)
        block = first_between(r->untaken, stretch->first, end);
    if (block < 0)
        block = naive_of_others(r, r->untaken, false, usable, most, stretch);
    if (block < 0)
        block = naive_next(r, usable, most, stretch);
    return block;
}

/* Blocks are taken in heaps, so that whole stretches are left; dirty ones are few. */
static void throw_region(dice *d, unsigned usable, region *ret_region)
{
    unsigned taken_of_ten = (unsigned)dice_below(d, 11);
    unsigned dirty_of_ten = (unsigned)dice_below(d, 4) * (unsigned)dice_below(d, 4);
    bool is_taken_here = false;
    bool is_kept_here = false;
    for (unsigned b = 0; b < PH_REGION_BLOCKS_MAX; b++) {
        if (b % 8 == 0) {
            is_taken_here = dice_below(d, 10) < taken_of_ten;
            is_kept_here = dice_below(d, 4) == 0;
        }
        ret_region->untaken[b] = b >= usable || !is_taken_here || dice_below(d, 2) == 0;
        ret_region->kept[b] = is_kept_here;
        ret_region->dirty[b] = b < usable && ret_region->untaken[b] && dice_below(d, 10) < dirty_of_ten;
    }
}

static void pack(const bool *bits, uint64_t *ret_words)
{
    memset(ret_words, 0, PH_REGION_WORDS * sizeof *ret_words);
    for (unsigned b = 0; b < PH_REGION_BLOCKS_MAX; b++)
        ret_words[b / 64] |= (uint64_t)bits[b] << b % 64;
}

static void picks_are_those_of_the_list(void **state)
{
    (void)state;
    dice d = dice_new();
    unsigned none = 0;
    unsigned moved = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        region r;
        ph_stretch_map map;
        unsigned usable = PH_REGION_BLOCKS_MAX;
        if (dice_below(&d, 2) == 0)
            usable = (unsigned)dice_below(&d, PH_REGION_BLOCKS_MAX);
        unsigned blocks = 8u << dice_below(&d, 3);
        unsigned most = 8u << dice_below(&d, 3);
        ph_stretch stretch = { 0, 0 };
        if (dice_below(&d, 4) != 0)
            stretch =
                (ph_stretch){ (unsigned)dice_below(&d, PH_REGION_BLOCKS_MAX / blocks) * blocks, blocks };
        throw_region(&d, usable, &r);
        pack(r.dirty, map.dirty);
        pack(r.untaken, map.untaken);
        pack(r.kept, map.kept);
        ph_stretch naive = stretch, ours = stretch;
        int expected = naive_pick(&r, usable, most, &naive);
        assert_int_equal(ph_stretch_pick(&map, usable, most, &ours), expected);
        assert_int_equal(ours.first, naive.first);
        assert_int_equal(ours.blocks, naive.blocks);
        none += expected < 0;
        moved += ours.blocks != stretch.blocks || ours.first != stretch.first;
    }
    assert_true(none > 0 && moved > ROUNDS / 10); /* both happen */
}

/* ---- in a heap ------------------------------------------------------------------------------- */

#define BLOCKS_EACH 64u
#define APART_BYTES (PH_STRETCH_BLOCKS_MIN * PH_BLOCK_BYTES)
#define PIECES_MAX  64u

struct taker {
    pageheap *heap;
    pthread_barrier_t *turn;
    uintptr_t runs[BLOCKS_EACH];
};

/* A run that fills a block, and then the other thread's turn. */
static void *take_in_turn(void *taker_of)
{
    struct taker *taker = taker_of;
    size_t pages = PH_BLOCK_BYTES / pageheap_page_bytes(taker->heap);
    for (unsigned i = 0; i < BLOCKS_EACH; i++) {
        pthread_barrier_wait(taker->turn);
        taker->runs[i] = (uintptr_t)pageheap_alloc(taker->heap, pages, 0);
    }
    pthread_barrier_wait(taker->turn); /* a thread that ends leaves its blocks to the other */
    return NULL;
}

static void blocks_of_two_threads_lie_apart(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    pthread_barrier_t turn;
    pthread_t threads[2];
    struct taker takers[2];
    assert_non_null(heap);
    assert_int_equal(pthread_barrier_init(&turn, NULL, 2), 0);
    for (unsigned t = 0; t < 2; t++) {
        takers[t] = (struct taker){ .heap = heap, .turn = &turn };
        assert_int_equal(pthread_create(&threads[t], NULL, take_in_turn, &takers[t]), 0);
    }
    for (unsigned t = 0; t < 2; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    pthread_barrier_destroy(&turn);

    uintptr_t base = takers[0].runs[0] / PH_WINDOW_BYTES * PH_WINDOW_BYTES;
    unsigned users[PIECES_MAX] = { 0 };
    unsigned shared = 0;
    for (unsigned t = 0; t < 2; t++)
        for (unsigned i = 0; i < BLOCKS_EACH; i++) {
            size_t piece = (takers[t].runs[i] - base) / APART_BYTES;
            assert_true(takers[t].runs[i] != 0 && piece < PIECES_MAX);
            users[piece] |= 1u << t;
        }
    for (unsigned piece = 0; piece < PIECES_MAX; piece++)
        shared += users[piece] == 3;
    assert_int_equal(shared, 1); /* where both began */
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* Without end means: until it is refused. */
static unsigned take_blocks(pageheap *heap, unsigned most)
{
    size_t pages = PH_BLOCK_BYTES / pageheap_page_bytes(heap);
    unsigned taken = 0;
    while (taken < most && pageheap_alloc(heap, pages, 0) != NULL)
        taken++;
    return taken;
}

/* A thread that has so many blocks, and is there until told to go. */
struct neighbour {
    pageheap *heap;
    unsigned blocks;
    pthread_t thread;
    pthread_barrier_t gate;
};

static void *take_and_stay(void *of)
{
    struct neighbour *n = of;
    if (n->blocks == 0) /* a front it has all the same */
        pageheap_free(n->heap, pageheap_alloc(n->heap, 1, 0), 1);
    take_blocks(n->heap, n->blocks);
    pthread_barrier_wait(&n->gate);
    pthread_barrier_wait(&n->gate);
    return NULL;
}

static void neighbour_begin(struct neighbour *n, pageheap *heap, unsigned blocks)
{
    n->heap = heap;
    n->blocks = blocks;
    assert_int_equal(pthread_barrier_init(&n->gate, NULL, 2), 0);
    assert_int_equal(pthread_create(&n->thread, NULL, take_and_stay, n), 0);
    pthread_barrier_wait(&n->gate);
}

static void neighbour_end(struct neighbour *n)
{
    pthread_barrier_wait(&n->gate);
    assert_int_equal(pthread_join(n->thread, NULL), 0);
    pthread_barrier_destroy(&n->gate);
}

static unsigned usable_blocks(pageheap *heap)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    return (unsigned)(stats.committed_bytes / PH_BLOCK_BYTES);
}

/* With RLIMIT_DATA at next to nothing, no more can be made usable (at 0 the kernel does not look). */
static void in_need_none_is_left(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    static struct neighbour neighbour; /* a failed assertion leaves its thread behind */
    struct rlimit old;
    assert_int_equal(take_blocks(heap, 6), 6);
    neighbour_begin(&neighbour, heap, 6);
    assert_int_equal(take_blocks(heap, 2), 2);
    unsigned usable = usable_blocks(heap);
    assert_int_equal(getrlimit(RLIMIT_DATA, &old), 0);
    assert_int_equal(setrlimit(RLIMIT_DATA, &(struct rlimit){ 4096, old.rlim_max }), 0);
    unsigned more = take_blocks(heap, PH_REGION_BLOCKS_MAX);
    assert_int_equal(setrlimit(RLIMIT_DATA, &old), 0);
    assert_int_equal(14 + more, usable);
    neighbour_end(&neighbour);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* What a thread keeps of a region that is gone says nothing about the next one, which may lie there too. */
static void no_stretch_outlives_its_region(void **state)
{
    (void)state;
    enum { MANY = 490 };
    pageheap *heap = pageheap_create(NULL);
    size_t pages = PH_BLOCK_BYTES / pageheap_page_bytes(heap);
    static struct neighbour neighbour; /* a failed assertion leaves its thread behind */
    static void *runs[MANY];
    neighbour_begin(&neighbour, heap, 0);
    for (unsigned i = 0; i < MANY; i++)
        runs[i] = pageheap_alloc(heap, pages, 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(pageheap_free(heap, runs[i], pages), 0);
    pageheap_trim(heap, 0);
    assert_int_equal(usable_blocks(heap), 0);
    assert_int_equal(take_blocks(heap, 6), 6);
    assert_in_range(usable_blocks(heap), 6, 32);
    neighbour_end(&neighbour);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* ---- what it must not cost --------------------------------------------------------------------- */

#define TURNS      40u
#define TURN_BYTES (40u << 20)

struct player {
    pageheap *heap;
    pthread_barrier_t *turn;
    unsigned number;
};

/* One at a time: take, touch and free as much. */
static void *play(void *of)
{
    struct player *player = of;
    size_t page_bytes = pageheap_page_bytes(player->heap);
    size_t count = TURN_BYTES / page_bytes;
    void **runs = malloc(count * sizeof *runs);
    for (unsigned turn = 0; turn < 2 * TURNS; turn++) {
        pthread_barrier_wait(player->turn);
        if (turn % 2 != player->number)
            continue;
        for (size_t i = 0; i < count; i++)
            if ((runs[i] = pageheap_alloc(player->heap, 1, 0)) != NULL)
                *(volatile char *)runs[i] = 1;
        for (size_t i = 0; i < count; i++)
            pageheap_free(player->heap, runs[i], 1);
    }
    free(runs);
    return NULL;
}

/* What one has freed the other takes: the heap stands at one height, and next to nothing goes back. */
static void threads_in_turn_use_the_same_memory(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    pthread_barrier_t turn;
    pthread_t threads[2];
    struct player players[2];
    assert_int_equal(pthread_barrier_init(&turn, NULL, 2), 0);
    for (unsigned t = 0; t < 2; t++) {
        players[t] = (struct player){ heap, &turn, t };
        assert_int_equal(pthread_create(&threads[t], NULL, play, &players[t]), 0);
    }
    for (unsigned t = 0; t < 2; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    pthread_barrier_destroy(&turn);
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    /* Sanitizers' shadow memory is touched for ours: its page faults look like those of the heap. */
    uint64_t most_bytes = TURNS * (uint64_t)TURN_BYTES / (PH_HAS_TSAN || PH_HAS_ASAN ? 1 : 4);
    assert_in_range(stats.given_back_bytes, 0, most_bytes);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_need_none_is_left),
        cmocka_unit_test(no_stretch_outlives_its_region),
        cmocka_unit_test(threads_in_turn_use_the_same_memory),
        cmocka_unit_test(picks_are_those_of_the_list),
        cmocka_unit_test(blocks_of_two_threads_lie_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
