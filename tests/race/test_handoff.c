/* SPDX-License-Identifier: MIT */
/* test_handoff.c -- threads hand runs to each other: whoever receives a run finds its contents and frees it.
 *
 * In a circle, each thread allocates for its neighbour and frees what the other neighbour allocated; with one
 * allocating thread and several that free; and with threads that end while their runs are being freed.
 */
#include "crew.h"
#include "heap/heap.h"
#include "ring.h"

#define THREADS_MAX 8
#define ITEMS       (25000u / CREW_SHARE)

typedef struct circle {
    pageheap *heap;
    unsigned threads;
    ring rings[THREADS_MAX]; /* ring i: from thread i to thread i + 1 */
} circle;

typedef struct member {
    circle *c;
    unsigned number;
    uint64_t seed;
} member;

static size_t throw_pages(dice *d)
{
    uint64_t kind = dice_below(d, 100);
    if (kind < 60)
        return 1 + dice_below(d, 3);
    if (kind < 97)
        return 1 + dice_below(d, 60);
    return 1 + dice_below(d, 700);
}

static bool take_one(pageheap *heap, ring *from)
{
    ring_item item;
    if (!ring_take(from, &item))
        return false;
    EXPECT(crew_is_intact(item.run, item.pages));
    EXPECT(pageheap_free(heap, item.run, item.pages) == 0);
    return true;
}

static void *be_member(void *of)
{
    member *m = of;
    circle *c = m->c;
    ring *to = &c->rings[m->number];
    ring *from = &c->rings[(m->number + c->threads - 1) % c->threads];
    dice d = dice_from_seed(m->seed);
    unsigned taken = 0;
    unsigned idle = 0;
    for (unsigned put = 0; put < ITEMS || taken < ITEMS;) {
        bool moved = false;
        if (put < ITEMS) {
            size_t pages = throw_pages(&d);
            void *run = pageheap_alloc(c->heap, pages, 0);
            EXPECT(run != NULL);
            if (run == NULL)
                return NULL;
            crew_fill(run, pages);
            moved = ring_put(to, (ring_item){ run, pages });
            if (!moved)
                EXPECT(pageheap_free(c->heap, run, pages) == 0); /* the ring is full */
            put += moved;
        }
        while (taken < ITEMS && take_one(c->heap, from)) {
            taken++;
            moved = true;
        }
        idle = moved ? 0 : idle + 1;
        crew_wait(idle);
    }
    return NULL;
}

static void go_round(unsigned threads)
{
    static circle c;
    member members[THREADS_MAX];
    dice d = dice_new();
    memset(&c, 0, sizeof c);
    c.threads = threads;
    c.heap = pageheap_create(NULL);
    assert_non_null(c.heap);
    for (unsigned i = 0; i < threads; i++)
        members[i] = (member){ &c, i, dice_next(&d) };
    crew_run(be_member, members, sizeof members[0], threads);
    crew_end(c.heap);
}

static void two_hand_over(void **state)
{
    (void)state;
    go_round(2);
}

static void eight_hand_over(void **state)
{
    (void)state;
    go_round(8);
}

/* ---- one allocates, others free -------------------------------------------------------- */

#define FREEING_THREADS 3

typedef struct fan {
    pageheap *heap;
    dice dice;
    ring rings[FREEING_THREADS];
    atomic_bool is_over;
} fan;

typedef struct freer {
    fan *f;
    unsigned number;
} freer;

static void *be_freer(void *of)
{
    freer *me = of;
    for (unsigned idle = 0;; idle++) {
        bool was_over = atomic_load(&me->f->is_over);
        bool any = false;
        while (take_one(me->f->heap, &me->f->rings[me->number]))
            any = true;
        if (!any && was_over)
            return NULL;
        idle = any ? 0 : idle;
        crew_wait(idle);
    }
}

static void *be_allocator(void *of)
{
    fan *f = of;
    for (unsigned i = 0; i < 2 * ITEMS; i++) {
        size_t pages = throw_pages(&f->dice);
        void *run = pageheap_alloc(f->heap, pages, 0);
        EXPECT(run != NULL);
        if (run == NULL)
            break;
        crew_fill(run, pages);
        for (unsigned round = 0; !ring_put(&f->rings[i % FREEING_THREADS], (ring_item){ run, pages });
             round++)
            crew_wait(round);
    }
    atomic_store(&f->is_over, true);
    return NULL;
}

static void one_allocates_three_free(void **state)
{
    (void)state;
    static fan f;
    pthread_t allocator;
    freer freers[FREEING_THREADS];
    f.dice = dice_new();
    f.heap = pageheap_create(NULL);
    assert_non_null(f.heap);
    assert_int_equal(pthread_create(&allocator, NULL, be_allocator, &f), 0);
    for (unsigned i = 0; i < FREEING_THREADS; i++)
        freers[i] = (freer){ &f, i };
    crew_run(be_freer, freers, sizeof freers[0], FREEING_THREADS);
    pthread_join(allocator, NULL);
    crew_end(f.heap);
}

