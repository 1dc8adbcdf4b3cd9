/* SPDX-License-Identifier: MIT */
/* oracle.c -- see oracle.h. */
#include "oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

void oracle_init(oracle *o, size_t capacity, size_t page_bytes)
{
    *o = (oracle){ .capacity = capacity, .page_bytes = page_bytes, .next_pattern = 1 };
    o->runs = calloc(capacity, sizeof *o->runs);
    assert_non_null(o->runs);
}

void oracle_end(oracle *o)
{
    free(o->runs);
}

static uint64_t *words_of(const oracle *o, const oracle_run *run, size_t page)
{
    return (uint64_t *)(void *)(run->start + page * o->page_bytes);
}

void oracle_add(oracle *o, char *start, size_t pages)
{
    assert_true(o->count < o->capacity);
    assert_int_equal((uintptr_t)start % o->page_bytes, 0);
    oracle_run *run = &o->runs[o->count++];
    *run = (oracle_run){ start, pages, o->next_pattern++ };
    o->live_pages += pages;
    for (size_t page = 0; page < pages; page++) {
        /* Both ends of each page: an overlap with another run destroys its pattern and is seen there. */
        words_of(o, run, page)[0] = run->pattern;
        words_of(o, run, page)[o->page_bytes / 8 - 1] = ~run->pattern;
    }
}

bool oracle_is_intact(const oracle *o, const oracle_run *run)
{
    for (size_t page = 0; page < run->pages; page++) {
        const uint64_t *words = words_of(o, run, page);
        if (words[0] != run->pattern || words[o->page_bytes / 8 - 1] != ~run->pattern)
            return false;
    }
    return true;
}

void oracle_remove(oracle *o, size_t index)
{
    o->live_pages -= o->runs[index].pages;
    o->runs[index] = o->runs[--o->count];
}

bool oracle_accepts(const oracle *o, const char *start, size_t pages)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->runs[i].start == start)
            return o->runs[i].pages == pages;
    }
    return false;
}
