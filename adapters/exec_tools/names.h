/* SPDX-License-Identifier: MIT */
/* names.h -- which address is called what: names in the order of their first address.
 *
 * A treap: each name has a random priority, and stands above all names of lower priority in its half.  So
 * cutting out a range of addresses is two splits and a merge, and the depth stays near twice the binary
 * logarithm of the count, whatever order the names come in.
 *
 * Invariants   N1  left->start < start < right->start
 *              N2  a name's priority is not lower than those of its two children
 *              N3  count and memory_bytes are those of the names in the tree
 * Locking      the tool's guard
 */
#ifndef PH_TOOLS_NAMES_H
#define PH_TOOLS_NAMES_H

#include <stddef.h>
#include <stdint.h>

enum { ph_tools_text_max = 1023 }; /* bytes of a name that are kept */

struct ph_tools_name {
    struct ph_tools_name *left;
    struct ph_tools_name *right;
    uintptr_t start;
    size_t code_bytes;
    uint32_t priority;
    uint32_t slot;     /* for the tool's own use */
    size_t text_bytes; /* without the zero */
    char text[];       /* ends in a zero */
};

struct ph_tools_names {
    struct ph_tools_name *root;
    uint64_t count;
    uint64_t memory_bytes;
    uint64_t dice; /* the state of the random priorities */
};

typedef void ph_tools_name_fn(void *ctx, struct ph_tools_name *name);

void ph_tools_names_init(struct ph_tools_names *names);

/* Copy a text as it is kept: cut, and without what would end a line.  Returns its length. */
size_t ph_tools_text_copy(const char *text, char ret_text[ph_tools_text_max + 1]);

/* Add a name, where none starts at that address.  NULL if there is no memory. */
struct ph_tools_name *ph_tools_names_add(struct ph_tools_names *names, uintptr_t start, size_t code_bytes,
                                         const char *text);

/* Call `fn`, unless it is NULL, for each name that starts in [first, end), then forget it. */
void ph_tools_names_remove(struct ph_tools_names *names, uintptr_t first, uintptr_t end, ph_tools_name_fn *fn,
                           void *ctx);

/* Call `fn` for each name that starts in [first, end), lowest first. */
void ph_tools_names_each(const struct ph_tools_names *names, uintptr_t first, uintptr_t end,
                         ph_tools_name_fn *fn, void *ctx);

/* The last name that starts before `addr`, or NULL. */
struct ph_tools_name *ph_tools_names_before(const struct ph_tools_names *names, uintptr_t addr);

#endif
