/* SPDX-License-Identifier: MIT */
/* symfile.h -- an ELF file in memory that says what the code in one range of addresses is called.
 *
 *     header | section headers | section names | symbols, with room for more | texts, with room for more
 *
 * A debugger may read it at any instruction of ours, so it is whole at each: a symbol is written before it
 * is counted, and one that is removed is a nameless one, which readers pass over.  Neither its place nor its
 * text is used again: a file that is full is made anew, with the names that are alive and as much room again.
 */
#ifndef PH_TOOLS_SYMFILE_H
#define PH_TOOLS_SYMFILE_H

#include <link.h>
#include <stddef.h>
#include <stdint.h>

struct ph_tools_symfile {
    unsigned char *image; /* from malloc; NULL: there is none */
    size_t image_bytes;
    ElfW(Shdr) * symbol_section;
    ElfW(Shdr) * text_section;
    ElfW(Sym) * symbols;
    char *texts;
    uint32_t symbol_count; /* the first, which ELF wants empty, included */
    uint32_t symbol_max;
    size_t text_bytes;
    size_t text_max;
};

/* Make a file for the code at [start, start + bytes), without symbols but with room.  0 or ENOMEM. */
int ph_tools_symfile_make(struct ph_tools_symfile *ret_file, uintptr_t start, size_t bytes,
                          uint32_t symbol_room, size_t text_room);
void ph_tools_symfile_drop(struct ph_tools_symfile *file);

/* Add a symbol.  Its slot, or 0 if there is no room. */
uint32_t ph_tools_symfile_add(struct ph_tools_symfile *file, uintptr_t start, size_t code_bytes,
                              const char *text, size_t text_bytes);
void ph_tools_symfile_remove(struct ph_tools_symfile *file, uint32_t slot);
void ph_tools_symfile_resize(struct ph_tools_symfile *file, uint32_t slot, size_t code_bytes);

#endif
