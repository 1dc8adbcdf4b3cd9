/* SPDX-License-Identifier: MIT */
/* test_fatal.c -- with PAGEHEAP_FATAL_MISUSE each misuse ends the process by SIGABRT after exactly one line,
 * which names the call, the size, the address and the reason.  Each has a process of its own. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ruin.h"

typedef struct victim {
    pageheap *heap;
    char *run; /* of `pages` */
    size_t pages;
} victim;

typedef struct death {
    const char *name;
    void (*misuse)(const victim *v);
    const char *call;        /* as the line names it */
    ptrdiff_t at_bytes;      /* the address that the line tells, from the run */
    size_t runs, more_pages; /* the size that it tells: that many times the run's, and so many pages more */
    int code;
} death;

static void free_longer(const victim *v)
{
    (void)pageheap_free(v->heap, v->run, v->pages + 1);
}

static void free_inside(const victim *v)
{
    (void)pageheap_free(v->heap, v->run + PAGE, v->pages);
}

static void free_twice(const victim *v)
{
    (void)pageheap_free(v->heap, v->run, v->pages);
    (void)pageheap_free(v->heap, v->run, v->pages);
}

static void free_unaligned(const victim *v)
{
    (void)pageheap_free(v->heap, v->run + 1, v->pages);
}

static void free_nothing(const victim *v)
{
    (void)pageheap_free(v->heap, v->run, 0);
}

static void free_impossible(const victim *v)
{
    (void)pageheap_free(v->heap, v->run, SIZE_MAX);
}

static void free_unsized_inside(const victim *v)
{
    (void)pageheap_free_unsized(v->heap, v->run + PAGE);
}

static void free_far_away(const victim *v)
{
    (void)pageheap_free(v->heap, v->run - ((ptrdiff_t)1 << 40), v->pages);
}

static void resize_longer(const victim *v)
{
    (void)pageheap_resize(v->heap, v->run, v->pages + 1, 2, 0);
}

static void split_inside(const victim *v)
{
    (void)pageheap_split(v->heap, v->run + PAGE, v->pages - 1, 1);
}

static void join_with_itself(const victim *v)
{
    (void)pageheap_join(v->heap, v->run, v->pages, v->run, v->pages);
}

static void discard_beyond(const victim *v)
{
    (void)pageheap_discard(v->heap, v->run, v->pages + 1);
}

static void free_many_twice(const victim *v)
{
    void *runs[2] = { v->run, v->run };
    (void)pageheap_free_many(v->heap, runs, v->pages, 2);
}

/* Each is died with runs of several lengths. */
static const death deaths[] = {
    { "free longer", free_longer, "free", 0, 1, 1, PAGEHEAP_EBADRUN },
    { "free inside", free_inside, "free", PAGE, 1, 0, PAGEHEAP_EBADRUN },
    { "free twice", free_twice, "free", 0, 1, 0, PAGEHEAP_EBADRUN },
    { "free unaligned", free_unaligned, "free", 1, 1, 0, PAGEHEAP_EINVAL },
    { "free nothing", free_nothing, "free", 0, 0, 0, PAGEHEAP_EINVAL },
    { "free impossible", free_impossible, "free", 0, 0, SIZE_MAX, PAGEHEAP_ERANGE },
    { "free_unsized inside", free_unsized_inside, "free_unsized", PAGE, 0, 0, PAGEHEAP_EBADRUN },
    { "free far away", free_far_away, "free", -((ptrdiff_t)1 << 40), 1, 0, PAGEHEAP_ENOTOURS },
    { "resize longer", resize_longer, "resize", 0, 1, 1, PAGEHEAP_EBADRUN },
    { "split inside", split_inside, "split", PAGE, 1, (size_t)-1, PAGEHEAP_EBADRUN },
    { "join with itself", join_with_itself, "join", 0, 1, 0, PAGEHEAP_EBADRUN },
    { "discard beyond", discard_beyond, "discard", 0, 1, 1, PAGEHEAP_EBADRUN },
    { "free_many twice", free_many_twice, "free", 0, 1, 0, PAGEHEAP_EBADRUN },
};
#define DEATHS (sizeof deaths / sizeof deaths[0])

/* In the child: its stderr goes to the pipe, its run's address to the parent through the same pipe first. */
static void die(const death *d, size_t pages, int pipe_in)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    victim v = { .pages = pages };
    signal(SIGABRT, SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    options.flags = PAGEHEAP_FATAL_MISUSE;
    v.heap = pageheap_create(&options);
    v.run = pageheap_alloc(v.heap, pages, 0);
    if (v.run == NULL || write(pipe_in, &v.run, sizeof v.run) != sizeof v.run || dup2(pipe_in, 2) != 2)
        _exit(3);
    d->misuse(&v);
    _exit(0);
}

static size_t read_all(int pipe_out, char *text, size_t room)
{
    size_t length = 0;
    for (ssize_t got; length < room && (got = read(pipe_out, text + length, room - length)) > 0;)
        length += (size_t)got;
    return length;
}

static void assert_dies(const death *d, size_t pages)
{
    int ends[2];
    int status;
    char *run;
    char text[1000];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        die(d, pages, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &run, sizeof run), sizeof run);
    text[read_all(ends[0], text, sizeof text - 1)] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail_msg("%s of %zu pages: status %#x, said: %s", d->name, pages, (unsigned)status, text);
    char line[300];
    snprintf(line, sizeof line, "pageheap: %s of %zu pages at 0x%llx: %s\n", d->call,
             d->runs * pages + d->more_pages, (unsigned long long)((uintptr_t)run + (uintptr_t)d->at_bytes),
             pageheap_strerror(d->code));
    assert_string_equal(text, line); /* and nothing behind it */
}

static void every_misuse_is_fatal(void **state)
{
    (void)state;
    static const size_t lengths[] = { 4, 100, (size_t)3 * 512 };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t j = 0; j < DEATHS; j++)
            assert_dies(&deaths[j], lengths[i]);
    }
}

/* What is no misuse does not end the process. */
static void right_calls_are_not_fatal(void **state)
{
    (void)state;
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.flags = PAGEHEAP_FATAL_MISUSE;
    pageheap *heap = pageheap_create(&options);
    char *run = pageheap_alloc(heap, 4, 0);
    assert_int_equal(pageheap_free(heap, NULL, 4), 0);
    assert_null(pageheap_alloc(heap, 0, 0));
    assert_null(pageheap_alloc(heap, SIZE_MAX, 0));
    assert_int_equal(pageheap_split(heap, run, 4, 1), 0);
    assert_int_equal(pageheap_free(heap, run, 1), 0);
    assert_int_equal(pageheap_free(heap, run + PAGE, 3), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_misuse_is_fatal),
        cmocka_unit_test(right_calls_are_not_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
