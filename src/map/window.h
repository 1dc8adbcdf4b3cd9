/* SPDX-License-Identifier: MIT */
/* window.h -- from an address to the record of its block, in two loads and without a lock.
 *
 * The address space is cut into windows of 1 GiB.  A window that holds memory of ours has arrays: who owns
 * each of its 512 blocks, the tags of its pages in two bitmaps, and the blocks' records; and one more for
 * blocks whose runs are labelled.  Untouched ones cost nothing and read as "nobody's", so an address that is
 * not ours needs no special case.
 *
 *     address  ->  ph_windows[address / 1 GiB]  ->  owners[address / 2 MiB % 512]
 *                                                   tags, byte address / 32 KiB % 32768 for the page's mark,
 *                                                   32768 bytes on for its `last`
 *                                                   blocks[address / 2 MiB % 512]
 *
 * A free reads an owner and tags.  They stand apart from the records because they are small: with a million
 * runs live, those of all blocks stay in the processor's caches when the records no longer would.
 *
 * W1  A window's slot is written once, from NULL, and its arrays are never unmapped: a record may be read at
 *     any time, whatever has become of the memory that it describes.
 * W2  The slot is visible before any address inside the window escapes: the store in ph_windows_prepare
 *     releases, and whoever got the address through a synchronising channel sees it.
 */
#ifndef PH_MAP_WINDOW_H
#define PH_MAP_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "base/units.h"
#include "block/block.h"

#define PH_ADDRESS_LOG2 48 /* user addresses of x86-64 and arm64 without opting in to more */
#define PH_WINDOW_COUNT (1u << (PH_ADDRESS_LOG2 - PH_WINDOW_LOG2))
#define PH_WINDOW_WORDS (PH_WINDOW_BLOCKS * PH_BLOCK_WORDS)
#define PH_WINDOW_PAGES (PH_WINDOW_WORDS * 64) /* of 4 KiB */

struct ph_front;  /* who owns blocks: heap/front.h */
struct ph_labels; /* map/labels.h */

typedef struct ph_window {
    _Atomic(struct ph_front *) owners[PH_WINDOW_BLOCKS]; /* both fronts' locks to change; read by anyone */
    /* All marks, behind them all lasts, and one word more, since who reads a byte of lasts reads the seven
     * behind it too.  A block's marks are one cache line, which belongs to who owns the block. */
    _Atomic uint64_t tags[2 * PH_WINDOW_WORDS + 1] PH_ALIGNED(PH_LINE_BYTES);
    /* First blocks of runs that cross the window's edge: one comes in from below, one leaves above.  Their
     * records and not the runs' own, because those are there for ever (W1). */
    _Atomic(ph_block *) enters, leaves;
    ph_block blocks[PH_WINDOW_BLOCKS];
    _Atomic(struct ph_labels *) labels[PH_WINDOW_BLOCKS]; /* written once, from NULL (N1) */
} ph_window;

extern _Atomic(ph_window *) ph_windows[PH_WINDOW_COUNT];

/* One that no address leads to, and of which nothing but its owners is read: for who must have one and has
 * none yet. */
extern ph_window ph_nobodys_window;

/* The window of an address, or NULL. */
static inline ph_window *ph_window_of(uintptr_t address)
{
    uintptr_t index = address >> PH_WINDOW_LOG2;
    return PH_LIKELY(index < PH_WINDOW_COUNT) ? ph_load_acquire(&ph_windows[index]) : NULL; /* W2 */
}

/* The record of the block that would hold `address`, or NULL. */
static PH_ALWAYS_INLINE ph_block *ph_block_of(uintptr_t address)
{
    ph_window *window = ph_window_of(address);
    if (PH_UNLIKELY(window == NULL))
        return NULL;
    return &window->blocks[(address >> PH_BLOCK_LOG2) % PH_WINDOW_BLOCKS];
}

/* The same for an address that is known to be ours. */
static PH_ALWAYS_INLINE ph_block *ph_block_of_ours(uintptr_t address)
{
    ph_window *window = ph_load_relaxed(&ph_windows[address >> PH_WINDOW_LOG2]);
    return &window->blocks[(address >> PH_BLOCK_LOG2) % PH_WINDOW_BLOCKS];
}

/* Who owns this block of ours. */
static inline _Atomic(struct ph_front *) *ph_owner_of(const ph_block *block)
{
    ph_window *window = ph_load_relaxed(&ph_windows[block->number / PH_WINDOW_BLOCKS]);
    return &window->owners[block->number % PH_WINDOW_BLOCKS];
}

/* The owner of the block that would hold `address`, or NULL.  Acquires: what its giver wrote is seen. */
static inline struct ph_front *ph_owner_at(uintptr_t address)
{
    ph_window *window = ph_window_of(address);
    if (window == NULL)
        return NULL;
    /* Pairs with ph_front_attach and others who give a block an owner. */
    return ph_load_acquire(&window->owners[(address >> PH_BLOCK_LOG2) % PH_WINDOW_BLOCKS]);
}

/* Begin a block of ours anew: all pages unused. */
static inline void ph_block_reset(uintptr_t base, unsigned page_log2, bool clean)
{
    ph_window *window = ph_load_relaxed(&ph_windows[base >> PH_WINDOW_LOG2]);
    size_t index = (base >> PH_BLOCK_LOG2) % PH_WINDOW_BLOCKS;
    _Atomic uint64_t *marks = &window->tags[index * PH_BLOCK_WORDS];
    ph_block_place_tags(&window->blocks[index], marks, marks + PH_WINDOW_WORDS);
    ph_block_init(&window->blocks[index], base, page_log2, clean);
}

/* Make the windows of [base, base + bytes) exist.  0 or a negative errno; what was made stays. */
int ph_windows_prepare(uintptr_t base, size_t bytes);

#endif
