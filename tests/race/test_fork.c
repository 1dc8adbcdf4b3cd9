/* SPDX-License-Identifier: MIT */
/* test_fork.c -- fork under load: whatever the other threads were in the middle of, the child goes on.
 *
 * The child allocates, frees runs of the parent and of threads that are no more, starts a thread, makes a
 * heap, forks again; it must end within two seconds.  What it frees stays the parent's in the parent.
 * PAGEHEAP_TEST_LONG makes it 5000 forks.  What a fork would have to be lucky to hit is held open for it.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "crew.h"
#include "heap/heap.h"
#include "map/meta.h"

#define BUSY_THREADS  4
#define FORKS         (250 / CREW_SHARE)
#define FORKS_LONG    5000
#define CHILD_SECONDS (CREW_SHARE > 1 ? 30 : 2)
#define LENT          64

typedef struct load {
    pageheap *heap;
    atomic_bool is_over;
    atomic_uint ready;
    void *lent[BUSY_THREADS + 1][LENT]; /* live runs, of the busy threads and of the forking one */
} load;

typedef struct busy {
    load *l;
    unsigned number;
    uint64_t seed;
} busy;

static size_t lent_pages(unsigned i)
{
    return i % 16 == 0 ? 700 : 1 + i % 9;
}

static void lend(load *l, unsigned number)
{
    for (unsigned i = 0; i < LENT; i++) {
        l->lent[number][i] = i % 10 == 0 ? pageheap_alloc_tagged(l->heap, lent_pages(i), 0, "lent")
                                         : pageheap_alloc(l->heap, lent_pages(i), 0);
        EXPECT(l->lent[number][i] != NULL);
        crew_fill(l->lent[number][i], lent_pages(i));
    }
    atomic_fetch_add(&l->ready, 1);
}

/* All that takes a lock, as often as can be. */
static void busy_step(load *l, dice *d)
{
    size_t pages = 1 + dice_below(d, dice_below(d, 20) == 0 ? 1600 : 60);
    void *run = dice_below(d, 10) == 0 ? pageheap_alloc_tagged(l->heap, pages, 0, "busy")
                                       : pageheap_alloc(l->heap, pages, 0);
    EXPECT(run != NULL);
    EXPECT(pageheap_free(l->heap, run, pages) == 0);
    if (dice_below(d, 30) == 0)
        EXPECT(pageheap_tick(l->heap) == 0);
    if (dice_below(d, 300) == 0)
        (void)pageheap_trim(l->heap, 0);
    if (dice_below(d, 4) == 0) {
        pageheap *other = pageheap_create(NULL);
        EXPECT(pageheap_free(other, pageheap_alloc(other, 1, 0), 1) == 0);
        EXPECT(pageheap_destroy(other) == 0);
    }
}

/* Records are taken and given back, nearly all of the time. */
static void make_and_unmake(void)
{
    for (unsigned i = 0; i < 1000; i++)
        EXPECT(pageheap_destroy(pageheap_create(NULL)) == 0);
}

/* Refused at once, and so nearly all of the time inside what creating a heap begins with. */
static void knock(void)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserved = 1;
    for (unsigned i = 0; i < 1000; i++)
        EXPECT(pageheap_create(&options) == NULL);
}

static void *be_busy(void *of)
{
    busy *b = of;
    dice d = dice_from_seed(b->seed);
    lend(b->l, b->number);
    while (!atomic_load(&b->l->is_over)) {
        if (b->number == 0)
            knock();
        else if (b->number == 1)
            make_and_unmake();
        else
            busy_step(b->l, &d);
    }
    return NULL;
}

/* ---- the child ------------------------------------------------------------------------- */

static void *work_in_child(void *of)
{
    load *l = of;
    for (unsigned i = 0; i < 20; i++) {
        void *run = pageheap_alloc(l->heap, 1 + i, PAGEHEAP_ZERO);
        if (run == NULL || pageheap_free(l->heap, run, 1 + i) != 0)
            _exit(11);
    }
    return NULL;
}

