/* SPDX-License-Identifier: MIT */
/* test_exec_race.c -- executable heaps under many threads: spans change hands, two free the same, a signal
 * handler asks whose an address is while all of that goes on.
 *
 * A thread may not fail a cmocka test by itself: it counts what is wrong, and the test looks at the count.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "exec_test.h"

#define WORKERS 3
#define SLOTS   64
#define OWN     32

static _Atomic uint64_t wrongs;

/* Count it if the fact does not hold, and say so once. */
#define EXPECT(fact)                                                                                         \
    do {                                                                                                     \
        if (!(fact) && atomic_fetch_add(&wrongs, 1) == 0)                                                    \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);                               \
    } while (0)

typedef struct letter { /* a span on its way to another thread */
    pageheap_exec_span span;
    uint32_t key;
} letter;

typedef struct crowd {
    pageheap_exec *heap;
    _Atomic(letter *) slots[SLOTS];
    letter letters[WORKERS][OWN], first[SLOTS];
    unsigned steps;
    bool is_of_pages; /* where to write a piece keeps its neighbours from running */
    atomic_bool is_over;
    atomic_uint ready;
} crowd;

typedef struct worker {
    crowd *c;
    unsigned number;
    uint64_t seed;
} worker;

static size_t bytes_of(uint64_t random)
{
    return random % 1000 == 0 ? BLOCK + PAGE
           : random % 50 == 0 ? (1 + random / 1000 % 100) * PAGE
           : random % 3 == 0  ? (1 + random / 1000 % 4) * PAGE
                              : 1 + random / 1000 % 2000;
}

/* Whoever gets a letter runs what is in it, and gives the span back. */
static void open_letter(crowd *c, letter *l, dice *d)
{
    pageheap_exec_span found;
    if (l->span.rx == NULL)
        return;
    EXPECT(code_run(l->span.rx) == l->key);
    EXPECT(pattern_holds(l->span.rx, l->span.bytes, l->key));
    EXPECT(pageheap_exec_find(c->heap, (char *)l->span.rx + l->span.bytes - 1, &found) == 0);
    EXPECT(found.rx == l->span.rx && found.bytes == l->span.bytes);
    if (l->span.bytes > PAGE && l->span.bytes <= BLOCK && dice_below(d, 3) == 0) {
        EXPECT(pageheap_exec_shrink(c->heap, l->span.rx, l->span.bytes, PAGE) == 0);
        EXPECT(pattern_holds(l->span.rx, PAGE, l->key));
        l->span.bytes = PAGE;
    }
    EXPECT(pageheap_exec_free(c->heap, l->span.rx, l->span.bytes) == 0);
    l->span.rx = NULL;
}

static void write_letter(crowd *c, letter *l, dice *d)
{
    size_t bytes = bytes_of(dice_next(d));
    if (c->is_of_pages)
        bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    l->key = (uint32_t)dice_next(d);
    int error = pageheap_exec_alloc(c->heap, bytes, &l->span);
    EXPECT(error == 0);
    if (error == 0)
        EXPECT(pattern_write(c->heap, &l->span, l->key) == 0);
    else
        l->span.rx = NULL;
}

static void *work(void *of)
{
    worker *w = of;
    crowd *c = w->c;
    dice d = dice_from_seed(w->seed);
    letter *mine[OWN];
    for (unsigned i = 0; i < OWN; i++)
        mine[i] = &c->letters[w->number][i];
    atomic_fetch_add(&c->ready, 1);
    for (unsigned n = 0; n < c->steps; n++) {
        letter **l = &mine[dice_below(&d, OWN)];
        if ((*l)->span.rx == NULL)
            write_letter(c, *l, &d);
        else
            EXPECT(code_run((*l)->span.rx) == (*l)->key);
        letter *other = atomic_exchange(&c->slots[dice_below(&d, SLOTS)], *l);
        *l = other;
        open_letter(c, other, &d);
    }
    for (unsigned i = 0; i < OWN; i++)
        open_letter(c, mine[i], &d);
    return NULL;
}

