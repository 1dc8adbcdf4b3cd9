/* SPDX-License-Identifier: MIT */
/* gdb.c -- names by GDB's JIT interface: a symbol file for each block, not for each function.
 *
 * GDB keeps what it was given in a list, and looks through all of it at each change: a file for each
 * function makes it slow with the square of their number.  Here a block's symbol file has room to grow in
 * place, and is made anew, twice as large, when it is full.  What a debugger that attaches later reads is
 * always up to date.
 *
 * A debugger that is there already reads a file only when told, and reads all of it.  A notice is a call of
 * an empty function, on which it has a breakpoint; how long that takes tells whether it has.  It may have
 * half of the program's time, and half a second of it ahead, so a few names are told at once, one by one.
 *
 * Invariants   G1  blocks are in order of address and do not overlap
 *              G2  each name starts in a known block, and its slot is its symbol in that block's file
 *              G3  stale_blocks is the number of blocks whose file has changed since a notice of it
 * Locking      the tool's guard, then gdb_list.c's for the list that all tools of the process share
 */
#include <pageheap/exec_tools.h>

#include "gdb_list.h"
#include "guard.h"
#include "names.h"
#include "report.h"
#include "symfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { symbols_min = 64, texts_min_bytes = 4096 };

/* What a name lies in whose block we have not been told of: the thread that mapped it is about to tell. */
static const uintptr_t usual_block_bytes = (uintptr_t)2 << 20;

/* What notices may take ahead of their half of the time, and the longest silence after one: somebody may have
 * looked at the program meanwhile. */
static const uint64_t ahead_max_ns = UINT64_C(500000000);
static const uint64_t silence_max_ns = UINT64_C(1000000000);

struct block {
    uintptr_t start;
    size_t bytes;
    unsigned maps;                  /* less the unmaps; these may be told late, after the next map */
    struct ph_tools_symfile file;   /* no image before the first name */
    struct ph_tools_listing *entry; /* NULL before the first name */
    bool is_stale;                  /* G3 */
};

