/* SPDX-License-Identifier: MIT */
/* preload_maps.c -- which address ranges are anonymous mappings of the program.
 *
 * An array sorted by address of ranges that do not overlap: programs map thousands of ranges, not millions.
 * A range without a run is reserved: mapped without access, so far.
 */
#include "preload.h"

#include <string.h>

#define FIRST_BYTES 65536u

struct range {
    uintptr_t start;
    uintptr_t end;
    uint64_t run; /* 0: reserved */
};

static struct range *ranges_of(const struct record_state *state)
{
    return state->maps.items;
}

/* The index of the first range that ends behind `address`. */
static size_t first_behind(const struct record_state *state, uintptr_t address)
{
    size_t low = 0, high = state->maps_used;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ranges_of(state)[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room(struct record_state *state)
{
    struct record_array old;
    size_t bytes = state->maps.capacity_bytes;

    if ((state->maps_used + 1) * sizeof(struct range) <= bytes)
        return true;
    if (!array_replace(&state->maps, bytes != 0 ? bytes * 2 : FIRST_BYTES, &old))
        return false;
    if (old.items != NULL)
        memcpy(state->maps.items, old.items, state->maps_used * sizeof(struct range));
    array_release(&old);
    return true;
}

/* Put a range where nothing is; an empty one is nothing. */
static void put(struct record_state *state, uintptr_t start, uintptr_t end, uint64_t run)
{
    size_t index = first_behind(state, start);
    struct range *ranges;

    if (start >= end || !make_room(state))
        return;
    ranges = ranges_of(state);
    memmove(&ranges[index + 1], &ranges[index], (state->maps_used - index) * sizeof *ranges);
    ranges[index] = (struct range){ start, end, run };
    state->maps_used++;
}

static struct range take_at(struct record_state *state, size_t index)
{
    struct range *ranges = ranges_of(state);
    struct range taken = ranges[index];

    state->maps_used--;
    memmove(&ranges[index], &ranges[index + 1], (state->maps_used - index) * sizeof *ranges);
    return taken;
}

static void put_run_range(struct record_state *state, uintptr_t start, uintptr_t end)
{
    uint64_t run;

    if (start >= end)
        return;
    run = record_alloc(state, (end - start) / RECORD_PAGE_BYTES);
    if (run != 0)
        put(state, start, end, run);
}

static uintptr_t end_of(uintptr_t start, size_t bytes)
{
    return start + (bytes + RECORD_PAGE_BYTES - 1) / RECORD_PAGE_BYTES * RECORD_PAGE_BYTES;
}

void map_remove(struct record_state *state, uintptr_t start, size_t bytes)
{
    uintptr_t end = end_of(start, bytes);
    size_t index = first_behind(state, start);

    while (index < state->maps_used && ranges_of(state)[index].start < end) {
        struct range range = take_at(state, index);
        uintptr_t head_end = range.start < start ? start : range.start;
        uintptr_t tail_start = range.end > end ? end : range.end;

        if (range.run == 0) {
            put(state, range.start, head_end, 0);
            put(state, tail_start, range.end, 0);
        } else {
            record_free(state, range.run);
            put_run_range(state, range.start, head_end);
            put_run_range(state, tail_start, range.end);
        }
        index = first_behind(state, start);
    }
}

void map_insert(struct record_state *state, uintptr_t start, size_t bytes, bool is_reserved)
{
    map_remove(state, start, bytes);
    if (is_reserved)
        put(state, start, end_of(start, bytes), 0);
    else
        put_run_range(state, start, end_of(start, bytes));
}

void map_commit(struct record_state *state, uintptr_t start, size_t bytes)
{
    uintptr_t end = end_of(start, bytes);
    size_t index = first_behind(state, start);

    while (index < state->maps_used && ranges_of(state)[index].start < end) {
        struct range range = ranges_of(state)[index];
        uintptr_t from = range.start < start ? start : range.start;
        uintptr_t to = range.end > end ? end : range.end;

        if (range.run == 0) {
            (void)take_at(state, index);
            put(state, range.start, from, 0);
            put_run_range(state, from, to);
            put(state, to, range.end, 0);
        }
        index = first_behind(state, to);
    }
}

void map_move(struct record_state *state, uintptr_t start, size_t bytes, uintptr_t new_start,
              size_t new_bytes)
{
    uintptr_t end = end_of(start, bytes);
    uintptr_t new_end = end_of(new_start, new_bytes);
    size_t index = first_behind(state, start);
    struct range old;

    if (index == state->maps_used || ranges_of(state)[index].start >= end) {
        map_remove(state, new_start, new_bytes); /* not a mapping of ours; it may have replaced one */
        return;
    }
    old = ranges_of(state)[index];
    if (old.run == 0 || old.start != start || old.end != end) {
        map_remove(state, start, bytes);
        map_insert(state, new_start, new_bytes, old.run == 0);
        return;
    }
    (void)take_at(state, index);
    map_remove(state, new_start, new_bytes);
    if (new_end - new_start == end - start) {
        put(state, new_start, new_end, old.run);
    } else {
        put_run_range(state, new_start, new_end);
        record_free(state, old.run);
    }
}