static int count_span(void *ctx, const pageheap_exec_span *span)
{
    EXPECT(span->rx != NULL && span->bytes != 0);
    ++*(size_t *)ctx;
    return 0;
}

/* Everything that looks at the whole heap, or changes it as a whole, all the time. */
static void *observe(void *of)
{
    crowd *c = of;
    pageheap_exec_span span;
    for (unsigned round = 0; !atomic_load(&c->is_over); round++) {
        size_t count = 0;
        EXPECT(pageheap_exec_each(c->heap, count_span, &count) == 0);
        (void)exec_stats(c->heap);
        if (round % 4 == 0)
            EXPECT(pageheap_exec_check(c->heap) == 0);
        if (round % 8 == 1)
            (void)pageheap_exec_trim(c->heap, 0);
        if (pattern_alloc(c->heap, PAGE, round, &span) == 0) {
            char *lo = (char *)((uintptr_t)span.rx & ~(BLOCK - 1));
            pageheap_exec_span within;
            if (pageheap_exec_alloc_within(c->heap, 2 * PAGE, lo, lo + BLOCK, &within) == 0) {
                EXPECT((char *)within.rx >= lo && (char *)within.rx + within.bytes <= lo + BLOCK);
                EXPECT(pageheap_exec_publish_many(c->heap, &within, 1) == 0);
                EXPECT(pageheap_exec_free(c->heap, within.rx, 2 * PAGE) == 0);
            }
            EXPECT(code_run(span.rx) == round);
            EXPECT(pageheap_exec_free(c->heap, span.rx, PAGE) == 0);
        }
        nanosleep(&(struct timespec){ 0, 300000 }, NULL);
    }
    return NULL;
}

/* ---- the handler ----------------------------------------------------------------------- */

static pageheap_exec *handler_heap;
static pageheap_exec_span handler_span; /* lives all the time */
static atomic_uint handler_runs;

static void ask_in_handler(int signal_number)
{
    (void)signal_number;
    static _Thread_local uint64_t random = 88172645463325252u;
    int saved_errno = errno;
    pageheap_exec_span found;
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    char *inside = (char *)handler_span.rx + random % handler_span.bytes;
    char *around = (char *)handler_span.rx + (ptrdiff_t)(random % (16 * BLOCK)) - (ptrdiff_t)(8 * BLOCK);
    EXPECT(pageheap_exec_find(handler_heap, inside, &found) == 0);
    EXPECT(found.rx == handler_span.rx && found.bytes == handler_span.bytes);
    EXPECT(pageheap_exec_rw(handler_heap, inside) ==
           (handler_span.rw == NULL ? NULL : (char *)handler_span.rw + (inside - (char *)handler_span.rx)));
    int error = pageheap_exec_find(handler_heap, around, &found);
    EXPECT(error == 0 || error == PAGEHEAP_ENOTOURS);
    (void)pageheap_exec_rw(handler_heap, around);
    atomic_fetch_add(&handler_runs, 1);
    errno = saved_errno;
}