struct pageheap_exec_tools_gdb {
    struct ph_tools_guard guard;
    pageheap_exec_hooks hooks; /* set once */
    struct block *blocks;      /* guard, as all below; G1 */
    size_t block_count;
    size_t block_max;
    size_t stale_blocks;
    uint64_t silent_until_ns;
    uint64_t notices;
    struct ph_tools_names names; /* G2 */
    struct ph_tools_tally tally;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- notices ------------------------------------------------------------------------------- */

static void mark_stale(pageheap_exec_tools_gdb *gdb, struct block *block)
{
    if (!block->is_stale)
        gdb->stale_blocks++;
    block->is_stale = true;
}

static void mark_told(pageheap_exec_tools_gdb *gdb, struct block *block)
{
    if (block->is_stale)
        gdb->stale_blocks--;
    block->is_stale = false;
}

static void tell_all(pageheap_exec_tools_gdb *gdb)
{
    if (gdb->stale_blocks == 0)
        return;
    uint64_t began_ns = now_ns();
    for (size_t i = 0; i < gdb->block_count; i++) {
        if (!gdb->blocks[i].is_stale)
            continue;
        gdb->notices += ph_tools_listing_tell(gdb->blocks[i].entry);
        mark_told(gdb, &gdb->blocks[i]);
    }
    uint64_t ended_ns = now_ns();
    if (gdb->silent_until_ns + ahead_max_ns < began_ns)
        gdb->silent_until_ns = began_ns - ahead_max_ns;
    gdb->silent_until_ns += 2 * (ended_ns - began_ns);
    if (gdb->silent_until_ns > ended_ns + silence_max_ns)
        gdb->silent_until_ns = ended_ns + silence_max_ns;
}

static void tell_in_time(pageheap_exec_tools_gdb *gdb)
{
    if (gdb->stale_blocks > 0 && now_ns() >= gdb->silent_until_ns)
        tell_all(gdb);
}

/* ---- blocks -------------------------------------------------------------------------------- */

/* The index of the first block that ends after `addr`. */
static size_t block_from(const pageheap_exec_tools_gdb *gdb, uintptr_t addr)
{
    size_t low = 0, high = gdb->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct block *block = &gdb->blocks[middle];
        if (block->start + block->bytes > addr)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The block that a name of ours starts in (G2). */
static struct block *block_of(pageheap_exec_tools_gdb *gdb, const struct ph_tools_name *name)
{
    return &gdb->blocks[block_from(gdb, name->start)];
}

static void remove_symbol(void *ctx, struct ph_tools_name *name)
{
    pageheap_exec_tools_gdb *gdb = ctx;
    struct block *block = block_of(gdb, name);
    ph_tools_symfile_remove(&block->file, name->slot);
    mark_stale(gdb, block);
}

/* Forget a block's file and its names, with the debugger's knowledge. */
static void empty_block(pageheap_exec_tools_gdb *gdb, struct block *block)
{
    ph_tools_names_remove(&gdb->names, block->start, block->start + block->bytes, NULL, NULL);
    mark_told(gdb, block);
    if (block->entry != NULL)
        gdb->notices += ph_tools_listing_close(block->entry);
    block->entry = NULL;
    ph_tools_symfile_drop(&block->file);
}

static void remove_blocks(pageheap_exec_tools_gdb *gdb, uintptr_t start, uintptr_t end)
{
    size_t first = block_from(gdb, start);
    size_t past = first;
    while (past < gdb->block_count && gdb->blocks[past].start < end)
        empty_block(gdb, &gdb->blocks[past++]);
    if (past == first)
        return;
    memmove(&gdb->blocks[first], &gdb->blocks[past], (gdb->block_count - past) * sizeof(gdb->blocks[0]));
    gdb->block_count -= past - first;
}

static void unmap_block(pageheap_exec_tools_gdb *gdb, uintptr_t start, size_t bytes)
{
    size_t at = block_from(gdb, start);
    if (at < gdb->block_count && gdb->blocks[at].start == start && gdb->blocks[at].maps > 1)
        gdb->blocks[at].maps--;
    else
        remove_blocks(gdb, start, start + bytes);
}

static bool have_room_for_block(pageheap_exec_tools_gdb *gdb)
{
    if (gdb->block_count < gdb->block_max)
        return true;
    size_t block_max = gdb->block_max == 0 ? 16 : 2 * gdb->block_max;
    struct block *blocks = realloc(gdb->blocks, block_max * sizeof(*blocks));
    if (blocks == NULL)
        return false;
    gdb->blocks = blocks;
    gdb->block_max = block_max;
    return true;
}

/* Make a block known.  NULL if there is no memory for that. */
static struct block *add_block(pageheap_exec_tools_gdb *gdb, uintptr_t start, size_t bytes)
{
    size_t at = block_from(gdb, start);
    if (at < gdb->block_count && gdb->blocks[at].start == start && gdb->blocks[at].bytes == bytes)
        return &gdb->blocks[at];
    remove_blocks(gdb, start, start + bytes);
    if (!have_room_for_block(gdb))
        return NULL;
    memmove(&gdb->blocks[at + 1], &gdb->blocks[at], (gdb->block_count - at) * sizeof(gdb->blocks[0]));
    gdb->blocks[at] = (struct block){ .start = start, .bytes = bytes };
    gdb->block_count++;
    return &gdb->blocks[at];
}

/* The block at an address, made known if it is not.  NULL if there is no memory for that. */
static struct block *block_at(pageheap_exec_tools_gdb *gdb, uintptr_t addr)
{
    size_t at = block_from(gdb, addr);
    if (at < gdb->block_count && gdb->blocks[at].start <= addr)
        return &gdb->blocks[at];
    return add_block(gdb, addr & ~(usual_block_bytes - 1), usual_block_bytes);
}

/* ---- files --------------------------------------------------------------------------------- */

struct room {
    struct ph_tools_symfile *file;
    uint32_t symbols;
    size_t text_bytes;
};

static void count_room(void *ctx, struct ph_tools_name *name)
{
    struct room *room = ctx;
    room->symbols++;
    room->text_bytes += name->text_bytes + 1;
}

static void copy_symbol(void *ctx, struct ph_tools_name *name)
{
    struct room *room = ctx;
    name->slot =
        ph_tools_symfile_add(room->file, name->start, name->code_bytes, name->text, name->text_bytes);
}

/* Give a block a file with all its names, one of them new, and as much room again.  0 or ENOMEM. */
static int remake_file(pageheap_exec_tools_gdb *gdb, struct block *block)
{
    struct ph_tools_symfile file;
    uintptr_t end = block->start + block->bytes;
    struct room room = { &file, 0, 0 };
    ph_tools_names_each(&gdb->names, block->start, end, count_room, &room);
    uint32_t symbol_room = 2 * room.symbols > symbols_min ? 2 * room.symbols : symbols_min;
    size_t text_room = 2 * room.text_bytes > texts_min_bytes ? 2 * room.text_bytes : texts_min_bytes;
    int error = ph_tools_symfile_make(&file, block->start, block->bytes, symbol_room, text_room);
    if (error != 0)
        return error;
    struct ph_tools_listing *entry = ph_tools_listing_open(file.image, file.image_bytes);
    if (entry == NULL) {
        ph_tools_symfile_drop(&file);
        return ENOMEM;
    }
    ph_tools_names_each(&gdb->names, block->start, end, copy_symbol, &room);

    /* A debugger that knew the old file must not be without either. */
    bool was_told = block->entry != NULL && ph_tools_listing_is_told(block->entry);
    if (block->entry != NULL)
        gdb->notices += ph_tools_listing_close(block->entry);
    ph_tools_symfile_drop(&block->file);
    block->file = file;
    block->entry = entry;
    if (was_told)
        gdb->notices += ph_tools_listing_tell(entry);
    return 0;
}

/* Name [start, start + bytes), which lies in one block. */
static int name_in_block(pageheap_exec_tools_gdb *gdb, struct block *block, uintptr_t start, size_t bytes,
                         const char *text)
{
    ph_tools_names_remove(&gdb->names, start, start + 1, remove_symbol, gdb);
    struct ph_tools_name *name = ph_tools_names_add(&gdb->names, start, bytes, text);
    if (name == NULL)
        return ENOMEM;
    if (block->entry != NULL)
        name->slot = ph_tools_symfile_add(&block->file, start, bytes, name->text, name->text_bytes);
    if (name->slot == 0 && remake_file(gdb, block) != 0) {
        ph_tools_names_remove(&gdb->names, start, start + 1, NULL, NULL);
        return ENOMEM;
    }
    mark_stale(gdb, block);
    return 0;
}

/* A debugger looks for an address only among the names of its own block, so code that goes on in the next one
 * is named there again. */
static int name_in_blocks(pageheap_exec_tools_gdb *gdb, uintptr_t start, size_t bytes, const char *text)
{
    uintptr_t at = start, end = start + bytes;
    int error = 0;
    while (error == 0 && at < end) {
        struct block *block = block_at(gdb, at);
        if (block == NULL)
            return ENOMEM;
        uintptr_t block_end = block->start + block->bytes;
        uintptr_t part_end = end < block_end ? end : block_end;
        char part_text[ph_tools_text_max + 1];
        if (at > start)
            snprintf(part_text, sizeof(part_text), "%.900s+0x%zx", text, (size_t)(at - start));
        error = name_in_block(gdb, block, at, part_end - at, at > start ? part_text : text);
        at = part_end;
    }
    return error;
}

/* ---- the hooks ------------------------------------------------------------------------------- */

static void block_mapped(void *ctx, const void *rx, size_t bytes)
{
    pageheap_exec_tools_gdb *gdb = ctx;
    struct ph_tools_visit visit;
    ph_tools_enter(&gdb->guard, &visit);
    struct block *block = add_block(gdb, (uintptr_t)rx, bytes);
    if (block != NULL)
        block->maps++;
    ph_tools_leave(&gdb->guard, &visit);
}

static void block_unmapped(void *ctx, const void *rx, size_t bytes)
{
    pageheap_exec_tools_gdb *gdb = ctx;
    struct ph_tools_visit visit;
    ph_tools_enter(&gdb->guard, &visit);
    unmap_block(gdb, (uintptr_t)rx, bytes);
    ph_tools_leave(&gdb->guard, &visit);
}

static void named(void *ctx, const void *rx, size_t bytes, const char *name)
{
    pageheap_exec_tools_gdb *gdb = ctx;
    struct ph_tools_visit visit;
    ph_tools_enter(&gdb->guard, &visit);
    const char *text = name != NULL ? name : "?";
    ph_tools_tally_count(&gdb->tally, name_in_blocks(gdb, (uintptr_t)rx, bytes, text));
    tell_in_time(gdb);
    ph_tools_leave(&gdb->guard, &visit);
}

static void freed(void *ctx, const void *rx, size_t bytes)
{
    pageheap_exec_tools_gdb *gdb = ctx;
    uintptr_t start = (uintptr_t)rx;
    struct ph_tools_visit visit;
    ph_tools_enter(&gdb->guard, &visit);
    ph_tools_names_remove(&gdb->names, start, start + bytes, remove_symbol, gdb);
    /* Of a span that was shrunk, the head keeps its name. */
    struct ph_tools_name *head = ph_tools_names_before(&gdb->names, start);
    if (head != NULL && head->code_bytes > start - head->start) {
        struct block *block = block_of(gdb, head);
        head->code_bytes = start - head->start;
        ph_tools_symfile_resize(&block->file, head->slot, head->code_bytes);
        mark_stale(gdb, block);
    }
    tell_in_time(gdb);
    ph_tools_leave(&gdb->guard, &visit);
}

/* ---- open and close ---------------------------------------------------------------------------- */

pageheap_exec_tools_gdb *pageheap_exec_tools_gdb_open(void)
{
    pageheap_exec_tools_gdb *gdb = calloc(1, sizeof(*gdb));
    if (gdb == NULL)
        return NULL;
    ph_tools_names_init(&gdb->names);
    int error = ph_tools_guard_open(&gdb->guard);
    if (error != 0) {
        free(gdb);
        errno = error;
        return NULL;
    }
    gdb->hooks = (pageheap_exec_hooks){ .block_mapped = block_mapped,
                                        .block_unmapped = block_unmapped,
                                        .named = named,
                                        .freed = freed,
                                        .ctx = gdb };
    return gdb;
}

const pageheap_exec_hooks *pageheap_exec_tools_gdb_hooks(const pageheap_exec_tools_gdb *gdb)
{
    return gdb == NULL ? NULL : &gdb->hooks;
}

void pageheap_exec_tools_gdb_flush(pageheap_exec_tools_gdb *gdb)
{
    if (gdb == NULL)
        return;
    struct ph_tools_visit visit;
    ph_tools_enter(&gdb->guard, &visit);
    tell_all(gdb);
    ph_tools_leave(&gdb->guard, &visit);
}

int pageheap_exec_tools_gdb_get_stats(pageheap_exec_tools_gdb *gdb, pageheap_exec_tools_stats *ret_stats)
{
    if (gdb == NULL || ph_tools_stats_judge(ret_stats) != 0)
        return PAGEHEAP_EINVAL;
    struct ph_tools_visit visit;
    ph_tools_enter(&gdb->guard, &visit);
    pageheap_exec_tools_stats stats = ph_tools_tally_stats(&gdb->tally);
    stats.live_names = gdb->names.count;
    stats.memory_bytes = gdb->names.memory_bytes + gdb->block_max * sizeof(gdb->blocks[0]);
    for (size_t i = 0; i < gdb->block_count; i++)
        stats.memory_bytes += gdb->blocks[i].file.image_bytes;
    stats.notices = gdb->notices;
    ph_tools_leave(&gdb->guard, &visit);
    ph_tools_stats_fill(&stats, ret_stats);
    return 0;
}

void pageheap_exec_tools_gdb_close(pageheap_exec_tools_gdb *gdb)
{
    if (gdb == NULL)
        return;
    int errno_before = errno;
    struct ph_tools_visit visit;
    ph_tools_enter(&gdb->guard, &visit);
    remove_blocks(gdb, 0, UINTPTR_MAX);
    ph_tools_leave(&gdb->guard, &visit);
    ph_tools_guard_close(&gdb->guard);
    free(gdb->blocks);
    free(gdb);
    errno = errno_before;
}
