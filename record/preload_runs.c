/* SPDX-License-Identifier: MIT */
/* preload_runs.c -- which addresses from the malloc family are recorded runs.
 *
 * A hash table with linear probing, at most half full; a removal closes the gap, so there are no tombstones.
 */
#include "preload.h"

#define FIRST_SLOTS 4096u

struct slot {
    uintptr_t address; /* 0: empty */
    struct taken_run taken;
};

static size_t slot_count(const struct record_state *state)
{
    return state->table.capacity_bytes / sizeof(struct slot);
}

/* Capacities are powers of two in slots, so the low bits of a mixed address are an index. */
static size_t home_of(uintptr_t address, size_t slots)
{
    uint64_t mixed = (uint64_t)address * 0x9e3779b97f4a7c15u;

    return (size_t)(mixed >> 32) & (slots - 1);
}

/* The slot that holds `address`, or the empty one where it belongs.  The table has an empty slot. */
static struct slot *find(const struct record_state *state, uintptr_t address)
{
    struct slot *slots = state->table.items;
    size_t count = slot_count(state);
    size_t i = home_of(address, count);

    while (slots[i].address != 0 && slots[i].address != address)
        i = (i + 1) & (count - 1);
    return &slots[i];
}

static bool make_room(struct record_state *state)
{
    size_t old_count = slot_count(state);
    size_t new_count = old_count != 0 ? old_count * 2 : FIRST_SLOTS;
    struct record_array old;
    const struct slot *slots;

    if (state->table_used * 2 < old_count)
        return true;
    if (!array_replace(&state->table, new_count * sizeof(struct slot), &old))
        return false;
    slots = old.items;
    for (size_t i = 0; i < old_count; i++) {
        if (slots[i].address != 0)
            *find(state, slots[i].address) = slots[i];
    }
    array_release(&old);
    return true;
}

static void insert(struct record_state *state, uintptr_t address, struct taken_run taken)
{
    struct slot *slot;

    if (taken.run == 0 || !make_room(state))
        return;
    slot = find(state, address);
    /* The address was freed in a way that the recorder does not see. */
    if (slot->address != 0)
        record_free(state, slot->taken.run);
    else
        state->table_used++;
    slot->address = address;
    slot->taken = taken;
}

static void close_gap(struct record_state *state, size_t gap)
{
    struct slot *slots = state->table.items;
    size_t mask = slot_count(state) - 1;

    for (size_t i = (gap + 1) & mask; slots[i].address != 0; i = (i + 1) & mask) {
        size_t home = home_of(slots[i].address, mask + 1);

        /* Only what lies past its home by at least the way back to the gap may move there. */
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            slots[gap] = slots[i];
            gap = i;
        }
    }
    slots[gap].address = 0;
}

static struct taken_run take(struct record_state *state, uintptr_t address)
{
    struct taken_run taken = { 0, 0 };
    struct slot *slot;

    if (state->table_used == 0)
        return taken;
    slot = find(state, address);
    if (slot->address == 0)
        return taken;
    taken = slot->taken;
    close_gap(state, (size_t)(slot - (struct slot *)state->table.items));
    state->table_used--;
    return taken;
}

void note_malloc(const void *memory, uint64_t pages)
{
    struct record_state *state = lock_state();
    struct taken_run taken;

    if (state == NULL)
        return;
    taken.run = record_alloc(state, pages);
    taken.pages = pages;
    insert(state, (uintptr_t)memory, taken);
    unlock_state(state);
}

void note_free(const void *memory)
{
    struct record_state *state = lock_state();

    if (state == NULL)
        return;
    record_free(state, take(state, (uintptr_t)memory).run);
    unlock_state(state);
}

struct taken_run take_run(const void *memory)
{
    struct record_state *state = lock_state();
    struct taken_run taken = { 0, 0 };

    if (state == NULL)
        return taken;
    taken = take(state, (uintptr_t)memory);
    unlock_state(state);
    return taken;
}

void put_run(const void *memory, struct taken_run taken)
{
    struct record_state *state = lock_state();

    if (state == NULL)
        return;
    insert(state, (uintptr_t)memory, taken);
    unlock_state(state);
}

void note_realloc(struct taken_run taken, const void *memory, uint64_t new_pages)
{
    struct record_state *state;
    struct taken_run now = taken;

    if (taken.run == 0 && new_pages == 0)
        return;
    state = lock_state();
    if (state == NULL)
        return;
    if (new_pages != taken.pages) {
        now.run = new_pages != 0 ? record_alloc(state, new_pages) : 0;
        now.pages = new_pages;
        record_free(state, taken.run);
    }
    insert(state, (uintptr_t)memory, now);
    unlock_state(state);
}