static void churn(uint32_t backend, unsigned steps)
{
    static crowd c;
    pthread_t threads[WORKERS], observer;
    worker workers[WORKERS];
    dice d = dice_new();
    memset(&c, 0, sizeof c);
    atomic_store(&wrongs, 0);
    c.heap = handler_heap = exec_heap(backend);
    c.steps = steps;
    c.is_of_pages = backend == PAGEHEAP_EXEC_FLIP;
    assert_non_null(c.heap);
    assert_int_equal(pattern_alloc(c.heap, 3 * PAGE, 4711, &handler_span), 0);
    struct sigaction action = { .sa_handler = ask_in_handler, .sa_flags = SA_RESTART };
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_create(&observer, NULL, observe, &c), 0);
    for (unsigned i = 0; i < SLOTS; i++)
        atomic_store(&c.slots[i], &c.first[i]);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){ &c, i, dice_next(&d) };
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    while (atomic_load(&c.ready) < WORKERS)
        sched_yield();
    for (unsigned n = 0; n < 2000; n++) { /* an ended thread that is not joined yet may be sent to */
        (void)pthread_kill(threads[n % WORKERS], SIGUSR1);
        nanosleep(&(struct timespec){ 0, 50000 }, NULL);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    atomic_store(&c.is_over, true);
    assert_int_equal(pthread_join(observer, NULL), 0);
    for (unsigned i = 0; i < SLOTS; i++)
        open_letter(&c, atomic_load(&c.slots[i]), &d);
    print_message("    %u times asked in a handler\n", atomic_exchange(&handler_runs, 0));
    assert_int_equal(code_run(handler_span.rx), 4711);
    assert_int_equal(pageheap_exec_free(c.heap, handler_span.rx, 3 * PAGE), 0);
    pageheap_exec_trim(c.heap, 0);
    assert_int_equal(exec_stats(c.heap).in_use_bytes, 0);
    assert_int_equal(pageheap_exec_check(c.heap), 0);
    assert_int_equal(pageheap_exec_destroy(c.heap), 0);
    assert_int_equal(atomic_load(&wrongs), 0);
}

static void spans_change_hands(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    churn(backend, (exec_is_long() ? 300000 : backend == PAGEHEAP_EXEC_MEMFD ? 8000 : 3000) / EXEC_SHARE);
}

/* ---- two at once ----------------------------------------------------------------------- */

typedef struct duel {
    pageheap_exec *heap;
    pageheap_exec_span span; /* set by the main thread before each round */
    atomic_uint round, done;
    atomic_uint frees, shrinks; /* of this round, that were accepted */
    unsigned rounds;
} duel;

typedef struct fighter {
    duel *f;
    bool is_shrinking;
} fighter;

static void *fight(void *of)
{
    duel *f = ((fighter *)of)->f;
    bool is_shrinking = ((fighter *)of)->is_shrinking;
    for (unsigned round = 1; round <= f->rounds; round++) {
        for (unsigned spin = 0; atomic_load(&f->round) != round; spin++)
            if (spin > 200)
                sched_yield();
        if (is_shrinking) {
            if (pageheap_exec_shrink(f->heap, f->span.rx, f->span.bytes, f->span.bytes / 2) == 0)
                atomic_fetch_add(&f->shrinks, 1);
        } else if (pageheap_exec_free(f->heap, f->span.rx, f->span.bytes) == 0) {
            atomic_fetch_add(&f->frees, 1);
        }
        atomic_fetch_add(&f->done, 1);
    }
    return NULL;
}

static void duel_over(uint32_t backend, size_t bytes, unsigned rounds, bool is_one_shrinking)
{
    static duel f;
    memset(&f, 0, sizeof f);
    atomic_store(&wrongs, 0);
    f.heap = exec_heap(backend);
    f.rounds = rounds;
    fighter fighters[2] = { { &f, false }, { &f, is_one_shrinking } };
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fight, &fighters[i]), 0);
    for (unsigned round = 1; round <= rounds; round++) {
        EXPECT(pageheap_exec_alloc(f.heap, bytes, &f.span) == 0);
        atomic_store(&f.round, round);
        for (unsigned spin = 0; atomic_load(&f.done) != 2 * round; spin++)
            if (spin > 200)
                sched_yield();
        unsigned frees = atomic_exchange(&f.frees, 0), shrinks = atomic_exchange(&f.shrinks, 0);
        EXPECT(frees + shrinks == 1);
        if (shrinks == 1)
            EXPECT(pageheap_exec_free(f.heap, f.span.rx, bytes / 2) == 0);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pageheap_exec_trim(f.heap, 0);
    assert_int_equal(exec_stats(f.heap).in_use_bytes, 0);
    assert_int_equal(pageheap_exec_check(f.heap), 0);
    assert_int_equal(pageheap_exec_destroy(f.heap), 0);
    assert_int_equal(atomic_load(&wrongs), 0);
}

