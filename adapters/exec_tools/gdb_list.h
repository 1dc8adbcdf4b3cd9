/* SPDX-License-Identifier: MIT */
/* gdb_list.h -- the symbol files that a debugger finds in a process, and the notices of changes. */
#ifndef PH_TOOLS_GDB_LIST_H
#define PH_TOOLS_GDB_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct ph_tools_listing; /* one symbol file's place in the list; opaque */

/* Put a symbol file into the list, for debuggers that read it later.  NULL if there is no memory. */
struct ph_tools_listing *ph_tools_listing_open(const void *image, size_t image_bytes);

/* Tell a debugger that is there to read the file, anew if it has.  Returns how many notices that took. */
unsigned ph_tools_listing_tell(struct ph_tools_listing *listing);
bool ph_tools_listing_is_told(const struct ph_tools_listing *listing);

/* Take a symbol file out of the list.  Returns how many notices that took. */
unsigned ph_tools_listing_close(struct ph_tools_listing *listing);

#endif
