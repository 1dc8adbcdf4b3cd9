/* SPDX-License-Identifier: MIT */
/* targets.h -- what the library has promised for each row. */
#ifndef PH_BENCH_TARGETS_H
#define PH_BENCH_TARGETS_H

#include <stddef.h>

enum target_kind {
    TARGET_TIMES_BEST, /* ours at most `limit` times the best peer's, lower being better */
    TARGET_TIMES_PEER, /* the same, but of one peer that is named: the others do less, or another thing */
    TARGET_AT_MOST,    /* ours at most `limit`, whatever the others do */
    TARGET_AT_LEAST,
};

struct target {
    const char *row; /* the name of a workload's row */
    enum target_kind kind;
    double limit;
    const char *peer; /* of TARGET_TIMES_PEER */
};

/* All of them; NULL after the last. */
const struct target *target_at(size_t index);

/* NULL if nothing was promised for the row. */
const struct target *target_for(const char *row);

#endif
