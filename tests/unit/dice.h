/* SPDX-License-Identifier: MIT */
/* dice.h -- random numbers that can be thrown again.
 *
 * The seed is printed; PAGEHEAP_TEST_SEED=N repeats a run.
 */
#ifndef PH_TESTS_DICE_H
#define PH_TESTS_DICE_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "setting.h"

typedef struct dice {
    uint64_t state;
} dice;

static inline dice dice_from_seed(uint64_t seed)
{
    dice d = { seed | 1 };
    return d;
}

static inline dice dice_new(void)
{
    uint64_t seed = setting("PAGEHEAP_TEST_SEED", (uint64_t)time(NULL) * 2654435761u);
    printf("seed %llu\n", (unsigned long long)(seed | 1));
    return dice_from_seed(seed);
}

/* G. Marsaglia, "Xorshift RNGs", 2003. */
static inline uint64_t dice_next(dice *d)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return d->state;
}

static inline uint64_t dice_below(dice *d, uint64_t bound)
{
    return dice_next(d) % bound;
}

#endif
