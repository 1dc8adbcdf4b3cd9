/* SPDX-License-Identifier: MIT */
/* gdb_list.c -- the names and the layout that GDB's manual gives in "JIT Compilation Interface".
 *
 * They exist once in a process, so they are weak: should another JIT that is linked in define them too, both
 * use one list.  The lock here does not know the other's, as no lock for this is agreed upon anywhere.
 */
#include "gdb_list.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { no_action = 0, register_action = 1, unregister_action = 2 };

struct jit_code_entry {
    struct jit_code_entry *next;
    struct jit_code_entry *previous;
    const void *image;
    uint64_t image_bytes;
};

struct jit_descriptor {
    uint32_t version;
    uint32_t action;
    struct jit_code_entry *relevant;
    struct jit_code_entry *first;
};

#define SHARED_BY_NAME __attribute__((weak, used, visibility("default")))

extern struct jit_descriptor __jit_debug_descriptor;
extern void __jit_debug_register_code(void);

SHARED_BY_NAME struct jit_descriptor __jit_debug_descriptor = { 1, no_action, NULL, NULL };

/* A debugger has a breakpoint here.  The empty statement keeps the calls from being optimised away. */
SHARED_BY_NAME __attribute__((noinline)) void __jit_debug_register_code(void)
{
    __asm__ volatile("" ::: "memory");
}

struct ph_tools_listing {
    struct jit_code_entry entry; /* list_lock */
    bool is_told;                /* the tool's guard */
};

/* Taken with a tool's guard held and never without, so a fork, which holds all guards, finds it free. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;

static void notify(struct ph_tools_listing *listing, uint32_t action)
{
    __jit_debug_descriptor.relevant = &listing->entry;
    __jit_debug_descriptor.action = action;
    __jit_debug_register_code();
    __jit_debug_descriptor.action = no_action;
    __jit_debug_descriptor.relevant = NULL;
}

struct ph_tools_listing *ph_tools_listing_open(const void *image, size_t image_bytes)
{
    struct ph_tools_listing *listing = calloc(1, sizeof(*listing));
    if (listing == NULL)
        return NULL;
    listing->entry.image = image;
    listing->entry.image_bytes = image_bytes;
    pthread_mutex_lock(&list_lock);
    listing->entry.next = __jit_debug_descriptor.first;
    if (listing->entry.next != NULL)
        listing->entry.next->previous = &listing->entry;
    __jit_debug_descriptor.first = &listing->entry;
    pthread_mutex_unlock(&list_lock);
    return listing;
}

unsigned ph_tools_listing_tell(struct ph_tools_listing *listing)
{
    unsigned notices = listing->is_told ? 2 : 1;
    pthread_mutex_lock(&list_lock);
    if (listing->is_told)
        notify(listing, unregister_action);
    notify(listing, register_action);
    pthread_mutex_unlock(&list_lock);
    listing->is_told = true;
    return notices;
}

bool ph_tools_listing_is_told(const struct ph_tools_listing *listing)
{
    return listing->is_told;
}

unsigned ph_tools_listing_close(struct ph_tools_listing *listing)
{
    unsigned notices = 0;
    pthread_mutex_lock(&list_lock);
    struct jit_code_entry *entry = &listing->entry;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        __jit_debug_descriptor.first = entry->next;
    /* Of a file that it was not told of a debugger would complain. */
    if (listing->is_told) {
        notify(listing, unregister_action);
        notices++;
    }
    pthread_mutex_unlock(&list_lock);
    free(listing);
    return notices;
}
