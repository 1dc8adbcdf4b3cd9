/* SPDX-License-Identifier: MIT */
/* targets.c -- the one place where the promises are written. */
#include "targets.h"

#include <string.h>

static const struct target targets[] = {
    { "pair-1", TARGET_TIMES_BEST, 0.75 },
    { "pair-31", TARGET_TIMES_BEST, 0.75 },
    { "pair-64", TARGET_TIMES_BEST, 0.75 },
    { "pair-512", TARGET_TIMES_BEST, 0.6 },
    { "pair-4096", TARGET_TIMES_BEST, 0.75 },
    { "bulk-1000", TARGET_TIMES_BEST, 0.8 },
    { "bulk-100000", TARGET_TIMES_BEST, 0.5 },
    { "churn31-1000", TARGET_TIMES_BEST, 0.9 },
    { "churn31-100000", TARGET_TIMES_BEST, 0.4 },
    { "churn31-2threads", TARGET_TIMES_BEST, 0.9 },
    { "churn512-2000", TARGET_TIMES_BEST, 0.75 },
    { "churn512-20000", TARGET_TIMES_BEST, 0.5 },
    { "mixed512-2000", TARGET_TIMES_BEST, 0.75 },
    { "mixed512-20000", TARGET_TIMES_BEST, 0.5 },
    { "handoff", TARGET_TIMES_BEST, 0.9 },
    { "rss-shifting", TARGET_AT_MOST, 1.03 },
    { "rss-idle", TARGET_AT_MOST, 1.10 },
    { "rss-trim", TARGET_AT_MOST, 1.02 },
    { "scale-2", TARGET_AT_LEAST, 1.8 },
    { "scale-64", TARGET_AT_LEAST, 0.8 },
    { "growth", TARGET_AT_MOST, 2.5 },
    { "metadata", TARGET_AT_MOST, 0.7 },
    { "syscalls", TARGET_AT_MOST, 0 },
    { "mappings", TARGET_AT_MOST, 1 },
    { "heap-create", TARGET_AT_MOST, 20 },
    { "heap-empty", TARGET_AT_MOST, 64 },
    { "fragmentation", TARGET_AT_LEAST, 0.9 },
    { "rss-4g-idle", TARGET_AT_MOST, 1.10 },
    { "rss-4g-trim", TARGET_AT_MOST, 1.02 },
    { "rss-4g-later", TARGET_AT_MOST, 1.10 },
};

const struct target *target_at(size_t index)
{
    return index < sizeof targets / sizeof targets[0] ? &targets[index] : NULL;
}

const struct target *target_for(const char *row)
{
    const struct target *target;

    for (size_t i = 0; (target = target_at(i)) != NULL; i++) {
        if (strcmp(target->row, row) == 0)
            return target;
    }
    return NULL;
}