static void one_of_two_wins(void **state)
{
    (void)state;
    static const size_t cases[] = { 64, 1024, PAGE, 4 * PAGE, 2 * BLOCK };
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    {
        unsigned rounds = (exec_is_long()                   ? 100000
                           : backend == PAGEHEAP_EXEC_MEMFD ? 4000
                                                            : 1000) /
                          EXEC_SHARE;
        for (unsigned i = 0; i < 5; i++) {
            unsigned share = cases[i] > BLOCK ? 40 : 1;
            duel_over(backend, cases[i], rounds / share, false);
            if (cases[i] != 64 && cases[i] != PAGE && cases[i] <= BLOCK)
                duel_over(backend, cases[i], rounds / share, true);
        }
    }
}

/* ---- the first call of all ------------------------------------------------------------- */

static void *probe_first(void *of)
{
    pageheap_exec_caps *caps = of;
    caps->struct_bytes = sizeof *caps;
    EXPECT(pageheap_exec_probe(0, caps) == 0);
    pageheap_exec *heap = pageheap_exec_create(NULL);
    pageheap_exec_span span;
    EXPECT(heap != NULL && pattern_alloc(heap, 64, 5, &span) == 0 && code_run(span.rx) == 5);
    EXPECT(pageheap_exec_destroy(heap) == 0);
    return NULL;
}

static void all_probe_first(void *arg)
{
    (void)arg;
    static pageheap_exec_caps caps[8];
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, probe_first, &caps[i]) == 0);
    for (unsigned i = 0; i < 8; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (unsigned i = 1; i < 8; i++)
        REQUIRE(memcmp(&caps[0], &caps[i], sizeof caps[0]) == 0);
    REQUIRE(atomic_load(&wrongs) == 0);
}

static void probed_by_all_at_once(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 20; n++)
        child_judge(child_status(all_probe_first, NULL, 20 + EXEC_SHARE), "probe");
}

#define GUESTS 12

typedef struct guests {
    pageheap_exec *heap;
    pthread_barrier_t all_have, all_done;
} guests;

/* Take a piece and two pages, and keep them until all have theirs. */
static void *be_a_guest(void *of)
{
    guests *g = of;
    pageheap_exec_span piece, pages;
    bool has_piece = pageheap_exec_alloc(g->heap, 100, &piece) == 0;
    bool has_pages = pageheap_exec_alloc(g->heap, 5000, &pages) == 0;
    EXPECT(has_piece);
    EXPECT(has_pages);
    pthread_barrier_wait(&g->all_have);
    if (has_piece)
        EXPECT(pageheap_exec_free(g->heap, piece.rx, 100) == 0);
    if (has_pages)
        EXPECT(pageheap_exec_free(g->heap, pages.rx, 5000) == 0);
    pthread_barrier_wait(&g->all_done);
    return NULL;
}

/* Blocks are threads' own, but in a reservation of two blocks there is room for a dozen of threads. */
static void more_threads_than_blocks(void **state)
{
    (void)state;
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    {
        guests g = { .heap = exec_small_heap(backend, 2 * BLOCK) };
        pthread_t threads[GUESTS];
        assert_int_equal(pthread_barrier_init(&g.all_have, NULL, GUESTS), 0);
        assert_int_equal(pthread_barrier_init(&g.all_done, NULL, GUESTS), 0);
        for (unsigned i = 0; i < GUESTS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, be_a_guest, &g), 0);
        for (unsigned i = 0; i < GUESTS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        pthread_barrier_destroy(&g.all_have);
        pthread_barrier_destroy(&g.all_done);
        assert_int_equal(atomic_load(&wrongs), 0);
        assert_int_equal(pageheap_exec_check(g.heap), 0);
        assert_int_equal(pageheap_exec_destroy(g.heap), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probed_by_all_at_once), /* before anything else has */
        cmocka_unit_test(more_threads_than_blocks),
        cmocka_unit_test(one_of_two_wins),
        cmocka_unit_test(spans_change_hands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
