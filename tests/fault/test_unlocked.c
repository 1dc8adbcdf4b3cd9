/* SPDX-License-Identifier: MIT */
/* test_unlocked.c -- no lock is held across any system call.
 *
 * In the middle of each call of every scene all locks of the process are tried, and every front must be at
 * rest.  The two turns are meant to be held (heap.h), and the barrier is how a front is taken in the first
 * place.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_os.h"
#include "heap/heap.h"
#include "map/meta.h"
#include "os/os.h"
#include "scenes.h"

#define SCENE_SECONDS 20

static stage s;
static uint64_t calls_seen;

static void require_free(ph_mutex *lock, const char *name, enum fake_call call)
{
    if (!ph_mutex_try_lock(lock)) {
        fprintf(stderr, "%s is held in call %u\n", name, (unsigned)call);
        _exit(1);
    }
    ph_mutex_unlock(lock);
}

static void require_no_lock(enum fake_call call)
{
    calls_seen++;
    if (call == FAKE_BARRIER)
        return;
    /* These cannot be tried: held by this thread they would never come free, and the alarm rings. */
    ph_registry_lock();
    ph_registry_unlock();
    ph_homes_lock();
    ph_homes_unlock();
    ph_meta_lock();
    ph_meta_unlock();
    if (s.heap == NULL)
        return;
    require_free(&s.heap->lock, "the heap's lock", call);
    require_free(&s.heap->fronts_lock, "the lock of fronts", call);
    require_free(&s.heap->attributes.lock, "the lock of attributes", call);
    require_free(&s.heap->special.lock, "the special front", call);
    for (ph_front *front = ph_load_acquire(&s.heap->fronts); front != NULL; front = front->next) {
        require_free(&front->lock, "a front's lock", call);
        REQUIRE(ph_load_acquire(&front->busy) == 0);
    }
}

static void scene_holds_no_lock(void **state)
{
    const scene *scene = *state;
    alarm(SCENE_SECONDS);
    s.heap = NULL;
    calls_seen = 0;
    scene->act(&s);
    stage_check(&s);
    stage_free_some(&s, 1);
    pageheap_trim(s.heap, 0);
    assert_int_equal(pageheap_destroy(s.heap), 0);
    s.heap = NULL;
    assert_true(calls_seen != 0);
}

int main(void)
{
    struct CMUnitTest tests[64];
    size_t count = 0;
    fake_os_install();
    fake_os_on_call = require_no_lock;
    for (unsigned i = 0; i < scene_count; i++) {
        struct CMUnitTest test =
            cmocka_unit_test_prestate(scene_holds_no_lock, (void *)(uintptr_t)&scenes[i]);
        test.name = scenes[i].name;
        tests[count++] = test;
    }
    return _cmocka_run_group_tests("unlocked", tests, count, NULL, NULL);
}
