/* SPDX-License-Identifier: MIT */
/* test_need.c -- an allocation that memory in the heap can serve does not fail because the system refuses. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "heap/heap.h"
#include "os/os.h"
#include "pageheap/pageheap.h"

#define PAGE   4096u
#define BLOCKS 20u

static pageheap *heap;
static ph_os_calls real_os;

static int refuse_range(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return -ENOMEM;
}

static int refuse_any(size_t bytes, void **ret_base)
{
    (void)bytes;
    (void)ret_base;
    return -ENOMEM;
}

/* No address space and no commit from now on. */
static void refuse(void)
{
    ph_os.reserve = refuse_any;
    ph_os.map = refuse_any;
    ph_os.use = refuse_range;
}

/* With some blocks that are nobody's. */
static int set_up(void **state)
{
    (void)state;
    real_os = ph_os;
    heap = pageheap_create(NULL);
    return heap == NULL || pageheap_free(heap, pageheap_alloc(heap, BLOCKS * 512, 0), BLOCKS * 512) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    ph_os = real_os;
    return pageheap_check(heap) != 0 || pageheap_destroy(heap) != 0;
}

static pageheap_stats stats_now(void)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    assert_int_equal(pageheap_get_stats(heap, &stats), 0);
    return stats;
}

/* Everything the system has given is taken, in runs of `pages`, until there is nothing left.  How many. */
static unsigned take_all(char **runs, unsigned most, size_t pages)
{
    unsigned count = 0;
    refuse();
    while (count < most && (runs[count] = pageheap_alloc(heap, pages, 0)) != NULL)
        count++;
    assert_true(count < most);
    assert_int_equal(errno, ENOMEM);
    return count;
}

static char *blocks[BLOCKS];

/* Blocks of which one page is in use: their longest hole begins behind it. */
static void *leave_blocks(void *of)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pageheap_alloc(heap, 512, 0);
        if (blocks[i] == NULL || pageheap_split(heap, blocks[i], 512, 1) != 0)
            return of;
        memset(blocks[i], 1, (size_t)512 * PAGE);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        (void)pageheap_free(heap, blocks[i] + PAGE, 511);
    return NULL;
}

/* How many of these runs lie in blocks that leave_blocks has left. */
static unsigned count_in_left_blocks(char *const *runs, unsigned count)
{
    unsigned inside = 0;
    for (unsigned i = 0; i < count; i++) {
        for (unsigned b = 0; b < BLOCKS; b++)
            inside += (uintptr_t)runs[i] - (uintptr_t)blocks[b] < (uintptr_t)512 * PAGE;
    }
    return inside;
}

