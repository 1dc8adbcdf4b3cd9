/* SPDX-License-Identifier: MIT */
/* settle.h -- how many rounds are enough.
 *
 * Of a time the least round counts, since what else runs on the machine only adds to it.  But on a machine
 * whose neighbours come and go, the least of few rounds may be one that was not left alone either.  So rounds
 * go on, up to SETTLE_TIMES as many as asked for, until each that contends has met its least twice.  All of
 * them take part in each further round, so none has more chances than the others.
 */
#ifndef PH_BENCH_SETTLE_H
#define PH_BENCH_SETTLE_H

#include <stdbool.h>
#include <stddef.h>

#define SETTLE_TIMES 3

/* The rounds of one allocator. */
struct settle_rounds {
    const double *values;
    size_t count; /* 0: it takes no part */
    bool is_ours;
};

/* True if one more round is worth its time, after `done` of the `asked` ones and more.  *ret_takes_part are
 * those that it is for: ours, and the others that are near the best of the others.  Who asks for less than
 * five rounds is in a hurry and gets these. */
bool settle_wants_round(const struct settle_rounds *all, size_t count, unsigned done, unsigned asked,
                        bool *ret_takes_part);

#endif
