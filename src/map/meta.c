/* SPDX-License-Identifier: MIT */
/* meta.c -- a bump allocator with a list of freed records for each power of two.
 *
 * Invariants  A1  a record of class c has 64 << c bytes and stays of that class for ever
 *             A2  [next, end) is unused, zero, and belongs to the newest chunk
 *             A3  a record of PH_META_PAGE_BYTES or more begins at a multiple of it, and so does `end`
 * Small records are cut from the chunk's beginning, large ones from its end.  What is left of a chunk when a
 * record does not fit is abandoned: less than that record.
 */
#include "map/meta.h"

#include "base/bits.h"
#include "base/units.h"
#include "os/os.h"

#define CHUNK_BYTES      (UINT64_C(1) << 18)
#define CLASS_COUNT      13 /* 64 bytes to 256 KiB */
#define CLASS_BYTES(c)   ((size_t)PH_LINE_BYTES << (c))
#define RECORD_BYTES_MAX CLASS_BYTES(CLASS_COUNT - 1)

typedef struct freed_record {
    struct freed_record *next;
} freed_record;

static struct {
    ph_mutex lock;
    uintptr_t next, end;              /* lock */
    freed_record *freed[CLASS_COUNT]; /* lock */
} arena;

static unsigned class_of(size_t bytes)
{
    unsigned c = 0;
    while (CLASS_BYTES(c) < bytes)
        c++;
    return c;
}

/* With the lock held: a record from the freed ones or from the chunk, or NULL. */
static void *take_record(unsigned c, size_t *ret_dirty_bytes)
{
    freed_record *record = arena.freed[c];
    if (record != NULL) {
        arena.freed[c] = record->next;
        *ret_dirty_bytes = CLASS_BYTES(c);
        return record;
    }
    if (arena.end - arena.next < CLASS_BYTES(c))
        return NULL;
    *ret_dirty_bytes = 0;
    if (CLASS_BYTES(c) >= PH_META_PAGE_BYTES) {
        arena.end -= CLASS_BYTES(c);
        return (void *)arena.end;
    }
    void *fresh = (void *)arena.next;
    arena.next += CLASS_BYTES(c);
    return fresh;
}

/* Beyond the largest class: a mapping of its own. */
static void *map_record(size_t bytes)
{
    void *record;
    if (ph_os.map(bytes, &record) != 0)
        return NULL;
    return record;
}

/* Neither a freed record nor room in the chunk was found: map another, unless somebody else has done so or
 * has freed a record meanwhile. */
static void *take_from_new_chunk(unsigned c, size_t *ret_dirty_bytes)
{
    void *chunk;
    if (ph_os.map(CHUNK_BYTES, &chunk) != 0)
        return NULL;
    ph_mutex_lock(&arena.lock);
    void *record = take_record(c, ret_dirty_bytes);
    bool is_spare = record != NULL;
    if (!is_spare) {
        arena.next = (uintptr_t)chunk;
        arena.end = arena.next + CHUNK_BYTES;
        record = take_record(c, ret_dirty_bytes);
    }
    ph_mutex_unlock(&arena.lock);
    if (is_spare)
        (void)ph_os.unmap(chunk, CHUNK_BYTES);
    return record;
}

void *ph_meta_alloc(size_t bytes)
{
    if (bytes > RECORD_BYTES_MAX)
        return map_record(bytes);
    unsigned c = class_of(bytes);
    size_t dirty_bytes = 0;
    ph_mutex_lock(&arena.lock);
    void *record = take_record(c, &dirty_bytes);
    ph_mutex_unlock(&arena.lock);
    if (record == NULL)
        record = take_from_new_chunk(c, &dirty_bytes);
    if (dirty_bytes != 0)
        ph_os_clear(record, dirty_bytes);
    return record;
}

void ph_meta_free(void *record, size_t bytes)
{
    if (bytes > RECORD_BYTES_MAX) {
        (void)ph_os.unmap(record, bytes);
        return;
    }
    unsigned c = class_of(bytes);
    freed_record *freed = record;
    ph_mutex_lock(&arena.lock);
    freed->next = arena.freed[c];
    arena.freed[c] = freed;
    ph_mutex_unlock(&arena.lock);
}

void ph_meta_lock(void)
{
    ph_mutex_lock(&arena.lock);
}

void ph_meta_unlock(void)
{
    ph_mutex_unlock(&arena.lock);
}
