/* SPDX-License-Identifier: MIT */
/* exec_self_test.c -- see self_test.h: the same for those that hand out code memory.
 *
 * Every span is filled with functions that return a number of the span's own, some more than once.  Before
 * it is freed the first function is called, and all bytes are compared through the view that runs.  One
 * thread: so are the rows.
 */
#include "self_test.h"

#include "exec_harness.h"

#include <err.h>
#include <string.h>

#define LIVE_SPANS      200
#define OPS             4000
#define BYTES_MIN       64
#define BYTES_MAX       8192
#define SPAN_ALIGNMENT  16
#define WRITE_ANEW_TIME 8 /* one operation in so many */

struct tester {
    const struct exec_peer *peer;
    struct exec_table table;
    uint16_t values[LIVE_SPANS]; /* by span */
    uint16_t next_value;
    struct rng rng;
};

/* Fills `bytes` of the buffer; less than a whole function at the end stays as it was. */
static void make_code(unsigned char code[BYTES_MAX], uint16_t value, size_t bytes)
{
    memset(code, 0, bytes);
    for (size_t at = 0; at + EXEC_FUNCTION_BYTES <= bytes; at += EXEC_FUNCTION_BYTES)
        exec_function_make(value, code + at);
}

static const char *fill(struct tester *tester, size_t index)
{
    static unsigned char code[BYTES_MAX];
    struct exec_span *span = &tester->table.spans[index];

    tester->values[index] = tester->next_value++;
    make_code(code, tester->values[index], span->bytes);
    if (tester->peer->publish == NULL) {
        memcpy(span->rw, code, span->bytes);
        return NULL;
    }
    return tester->peer->publish(span, code, span->bytes) ? NULL : "a span that cannot be written";
}

static const char *check(const struct tester *tester, size_t index)
{
    static unsigned char code[BYTES_MAX];
    const struct exec_span *span = &tester->table.spans[index];
    bool runs = tester->peer->publish != NULL && exec_function_make(0, code);

    make_code(code, tester->values[index], span->bytes);
    if (memcmp(runs ? span->rx : span->rw, code, span->bytes) != 0)
        return "a live span was written to by others";
    if (runs && exec_function_call(span->rx) != tester->values[index])
        return "a span that runs other code than it shows";
    return NULL;
}

static const char *add(struct tester *tester)
{
    size_t bytes_max = tester->peer->bytes_max != 0 ? tester->peer->bytes_max : BYTES_MAX;
    size_t index = tester->table.count;

    if (!exec_table_add(&tester->table, rng_between(&tester->rng, BYTES_MIN, bytes_max)))
        return "no memory";
    if (tester->peer->publish != NULL && (uintptr_t)tester->table.spans[index].rx % SPAN_ALIGNMENT != 0)
        return "a span that is not aligned";
    return fill(tester, index);
}

static const char *drop(struct tester *tester, size_t index)
{
    const char *failure = check(tester, index);

    exec_table_drop(&tester->table, index);
    tester->values[index] = tester->values[tester->table.count];
    return failure;
}

static const char *test(struct tester *tester)
{
    const char *failure = NULL;

    for (size_t i = 0; i < OPS && failure == NULL; i++) {
        if (tester->table.count == LIVE_SPANS)
            failure = drop(tester, rng_below(&tester->rng, LIVE_SPANS));
        if (failure == NULL)
            failure = add(tester);
        if (failure == NULL && i % WRITE_ANEW_TIME == 0)
            failure = fill(tester, rng_below(&tester->rng, tester->table.count));
    }
    while (tester->table.count != 0 && failure == NULL)
        failure = drop(tester, tester->table.count - 1);
    return failure;
}

static const char *test_open(const struct peer *peer)
{
    static struct tester tester;
    const char *failure;

    tester.peer = exec_peer_of(peer);
    tester.rng = rng_seeded(1);
    if (exec_table_create(&tester.table, tester.peer, LIVE_SPANS) != 0)
        return "no memory";
    failure = test(&tester);
    if (failure == NULL && peer->trim != NULL)
        peer->trim();
    return failure;
}

int exec_peer_self_test(const struct peer *peer)
{
    return self_test_in_child(peer, test_open);
}
