/* SPDX-License-Identifier: MIT */
/* idmap.c -- a hash table with linear probing, at most two thirds full, without removal. */
#include "idmap.h"

#include <stdlib.h>

#define FIRST_CAPACITY 1024u

static struct idmap_entry *find(struct idmap_entry *entries, size_t capacity, uint64_t id)
{
    /* Recorded ids count up from 1: sixteen neighbours share cache lines, and the rest is mixed well. */
    uint64_t mixed = (id >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)((mixed ^ mixed >> 32) << 4 | (id & 15)) & (capacity - 1);

    while (entries[i].id != 0 && entries[i].id != id)
        i = (i + 1) & (capacity - 1);
    return &entries[i];
}

static int grow(struct idmap *map)
{
    size_t capacity = map->capacity != 0 ? map->capacity * 2 : FIRST_CAPACITY;
    struct idmap_entry *entries = calloc(capacity, sizeof *entries);

    if (entries == NULL)
        return -1;
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->entries[i].id != 0)
            *find(entries, capacity, map->entries[i].id) = map->entries[i];
    }
    free(map->entries);
    map->entries = entries;
    map->capacity = capacity;
    return 0;
}

struct idmap_entry *idmap_get(struct idmap *map, uint64_t id)
{
    struct idmap_entry *entry;

    if (map->count * 3 >= map->capacity * 2 && grow(map) != 0)
        return NULL;
    entry = find(map->entries, map->capacity, id);
    if (entry->id == 0) {
        entry->id = id;
        map->count++;
    }
    return entry;
}

void idmap_clear(struct idmap *map)
{
    free(map->entries);
    *map = (struct idmap){ 0 };
}
