/* SPDX-License-Identifier: MIT */
/* test_double_free.c -- two threads free the same run at the same moment: exactly one of them succeeds.
 * PAGEHEAP_TEST_LONG makes each contest as long as its number of rounds asks, however slow the machine.
 *
 * A round is one run.  Runs come in batches, and both threads go through a batch in the same order, so that
 * they meet at many of its runs.  No thread allocates meanwhile: a run freed is nobody's until the next
 * batch.
 */
#include "crew.h"
#include "heap/heap.h"

#define BATCH_MAX 64u

typedef struct contest {
    pageheap *heap;
    size_t pages;
    unsigned batch;
    const char *tag;
    uint32_t flags;
    void *runs[BATCH_MAX];
    int codes[2][BATCH_MAX];
    atomic_uint turn;     /* number of the newest batch, from 1: it is there to be freed */
    atomic_uint finished; /* of this batch */
    atomic_bool is_over;
    bool owner_competes;
} contest;

typedef struct rival {
    contest *c;
    unsigned number;
} rival;

static void free_batch(contest *c, unsigned number)
{
    for (unsigned i = 0; i < c->batch; i++)
        c->codes[number][i] = (i + number) % 3 == 0 ? pageheap_free_unsized(c->heap, c->runs[i])
                                                    : pageheap_free(c->heap, c->runs[i], c->pages);
}

static void *compete(void *of)
{
    rival *r = of;
    contest *c = r->c;
    for (unsigned turn = 1;; turn++) {
        for (unsigned round = 0; atomic_load(&c->turn) < turn; round++) {
            if (atomic_load(&c->is_over))
                return NULL;
            crew_wait(round);
        }
        free_batch(c, r->number);
        atomic_fetch_add(&c->finished, 1);
    }
}

static void judge(const contest *c)
{
    for (unsigned i = 0; i < c->batch; i++) {
        int a = c->codes[0][i], b = c->codes[1][i];
        int loser = a == 0 ? b : a;
        EXPECT((a == 0) != (b == 0));
        EXPECT(loser == PAGEHEAP_EBADRUN || (loser == PAGEHEAP_ENOTOURS && c->pages > 262144));
    }
}

static void make_batch(contest *c)
{
    for (unsigned i = 0; i < c->batch; i++) {
        c->runs[i] = c->tag != NULL ? pageheap_alloc_tagged(c->heap, c->pages, c->flags, c->tag)
                                    : pageheap_alloc(c->heap, c->pages, c->flags);
        assert_non_null(c->runs[i]);
    }
}

/* The calling thread allocates, and is one of the two itself if `owner_competes`. */
static void hold_contest(contest *c, unsigned rounds)
{
    rival rivals[2] = { { c, 1 }, { c, 0 } };
    pthread_t threads[2];
    unsigned others = c->owner_competes ? 1 : 2;
    uint64_t until_ms = crew_now_ms() + (getenv("PAGEHEAP_TEST_LONG") != NULL ? 60000 : 2000);
    unsigned done = 0;
    atomic_store(&crew_wrongs, 0);
    c->heap = pageheap_create(NULL);
    assert_non_null(c->heap);
    for (unsigned i = 0; i < others; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, compete, &rivals[i]), 0);
    for (unsigned turn = 1; done < rounds && crew_now_ms() < until_ms; turn++, done += c->batch) {
        make_batch(c);
        atomic_store(&c->finished, 0);
        atomic_store(&c->turn, turn);
        if (c->owner_competes)
            free_batch(c, 0);
        for (unsigned round = 0; atomic_load(&c->finished) < others; round++)
            crew_wait(round);
        judge(c);
    }
    atomic_store(&c->is_over, true);
    for (unsigned i = 0; i < others; i++)
        pthread_join(threads[i], NULL);
    print_message("%u rounds\n", done);
    crew_end(c->heap);
}

static void contests(size_t pages, unsigned batch, unsigned rounds, const char *tag, uint32_t flags)
{
    for (unsigned owner_competes = 0; owner_competes < 2; owner_competes++) {
        contest c = { .pages = pages, .batch = batch, .tag = tag, .flags = flags };
        c.owner_competes = owner_competes;
        hold_contest(&c, rounds / CREW_SHARE);
    }
}

static void one_page(void **state)
{
    (void)state;
    contests(1, BATCH_MAX, 1000000, NULL, 0);
}

static void hundred_pages(void **state)
{
    (void)state;
    contests(100, BATCH_MAX, 1000000, NULL, 0);
}

static void three_blocks(void **state)
{
    (void)state;
    contests(3 * 512, 8, 100000, NULL, 0);
}

static void above_a_region(void **state)
{
    (void)state;
    contests((1u << 30) / 4096 + 1, 2, 2000, NULL, 0);
}

static void labelled(void **state)
{
    (void)state;
    contests(2, BATCH_MAX, 200000, "twice", 0);
}

static void labelled_three_blocks(void **state)
{
    (void)state;
    contests(3 * 512, 8, 200000, "twice", 0);
}

static void guarded(void **state)
{
    (void)state;
    contests(2, 16, 20000, NULL, PAGEHEAP_GUARD);
}

/* ---- a free that finds the front held, then not ---------------------------------------- */