static void run_to_its_end(void *(*work)(void *))
{
    pthread_t thread;
    void *failed;
    assert_int_equal(pthread_create(&thread, NULL, work, heap), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
}

/* Nothing is refused here: the blocks that an ended thread has left are merely of no use. */
static void left_blocks_are_no_hindrance(void **state)
{
    (void)state;
    assert_non_null(pageheap_alloc(heap, 1, 0));
    run_to_its_end(leave_blocks);
    uint64_t revocations = stats_now().revocations;
    for (unsigned i = 0; i < 8; i++) {
        void *run = pageheap_alloc_aligned(heap, 2, (size_t)512 * PAGE, 0);
        assert_non_null(run);
        assert_int_equal((uintptr_t)run % ((size_t)512 * PAGE), 0);
    }
    assert_int_equal(stats_now().failed_os_calls, 0);
    assert_int_equal(stats_now().revocations, revocations);
}

/* Given back, so that no page of them is dirty: they serve all the same. */
static void clean_holes_of_an_ended_thread_serve(void **state)
{
    (void)state;
    static char *runs[4096];
    assert_non_null(pageheap_alloc(heap, 1, 0));
    run_to_its_end(leave_blocks);
    pageheap_trim(heap, 0);
    unsigned count = take_all(runs, 4096, 100);
    assert_int_equal(count_in_left_blocks(runs, count), BLOCKS * 5);
}

typedef struct guest {
    pthread_barrier_t full, done;
} guest;

static void *stay_with_blocks(void *of)
{
    guest *g = of;
    void *failed = leave_blocks(NULL);
    pthread_barrier_wait(&g->full);
    pthread_barrier_wait(&g->done);
    return failed;
}

/* Blocks are threads' own, but nobody goes without while another has room. */
static void holes_of_a_living_thread_serve(void **state)
{
    (void)state;
    static char *runs[4096];
    guest g;
    pthread_t thread;
    assert_non_null(pageheap_alloc(heap, 1, 0));
    assert_int_equal(pthread_barrier_init(&g.full, NULL, 2), 0);
    assert_int_equal(pthread_barrier_init(&g.done, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, stay_with_blocks, &g), 0);
    pthread_barrier_wait(&g.full);
    unsigned count = take_all(runs, 4096, 100);
    assert_int_equal(count_in_left_blocks(runs, count), BLOCKS * 5);
    /* They are as good as any: freed and taken again, with a label too. */
    assert_int_equal(pageheap_free(heap, runs[count - 1], 100), 0);
    runs[count - 1] = pageheap_alloc_tagged(heap, 100, 0, "guest");
    assert_non_null(runs[count - 1]);
    pageheap_run found;
    assert_int_equal(pageheap_find(runs[count - 1] + PAGE, &found), 0);
    assert_string_equal(found.tag, "guest");
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pageheap_free(heap, runs[i], 100), 0);
    pthread_barrier_wait(&g.done);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&g.full);
    pthread_barrier_destroy(&g.done);
}

static char *singles[65536];

/* What the thread keeps ready in one length serves another. */
static void kept_runs_serve_other_lengths(void **state)
{
    (void)state;
    char *long_runs[8];
    for (unsigned i = 0; i < 8; i++)
        assert_non_null(long_runs[i] = pageheap_alloc(heap, 1500, 0));
    unsigned count = take_all(singles, 65536, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pageheap_free(heap, long_runs[i], 1500), 0);
    assert_non_null(pageheap_alloc_aligned(heap, 1, 1 << 20, PAGEHEAP_LOCKED));
    for (unsigned i = 4; i < 8; i++)
        assert_int_equal(pageheap_free(heap, long_runs[i], 1500), 0);
    assert_non_null(pageheap_alloc(heap, 14 * 512, 0)); /* where there were runs of three blocks */
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pageheap_free(heap, singles[i], 1), 0);
    for (unsigned i = 0; i < count / 64; i++)
        assert_non_null(pageheap_alloc(heap, 32, 0));
}

/* Holes that are aligned by luck, each just long enough. */
static void the_last_aligned_hole_is_found(void **state)
{
    (void)state;
    char *last = NULL;
    unsigned count = take_all(singles, 65536, 8);
    for (unsigned i = 0; i < count; i++) {
        if ((uintptr_t)singles[i] % (8 * PAGE) == 0)
            last = singles[i];
    }
    assert_non_null(last);
    assert_int_equal(pageheap_free(heap, last, 8), 0);
    pageheap_trim(heap, 0);
    assert_ptr_equal(pageheap_alloc_aligned(heap, 8, 8 * PAGE, 0), last);
    assert_null(pageheap_alloc_aligned(heap, 8, 8 * PAGE, 0));
}

/* ---- beside others --------------------------------------------------------------------------- */

static _Atomic int inside;

static int slow_advise(void *base, size_t bytes, enum ph_advice advice)
{
    if (advice == PH_ADVICE_DISCARD) {
        atomic_store(&inside, 1);
        nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
    }
    return real_os.advise(base, bytes, advice);
}

static void *trim(void *of)
{
    pageheap_trim(of, PAGE); /* not 0: the region stays */
    return NULL;
}

