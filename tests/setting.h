/* SPDX-License-Identifier: MIT */
/* setting.h -- numbers that whoever runs a test may set, as PAGEHEAP_TEST_... in the environment. */
#ifndef PH_TESTS_SETTING_H
#define PH_TESTS_SETTING_H

#include <stdint.h>
#include <stdlib.h>

static inline uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

#endif