#define HEATING 130 /* rounds after which the heap remembers the run as one that comes back at once */

typedef struct holder {
    ph_front *front;
    atomic_uint asked, held;
    atomic_bool is_over;
} holder;

static void spin_a_little(dice *d)
{
    for (uint64_t turns = dice_below(d, 30); turns > 0; turns--)
        ph_cpu_relax();
}

/* Hold the front for a moment each time that is asked, as the check and fork do. */
static void *hold_for_a_moment(void *of)
{
    holder *h = of;
    dice d = dice_from_seed(7);
    for (unsigned turn = 1;; turn++) {
        for (unsigned round = 0; atomic_load(&h->asked) < turn; round++) {
            if (atomic_load(&h->is_over))
                return NULL;
            crew_wait(round);
        }
        ph_front_lock(h->front);
        atomic_store(&h->held, turn);
        spin_a_little(&d);
        ph_front_unlock(h->front);
    }
}

static void *made_again(pageheap *heap, size_t pages)
{
    void *run = pageheap_alloc(heap, pages, 0);
    for (unsigned round = 0; round < HEATING; round++) {
        EXPECT(pageheap_free(heap, run, pages) == 0);
        run = pageheap_alloc(heap, pages, 0);
    }
    return run;
}

static void while_another_leaves(void **state)
{
    (void)state;
    pageheap *heap = pageheap_create(NULL);
    holder h = { .front = ph_front_mine(heap) };
    dice d = dice_new();
    pthread_t thread;
    uint64_t until_ms = crew_now_ms() + 2000;
    unsigned turn = 0;
    atomic_store(&crew_wrongs, 0);
    assert_int_equal(pthread_create(&thread, NULL, hold_for_a_moment, &h), 0);
    while (turn < 40000 / CREW_SHARE && crew_now_ms() < until_ms && atomic_load(&crew_wrongs) == 0) {
        void *run = made_again(heap, 3);
        atomic_store(&h.asked, ++turn);
        for (unsigned round = 0; atomic_load(&h.held) < turn; round++)
            crew_wait(round % 400); /* to be there when it is let go */
        spin_a_little(&d);
        EXPECT(pageheap_free(heap, run, 3) == 0);
        EXPECT(pageheap_free(heap, run, 3) == PAGEHEAP_EBADRUN);
    }
    atomic_store(&h.is_over, true);
    pthread_join(thread, NULL);
    print_message("%u rounds\n", turn);
    crew_end(heap);
}

/* ---- neighbours ------------------------------------------------------------------------ */

/* Single pages side by side, so that their marks share words.  Every second one is for the other thread to
 * free; the owner frees and takes the others all the while, and its changes of a word must not undo the
 * other's: what that has freed stays freed. */
#define NEIGHBOURS 512u

typedef struct street {
    pageheap *heap;
    void *runs[NEIGHBOURS];
    atomic_bool begins, is_over;
} street;

static void *free_every_second(void *of)
{
    street *s = of;
    for (unsigned round = 0; !atomic_load(&s->begins); round++)
        crew_wait(round);
    for (unsigned i = 1; i < NEIGHBOURS; i += 2)
        EXPECT(pageheap_free(s->heap, s->runs[i], 1) == 0);
    atomic_store(&s->is_over, true);
    return NULL;
}

static void change_the_others(street *s)
{
    atomic_store(&s->begins, true);
    for (unsigned i = 0; !atomic_load(&s->is_over); i = (i + 2) % NEIGHBOURS) {
        EXPECT(pageheap_free(s->heap, s->runs[i], 1) == 0);
        s->runs[i] = pageheap_alloc(s->heap, 1, 0); /* the same, or another that was kept */
        EXPECT(s->runs[i] != NULL);
    }
}

static void what_is_freed_stays_freed(void **state)
{
    (void)state;
    static street s;
    for (unsigned round = 0; round < 400 / CREW_SHARE; round++) {
        pthread_t thread;
        s.heap = pageheap_create(NULL);
        assert_non_null(s.heap);
        atomic_store(&s.begins, false);
        atomic_store(&s.is_over, false);
        assert_int_equal(pageheap_alloc_many(s.heap, 1, 0, s.runs, NEIGHBOURS), NEIGHBOURS);
        assert_int_equal(pthread_create(&thread, NULL, free_every_second, &s), 0);
        change_the_others(&s);
        assert_int_equal(pthread_join(thread, NULL), 0);
        for (unsigned i = 1; i < NEIGHBOURS; i += 2)
            assert_int_equal(pageheap_free(s.heap, s.runs[i], 1), PAGEHEAP_EBADRUN);
        for (unsigned i = 0; i < NEIGHBOURS; i += 2)
            assert_int_equal(pageheap_free(s.heap, s.runs[i], 1), 0);
        crew_end(s.heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_page),
        cmocka_unit_test(hundred_pages),
        cmocka_unit_test(three_blocks),
        cmocka_unit_test(above_a_region),
        cmocka_unit_test(labelled),
        cmocka_unit_test(labelled_three_blocks),
        cmocka_unit_test(guarded),
        cmocka_unit_test(while_another_leaves),
        cmocka_unit_test(what_is_freed_stays_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
