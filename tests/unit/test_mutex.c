/* SPDX-License-Identifier: MIT */
/* test_mutex.c -- the lock excludes, sleeps, wakes, and leaves errno alone. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "os/mutex.h"

#define THREADS 6
#define ROUNDS  100000

static struct {
    ph_mutex lock;
    uint64_t counter; /* lock */
    uint64_t inside;  /* lock */
    uint64_t overlaps;
} shared;

static void *count_up(void *unused)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 7 == 0) {
            while (!ph_mutex_try_lock(&shared.lock))
                ph_wait_round(i % 64);
        } else {
            ph_mutex_lock(&shared.lock);
        }
        shared.overlaps += shared.inside++ != 0;
        shared.counter++;
        shared.inside--;
        ph_mutex_unlock(&shared.lock);
    }
    return unused;
}

static void one_at_a_time(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared.counter, (uint64_t)THREADS * ROUNDS);
    assert_int_equal(shared.overlaps, 0);
    assert_int_equal(ph_load_relaxed(&shared.lock.state), 0);
}

static void held_lock_is_not_taken(void **state)
{
    (void)state;
    ph_mutex lock = { 0 };
    assert_true(ph_mutex_try_lock(&lock));
    assert_false(ph_mutex_try_lock(&lock));
    ph_mutex_unlock(&lock);
    assert_true(ph_mutex_try_lock(&lock));
    ph_mutex_unlock(&lock);
}

static ph_mutex slept_on;
static _Atomic int errno_seen;

static void *sleep_on_it(void *unused)
{
    errno = 4711;
    ph_mutex_lock(&slept_on);
    ph_mutex_unlock(&slept_on);
    atomic_store(&errno_seen, errno);
    return unused;
}

/* The waiters have long gone to sleep when the lock is let go; each of them must be woken. */
static void sleepers_are_woken(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct timespec moment = { 0, 30000000 };
    ph_mutex_lock(&slept_on);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_on_it, NULL), 0);
    nanosleep(&moment, NULL);
    assert_int_equal(ph_load_relaxed(&slept_on.state), 2);
    errno = 4712;
    ph_mutex_unlock(&slept_on);
    assert_int_equal(errno, 4712);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&errno_seen), 4711);
    assert_int_equal(ph_load_relaxed(&slept_on.state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(held_lock_is_not_taken),
        cmocka_unit_test(sleepers_are_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