/* ---- threads end while others free ----------------------------------------------------- */

#define GENERATIONS (200u / CREW_SHARE + 10)
#define RUNS_EACH   100u

typedef struct short_life {
    pageheap *heap;
    ring to;
    uint64_t seed;
    atomic_bool is_over;
} short_life;

/* The last runs are put just before the thread ends. */
static void *live_shortly(void *of)
{
    short_life *life = of;
    dice d = dice_from_seed(life->seed);
    for (unsigned i = 0; i < RUNS_EACH; i++) {
        size_t pages = throw_pages(&d);
        void *run = pageheap_alloc(life->heap, pages, 0);
        EXPECT(run != NULL);
        if (run == NULL)
            break;
        crew_fill(run, pages);
        EXPECT(ring_put(&life->to, (ring_item){ run, pages }));
    }
    atomic_store(&life->is_over, true);
    return NULL;
}

typedef struct line {
    pageheap *heap;
    uint64_t seed;
} line;

static void *free_for_generations(void *of)
{
    line *l = of;
    static _Thread_local short_life lives[2];
    dice d = dice_from_seed(l->seed);
    for (unsigned g = 0; g < GENERATIONS; g++) {
        pthread_t threads[2];
        for (unsigned i = 0; i < 2; i++) {
            memset(&lives[i], 0, sizeof lives[i]);
            lives[i].heap = l->heap;
            lives[i].seed = dice_next(&d);
            EXPECT(pthread_create(&threads[i], NULL, live_shortly, &lives[i]) == 0);
        }
        for (unsigned i = 0; i < 2; i++) {
            unsigned idle = 0;
            for (bool was_over = false; !was_over; crew_wait(idle++)) {
                was_over = atomic_load(&lives[i].is_over);
                while (take_one(l->heap, &lives[i].to))
                    idle = 0;
            }
            pthread_join(threads[i], NULL);
        }
    }
    return NULL;
}

static void owners_end_meanwhile(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    dice d = dice_new();
    line lines[2];
    for (unsigned i = 0; i < 2; i++)
        lines[i] = (line){ heap, dice_next(&d) };
    crew_run(free_for_generations, lines, sizeof lines[0], 2);
    crew_end(heap);
}

/* ---- a block of a shared front's ------------------------------------------------------- */

#define LEFT_RUNS 200u

typedef struct legacy {
    pageheap *heap;
    void *runs[LEFT_RUNS];
    atomic_uint step;
} legacy;

static void *leave_runs(void *of)
{
    legacy *l = of;
    EXPECT(pageheap_alloc_many(l->heap, 1, 0, l->runs, LEFT_RUNS) == LEFT_RUNS);
    atomic_store(&l->step, 1);
    for (unsigned round = 0; atomic_load(&l->step) != 2; round++)
        crew_wait(round);
    return NULL;
}

/* Others may be in the middle of freeing into such a block, by locked instructions: whoever inherits it uses
 * them too, and no hot path. */
static void who_inherits_from_a_shared_front_is_shared(void **state)
{
    (void)state;
    static legacy l;
    pthread_t thread;
    l.heap = pageheap_create(NULL);
    assert_non_null(l.heap);
    assert_int_equal(pthread_create(&thread, NULL, leave_runs, &l), 0);
    for (unsigned round = 0; atomic_load(&l.step) != 1; round++)
        crew_wait(round);
    assert_int_equal(pageheap_free(l.heap, l.runs[0], 1), 0); /* which makes it shared */
    const ph_front *mine = ph_front_mine(l.heap);
    assert_false(ph_front_is_shared(mine));
    atomic_store(&l.step, 2);
    assert_int_equal(pthread_join(thread, NULL), 0);
    l.runs[0] = pageheap_alloc(l.heap, 1, 0);
    assert_ptr_equal(ph_load_relaxed(ph_owner_of(ph_block_of_ours((uintptr_t)l.runs[1]))), mine);
    assert_true(ph_front_is_shared(mine));
    assert_true((ph_load_relaxed(&mine->attention) & PH_SHARED) != 0);
    assert_true(ph_load_relaxed(&mine->frees_for) != (uintptr_t)l.heap);
    assert_true(ph_load_relaxed(&mine->allocs_for) != (uintptr_t)l.heap);
    assert_int_equal(pageheap_free_many(l.heap, l.runs, 1, LEFT_RUNS), LEFT_RUNS);
    crew_end(l.heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hand_over),
        cmocka_unit_test(eight_hand_over),
        cmocka_unit_test(one_allocates_three_free),
        cmocka_unit_test(owners_end_meanwhile),
        cmocka_unit_test(who_inherits_from_a_shared_front_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