static void use_everything(load *l, unsigned owner)
{
    pthread_t thread;
    (void)work_in_child(l);
    for (unsigned i = 0; i < LENT; i++) {
        if (!crew_is_intact(l->lent[owner][i], lent_pages(i)))
            _exit(12);
        if (pageheap_free(l->heap, l->lent[owner][i], lent_pages(i)) != 0)
            _exit(13);
    }
    if (pthread_create(&thread, NULL, work_in_child, l) != 0 || pthread_join(thread, NULL) != 0)
        _exit(14);
    pageheap *fresh = pageheap_create(NULL);
    if (fresh == NULL || pageheap_alloc(fresh, 5, 0) == NULL || pageheap_destroy(fresh) != 0)
        _exit(15);
    pageheap_trim(l->heap, 0);
    if (pageheap_check(l->heap) != 0)
        _exit(16);
}

static int wait_for_child(pid_t child)
{
    int status = -1;
    uint64_t until_ms = crew_now_ms() + CHILD_SECONDS * 1000;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (crew_now_ms() > until_ms) {
            kill(child, SIGKILL);
            (void)waitpid(child, &status, 0);
            return -1;
        }
        nanosleep(&(struct timespec){ 0, 200000 }, NULL);
    }
    return status;
}

static void be_child(load *l, unsigned number)
{
    child_begin(2 * CHILD_SECONDS);
    use_everything(l, number % (BUSY_THREADS + 1));
    if (number % 8 != 0)
        _exit(0);
    pid_t grandchild = fork();
    if (grandchild == 0) {
        use_everything(l, (number + 1) % (BUSY_THREADS + 1));
        _exit(0);
    }
    _exit(wait_for_child(grandchild) == 0 ? 0 : 17);
}

static void children_go_on(void **state)
{
    (void)state;
    static load l;
    busy threads_of[BUSY_THREADS];
    pthread_t threads[BUSY_THREADS];
    dice d = dice_new();
    l.heap = pageheap_create(NULL);
    assert_non_null(l.heap);
    for (unsigned i = 0; i < BUSY_THREADS; i++) {
        threads_of[i] = (busy){ &l, i, dice_next(&d) };
        assert_int_equal(pthread_create(&threads[i], NULL, be_busy, &threads_of[i]), 0);
    }
    lend(&l, BUSY_THREADS);
    for (unsigned round = 0; atomic_load(&l.ready) <= BUSY_THREADS; round++)
        crew_wait(round);
    unsigned forks = getenv("PAGEHEAP_TEST_LONG") != NULL ? FORKS_LONG : FORKS;
    unsigned bad = 0;
    int status = 0;
    fflush(NULL);
    for (unsigned i = 0; i < forks && bad < 3; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            be_child(&l, i);
        int ended = wait_for_child(child);
        bad += ended != 0;
        status = ended != 0 ? ended : status;
    }
    atomic_store(&l.is_over, true);
    for (unsigned i = 0; i < BUSY_THREADS; i++)
        pthread_join(threads[i], NULL);
    if (bad != 0)
        fail_msg("%u children were stuck (-1) or failed, the last with %#x", bad, (unsigned)status);
    for (unsigned number = 0; number <= BUSY_THREADS; number++) {
        for (unsigned i = 0; i < LENT; i++) {
            assert_true(crew_is_intact(l.lent[number][i], lent_pages(i)));
            assert_int_equal(pageheap_free(l.heap, l.lent[number][i], lent_pages(i)), 0);
        }
    }
    crew_end(l.heap);
}

/* ---- a thread among the records -------------------------------------------------------- */

/* Taking a record holds the records' lock for a few nanoseconds, which no number of forks is sure to hit.  A
 * freed record is read under that lock; here its page cannot be read, and the handler keeps the thread
 * waiting there. */
#define RECORD_BYTES ((size_t)256 << 10) /* the largest class: a chunk, and so whole pages, of its own */
#define INSIDE_MS    200                 /* longer than a fork takes to begin */

static struct {
    void *record;
    atomic_bool is_inside, is_leaving;
} visit;

static void stay_inside(int number)
{
    (void)number;
    atomic_store(&visit.is_inside, true);
    nanosleep(&(struct timespec){ 0, INSIDE_MS * 1000000L }, NULL);
    atomic_store(&visit.is_leaving, true);
    if (mprotect(visit.record, RECORD_BYTES, PROT_READ | PROT_WRITE) != 0)
        _exit(18);
}

