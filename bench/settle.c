/* SPDX-License-Identifier: MIT */
/* settle.c -- see settle.h. */
#include "settle.h"

#include <math.h>

#define ASKED_MIN     5
#define SAME_RATIO    1.02
#define CONTEND_RATIO 1.5

static double least_of(const struct settle_rounds *rounds)
{
    double least = INFINITY;

    for (size_t i = 0; i < rounds->count; i++)
        least = fmin(least, rounds->values[i]);
    return least;
}

static bool has_met_twice(const struct settle_rounds *rounds, double least)
{
    size_t met = 0;

    for (size_t i = 0; i < rounds->count; i++)
        met += rounds->values[i] <= SAME_RATIO * least;
    return met >= 2;
}

bool settle_wants_round(const struct settle_rounds *all, size_t count, unsigned done, unsigned asked,
                        bool *ret_takes_part)
{
    double least_of_others = INFINITY;
    bool is_wanted = false;

    for (size_t i = 0; i < count; i++) {
        if (!all[i].is_ours)
            least_of_others = fmin(least_of_others, least_of(&all[i]));
    }
    for (size_t i = 0; i < count; i++) {
        double least = least_of(&all[i]);

        ret_takes_part[i] = all[i].count != 0 && (all[i].is_ours || least <= CONTEND_RATIO * least_of_others);
        is_wanted = is_wanted || (ret_takes_part[i] && !has_met_twice(&all[i], least));
    }
    return is_wanted && asked >= ASKED_MIN && done < SETTLE_TIMES * asked;
}