/* While memory is being given back it is nobody's: who would fail without it waits. */
static void what_is_being_given_back_is_waited_for(void **state)
{
    (void)state;
    static char *runs[2048];
    pthread_t thread;
    unsigned count = take_all(runs, 2048, 512);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pageheap_free(heap, memset(runs[i], 1, PAGE), 512), 0);
    ph_os.advise = slow_advise;
    atomic_store(&inside, 0);
    assert_int_equal(pthread_create(&thread, NULL, trim, heap), 0);
    for (unsigned round = 0; atomic_load(&inside) == 0 && round < 10000; round++)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    assert_int_equal(atomic_load(&inside), 1);
    assert_non_null(pageheap_alloc(heap, 512, 0));
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static unsigned barriers;

static int counting_barrier(void)
{
    barriers++;
    return real_os.barrier();
}

/* Threads are stopped for a look at everything, and once more for each that may have missed something. */
static void where_nothing_is_left_one_look_is_enough(void **state)
{
    (void)state;
    static char *runs[2 * BLOCKS];
    unsigned count = take_all(runs, 2 * BLOCKS, 512);
    assert_in_range(count, BLOCKS, 2 * BLOCKS - 1);
    barriers = 0;
    ph_os.barrier = counting_barrier;
    for (unsigned i = 0; i < 10; i++)
        assert_null(pageheap_alloc(heap, 512, 0));
    assert_in_range(barriers, ph_os_facts_now.has_barrier ? 10 : 0, 30);
}

static pthread_barrier_t at_the_door;

static void *take_one(void *of)
{
    pthread_barrier_wait(&at_the_door);
    return pageheap_alloc(of, 400, 0);
}

/* A thread has taken a block from the pool and waits to enter its front, which the forking one holds. */
static void blocks_in_the_hands_of_others_are_not_lost_at_fork(void **state)
{
    (void)state;
    unsigned children = 0, losses = 0;
    for (unsigned round = 0; round < 100; round++) {
        pthread_t threads[3];
        void *runs[3];
        assert_int_equal(pthread_barrier_init(&at_the_door, NULL, 4), 0);
        for (unsigned t = 0; t < 3; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, take_one, heap), 0);
        pthread_barrier_wait(&at_the_door);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            unsigned lost = 0;
            alarm(20);
            pageheap_trim(heap, PAGE);
            for (const ph_region *region = heap->regions; region != NULL; region = region->next)
                for (unsigned b = 0; b < region->committed_blocks; b++) {
                    const ph_block *block = ph_block_of_ours(region->base + b * PH_BLOCK_BYTES);
                    bool is_untaken = (region->map.untaken[b / 64] >> b % 64) & 1;
                    lost += ph_load_relaxed(&block->kind) == PH_BLOCK_EMPTY && !is_untaken;
                }
            /* Not _exit: ThreadSanitizer would miss the threads there that are not in this child. */
            syscall(SYS_exit_group, lost != 0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        children++;
        losses += WEXITSTATUS(status) != 0;
        for (unsigned t = 0; t < 3; t++)
            assert_int_equal(pthread_join(threads[t], &runs[t]), 0);
        for (unsigned t = 0; t < 3; t++)
            assert_int_equal(pageheap_free(heap, runs[t], 400), 0);
        pthread_barrier_destroy(&at_the_door);
        pageheap_trim(heap, 0);
    }
    assert_int_equal(losses, 0);
    assert_int_equal(children, 100);
}

#define NEED_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NEED_TEST(left_blocks_are_no_hindrance),
        NEED_TEST(clean_holes_of_an_ended_thread_serve),
        NEED_TEST(holes_of_a_living_thread_serve),
        NEED_TEST(kept_runs_serve_other_lengths),
        NEED_TEST(the_last_aligned_hole_is_found),
        NEED_TEST(what_is_being_given_back_is_waited_for),
        NEED_TEST(where_nothing_is_left_one_look_is_enough),
        NEED_TEST(blocks_in_the_hands_of_others_are_not_lost_at_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
