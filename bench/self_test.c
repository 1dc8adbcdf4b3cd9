/* SPDX-License-Identifier: MIT */
/* self_test.c -- see self_test.h. */
#include "self_test.h"

#include "harness.h"

#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVE_RUNS       500
#define OPS             20000
#define SMALL_PAGES_MAX 40
#define LARGE_PAGES_MAX 600
#define LARGE_EVERY     64
#define WORDS_PER_PAGE  (PEER_PAGE_BYTES / sizeof(uint64_t))

struct tester {
    const struct peer *peer;
    uint64_t number;
    const char *failure; /* NULL: none */
};

/* What the first and the last word of each page of a run hold: no two runs and no two pages share it. */
static uint64_t pattern_of(const struct live_run *live, uint64_t number, size_t page)
{
    return ((uint64_t)(uintptr_t)live->run + page * PEER_PAGE_BYTES) * UINT64_C(0x9e3779b97f4a7c15) + number +
           live->pages;
}

static void fill(const struct live_run *live, uint64_t number)
{
    uint64_t *words = live->run;

    for (size_t page = 0; page < live->pages; page++) {
        words[page * WORDS_PER_PAGE] = pattern_of(live, number, page);
        words[(page + 1) * WORDS_PER_PAGE - 1] = pattern_of(live, number, page);
    }
}

static bool is_filled(const struct live_run *live, uint64_t number)
{
    const uint64_t *words = live->run;

    for (size_t page = 0; page < live->pages; page++) {
        if (words[page * WORDS_PER_PAGE] != pattern_of(live, number, page) ||
            words[(page + 1) * WORDS_PER_PAGE - 1] != pattern_of(live, number, page))
            return false;
    }
    return true;
}

static const char *add(struct live_table *table, struct rng *rng, uint64_t number)
{
    size_t pages_max = rng_below(rng, LARGE_EVERY) == 0 ? LARGE_PAGES_MAX : SMALL_PAGES_MAX;
    const struct live_run *added;

    if (!live_table_add(table, rng_between(rng, 1, pages_max)))
        return "no memory";
    added = &table->runs[table->count - 1];
    if ((uintptr_t)added->run % PEER_PAGE_BYTES != 0)
        return "a run that is not page-aligned";
    fill(added, number);
    return NULL;
}

static const char *drop(struct live_table *table, size_t index, uint64_t number)
{
    if (!is_filled(&table->runs[index], number))
        return "a live run was written to by others";
    live_table_drop(table, index);
    return NULL;
}

static void *test(void *argument)
{
    struct tester *tester = argument;
    struct rng rng = rng_seeded(tester->number + 1);
    struct live_table table;

    if (live_table_create(&table, tester->peer, LIVE_RUNS) != 0)
        tester->failure = "no memory";
    for (size_t i = 0; i < OPS && tester->failure == NULL; i++) {
        if (table.count == LIVE_RUNS)
            tester->failure = drop(&table, rng_below(&rng, table.count), tester->number);
        if (tester->failure == NULL)
            tester->failure = add(&table, &rng, tester->number);
    }
    while (table.count != 0 && tester->failure == NULL)
        tester->failure = drop(&table, table.count - 1, tester->number);
    return NULL;
}

static const char *test_pages(const struct peer *peer)
{
    struct tester testers[2] = { { peer, 0, NULL }, { peer, 1, NULL } };
    pthread_t second;
    bool threaded = pthread_create(&second, NULL, test, &testers[1]) == 0;

    test(&testers[0]);
    if (threaded)
        pthread_join(second, NULL);
    if (peer->idle != NULL)
        peer->idle();
    if (peer->trim != NULL)
        peer->trim();
    return testers[0].failure != NULL ? testers[0].failure : testers[1].failure;
}

static int test_in_child(const struct peer *peer, self_test_fn *test_open)
{
    const char *failure = peer->open() == 0 ? test_open(peer) : "not installed";

    if (failure == NULL)
        return 0;
    warnx("%s: %s", peer->name, failure);
    return -1;
}

int self_test_in_child(const struct peer *peer, self_test_fn *test_open)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0)
        return -1;
    if (child == 0)
        _exit(test_in_child(peer, test_open) == 0 ? 0 : 1);
    if (waitpid(child, &status, 0) != child)
        return -1;
    if (WIFSIGNALED(status))
        warnx("%s: killed by signal %d", peer->name, WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int peer_self_test(const struct peer *peer)
{
    return self_test_in_child(peer, test_pages);
}
