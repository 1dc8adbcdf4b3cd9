/* SPDX-License-Identifier: MIT */
/* targets.c -- the one place where the promises are written. */
#include "targets.h"

#include <string.h>

static const struct target targets[] = {
    { "pair-1", TARGET_TIMES_BEST, 0.75, NULL },
    { "pair-31", TARGET_TIMES_BEST, 0.75, NULL },
    { "pair-64", TARGET_TIMES_BEST, 0.75, NULL },
    { "pair-512", TARGET_TIMES_BEST, 0.6, NULL },
    { "pair-4096", TARGET_TIMES_BEST, 0.75, NULL },
    { "bulk-1000", TARGET_TIMES_BEST, 0.8, NULL },
    { "bulk-100000", TARGET_TIMES_BEST, 0.5, NULL },
    { "churn31-1000", TARGET_TIMES_BEST, 0.9, NULL },
    { "churn31-100000", TARGET_TIMES_BEST, 0.4, NULL },
    { "churn31-2threads", TARGET_TIMES_BEST, 0.9, NULL },
    { "churn512-2000", TARGET_TIMES_BEST, 0.75, NULL },
    { "churn512-20000", TARGET_TIMES_BEST, 0.5, NULL },
    { "mixed512-2000", TARGET_TIMES_BEST, 0.75, NULL },
    { "mixed512-20000", TARGET_TIMES_BEST, 0.5, NULL },
    { "handoff", TARGET_TIMES_BEST, 0.9, NULL },
    { "rss-shifting", TARGET_AT_MOST, 1.03, NULL },
    { "rss-idle", TARGET_AT_MOST, 1.10, NULL },
    { "rss-trim", TARGET_AT_MOST, 1.02, NULL },
    { "scale-2", TARGET_AT_LEAST, 1.8, NULL },
    { "scale-64", TARGET_AT_LEAST, 0.8, NULL },
    { "growth", TARGET_AT_MOST, 2.5, NULL },
    { "metadata", TARGET_AT_MOST, 0.7, NULL },
    { "syscalls", TARGET_AT_MOST, 0, NULL },
    { "mappings", TARGET_AT_MOST, 1, NULL },
    { "heap-create", TARGET_AT_MOST, 20, NULL },
    { "heap-empty", TARGET_AT_MOST, 64, NULL },
    { "fragmentation", TARGET_AT_LEAST, 0.9, NULL },
    { "rss-4g-idle", TARGET_AT_MOST, 1.10, NULL },
    { "rss-4g-trim", TARGET_AT_MOST, 1.02, NULL },
    { "rss-4g-later", TARGET_AT_MOST, 1.10, NULL },
    { "exec-pair-page", TARGET_TIMES_PEER, 0.5, "asmjit" },
    { "exec-pair-64", TARGET_TIMES_PEER, 0.5, "asmjit" },
    { "exec-churn", TARGET_TIMES_PEER, 0.5, "asmjit" },
    { "exec-scale-2", TARGET_AT_LEAST, 1.6, NULL },
    { "exec-publish", TARGET_TIMES_PEER, 0.1, "flip" },
    /* 200,000 pages, half of them live, are 391 blocks of 2 MiB: two mappings for each block, and eight. */
    { "exec-mappings", TARGET_AT_MOST, 2 * 391 + 8, NULL },
    { "exec-syscalls", TARGET_AT_MOST, 0, NULL },
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
