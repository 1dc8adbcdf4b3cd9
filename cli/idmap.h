/* SPDX-License-Identifier: MIT */
/* idmap.h -- 64-bit numbers from a trace to small dense ones. */
#ifndef PH_CLI_IDMAP_H
#define PH_CLI_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_entry {
    uint64_t id;    /* never 0 */
    uint32_t value; /* the caller's */
    uint32_t state; /* the caller's; 0 in a new entry */
    uint64_t pages; /* the caller's */
};

struct idmap {
    struct idmap_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* The entry of `id`, made if there is none: then its state is 0.  NULL if memory is short.  Valid until the
 * next call. */
struct idmap_entry *idmap_get(struct idmap *map, uint64_t id);

void idmap_clear(struct idmap *map);

#endif
