/* SPDX-License-Identifier: MIT */
/* probe.h -- what the tests of the IPRT interface ask about memory: who holds it, what it holds. */
#ifndef PH_TESTS_IPRT_PROBE_H
#define PH_TESTS_IPRT_PROBE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pageheap/iprt.h>

/* Pages of the live run that starts at `run`; 0 if none does. */
static inline size_t live_pages(const void *run)
{
    pageheap_run found;
    if (pageheap_find(run, &found) != 0 || found.start != run) {
        return 0;
    }
    return found.pages;
}

/* True if each of `len_bytes` bytes equals `value`. */
static inline bool is_filled(const void *bytes, unsigned char value, size_t len_bytes)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < len_bytes; i++) {
        if (byte[i] != value) {
            return false;
        }
    }
    return true;
}

static inline int compare_addresses(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left;
    uintptr_t b = *(const uintptr_t *)right;
    return (a > b) - (a < b);
}

/* The index of the first of `count` one-page runs that has its right neighbour at the next index; the
 * array is sorted for that.  A heap that cuts runs from blocks has such a pair among a few dozen. */
static inline size_t sort_and_find_neighbours(void **runs, size_t count, size_t page_bytes)
{
    qsort(runs, count, sizeof(*runs), compare_addresses);
    for (size_t i = 0; i + 1 < count; i++) {
        if ((uintptr_t)runs[i] + page_bytes == (uintptr_t)runs[i + 1]) {
            return i;
        }
    }
    fail_msg("no two of %zu one-page runs are neighbours", count);
    return count;
}

#endif