static void *take_record(void *unused)
{
    (void)unused;
    return ph_meta_alloc(RECORD_BYTES);
}

static void fork_waits_for_the_records(void **state)
{
    (void)state;
    struct sigaction stay = { .sa_handler = stay_inside }, before;
    pthread_t thread;
    pageheap *heap = pageheap_create(NULL);
    assert_non_null(heap);
    visit.record = ph_meta_alloc(RECORD_BYTES);
    assert_non_null(visit.record);
    ph_meta_free(visit.record, RECORD_BYTES);
    assert_int_equal(sigaction(SIGSEGV, &stay, &before), 0);
    assert_int_equal(mprotect(visit.record, RECORD_BYTES, PROT_NONE), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_record, NULL), 0);
    uint64_t until_ms = crew_now_ms() + CHILD_SECONDS * 1000;
    for (unsigned round = 0; !atomic_load(&visit.is_inside) && crew_now_ms() < until_ms; round++)
        crew_wait(round);
    assert_true(atomic_load(&visit.is_inside));
    fflush(NULL);
    pid_t child = fork();
    bool has_waited = atomic_load(&visit.is_leaving);
    if (child == 0) {
        child_begin(2 * CHILD_SECONDS);
        pageheap *fresh = pageheap_create(NULL);
        _exit(fresh != NULL && pageheap_destroy(fresh) == 0 && pageheap_check(heap) == 0 ? 0 : 19);
    }
    assert_true(child > 0);
    int ended = wait_for_child(child);
    void *taken = NULL;
    pthread_join(thread, &taken);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_true(has_waited);
    assert_int_equal(ended, 0);
    assert_ptr_equal(taken, visit.record);
    ph_meta_free(taken, RECORD_BYTES);
    assert_int_equal(pageheap_destroy(heap), 0);
}

/* ---- fork waits, and nobody with it ---------------------------------------------------- */

static struct {
    pageheap *heap;
    atomic_bool has_begun;
} newcomer;

static void *begin(void *of)
{
    EXPECT(pageheap_alloc(newcomer.heap, 1, 0) != NULL);
    atomic_store(&newcomer.has_begun, true);
    return of;
}

static void *fork_once(void *of)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    EXPECT(child > 0 && wait_for_child(child) == 0);
    return of;
}

/* A thread has a turn of a heap, for a slow system call; fork waits for it; another thread allocates for the
 * first time, in a heap of which fork took the turns first if it took them one by one. */
static void begin_while_fork_waits(bool is_growing)
{
    pthread_t forks, begins;
    pageheap *heap = pageheap_create(NULL);
    newcomer.heap = pageheap_create(NULL);
    assert_non_null(heap);
    assert_non_null(newcomer.heap);
    atomic_store(&newcomer.has_begun, false);
    atomic_store(&crew_wrongs, 0);
    ph_mutex *turn = is_growing ? &heap->grow_turn : &heap->purge_turn;
    ph_mutex_lock(turn);
    assert_int_equal(pthread_create(&forks, NULL, fork_once, NULL), 0);
    for (unsigned round = 0; ph_load_relaxed(&turn->state) != 2; round++) /* somebody sleeps there */
        crew_wait(round);
    assert_int_equal(pthread_create(&begins, NULL, begin, NULL), 0);
    uint64_t until_ms = crew_now_ms() + CHILD_SECONDS * 1000;
    for (unsigned round = 0; !atomic_load(&newcomer.has_begun) && crew_now_ms() < until_ms; round++)
        crew_wait(round);
    bool has_begun = atomic_load(&newcomer.has_begun);
    ph_mutex_unlock(turn);
    pthread_join(begins, NULL);
    pthread_join(forks, NULL);
    assert_true(has_begun);
    assert_int_equal(pageheap_destroy(heap), 0);
    assert_int_equal(pageheap_destroy(newcomer.heap), 0);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

static void fork_waits_for_a_purge_alone(void **state)
{
    (void)state;
    begin_while_fork_waits(false);
}

static void fork_waits_for_growth_alone(void **state)
{
    (void)state;
    begin_while_fork_waits(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fork_waits_for_a_purge_alone),
        cmocka_unit_test(fork_waits_for_growth_alone),
        cmocka_unit_test(fork_waits_for_the_records),
        cmocka_unit_test(children_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
