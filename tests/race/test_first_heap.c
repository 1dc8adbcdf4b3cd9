/* SPDX-License-Identifier: MIT */
/* test_first_heap.c -- no thread has a heap before the handlers of fork are there, but for the one that
 * registers them, whose call may allocate.
 */
#include "crew.h"

#define MOMENT_MS 100

static atomic_bool is_under_way, is_registered;
static pageheap *inner;

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);

/* Instead of the C library's: slow, and it allocates, from a heap. */
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    inner = pageheap_create(NULL);
    atomic_store(&is_under_way, true);
    nanosleep(&(struct timespec){ 0, MOMENT_MS * 1000000L }, NULL);
    int error = __register_atfork(prepare, parent, child, NULL);
    atomic_store(&is_registered, true);
    return error;
}

static void *make_the_first(void *of)
{
    pageheap *heap = pageheap_create(NULL);
    EXPECT(heap != NULL && pageheap_destroy(heap) == 0);
    return of;
}

static void *make_another(void *of)
{
    for (unsigned round = 0; !atomic_load(&is_under_way); round++)
        crew_wait(round);
    pageheap *heap = pageheap_create(NULL);
    EXPECT(atomic_load(&is_registered));
    EXPECT(heap != NULL && pageheap_destroy(heap) == 0);
    return of;
}

static void handlers_come_first(void **state)
{
    (void)state;
    pthread_t first, other;
    assert_int_equal(pthread_create(&other, NULL, make_another, NULL), 0);
    assert_int_equal(pthread_create(&first, NULL, make_the_first, NULL), 0);
    assert_int_equal(pthread_join(first, NULL), 0);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_non_null(inner);
    assert_int_equal(pageheap_destroy(inner), 0);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(handlers_come_first) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
