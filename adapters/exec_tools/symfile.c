/* SPDX-License-Identifier: MIT */
/* symfile.c -- laying the file out, and keeping it whole while it changes. */
#include "symfile.h"

#include "machine.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum section { no_section, code_section, symbol_section, text_section, name_section, section_count };

/* The names of the sections, and where each begins. */
static const char section_names[] = "\0.text\0.symtab\0.strtab\0.shstrtab";
enum { code_name = 1, symbol_name = 7, text_name = 15, name_name = 23 };

/* What stands before the symbols; a multiple of what they must be aligned to. */
struct head {
    ElfW(Ehdr) header;
    ElfW(Shdr) sections[section_count];
    char names[40];
};

_Static_assert(sizeof(section_names) <= sizeof(((struct head *)0)->names), "the names have room");
_Static_assert(sizeof(struct head) % _Alignof(ElfW(Sym)) == 0, "symbols may follow");

static void write_header(ElfW(Ehdr) * header)
{
    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = PH_TOOLS_WORD_CLASS;
    header->e_ident[EI_DATA] = PH_TOOLS_BYTE_ORDER;
    header->e_ident[EI_VERSION] = EV_CURRENT;
    header->e_type = ET_EXEC; /* its symbols are addresses */
    header->e_machine = PH_TOOLS_MACHINE;
    header->e_version = EV_CURRENT;
    header->e_flags = PH_TOOLS_MACHINE_FLAGS;
    header->e_ehsize = sizeof(*header);
    header->e_shoff = offsetof(struct head, sections);
    header->e_shentsize = sizeof(ElfW(Shdr));
    header->e_shnum = section_count;
    header->e_shstrndx = name_section;
}

/* The code itself is not in the file: it is where the debugger looks anyway. */
static void write_sections(ElfW(Shdr) * section, uintptr_t start, size_t bytes, size_t text_offset)
{
    section[code_section] = (ElfW(Shdr)){ .sh_name = code_name,
                                          .sh_type = SHT_NOBITS,
                                          .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                          .sh_addr = start,
                                          .sh_offset = sizeof(struct head),
                                          .sh_size = bytes,
                                          .sh_addralign = 16 };
    section[symbol_section] = (ElfW(Shdr)){ .sh_name = symbol_name,
                                            .sh_type = SHT_SYMTAB,
                                            .sh_offset = sizeof(struct head),
                                            .sh_size = sizeof(ElfW(Sym)),
                                            .sh_link = text_section,
                                            .sh_info = 1, /* the first symbol that is not local */
                                            .sh_addralign = _Alignof(ElfW(Sym)),
                                            .sh_entsize = sizeof(ElfW(Sym)) };
    section[text_section] = (ElfW(Shdr)){ .sh_name = text_name,
                                          .sh_type = SHT_STRTAB,
                                          .sh_offset = (ElfW(Off))text_offset,
                                          .sh_size = 1,
                                          .sh_addralign = 1 };
    section[name_section] = (ElfW(Shdr)){ .sh_name = name_name,
                                          .sh_type = SHT_STRTAB,
                                          .sh_offset = offsetof(struct head, names),
                                          .sh_size = sizeof(section_names),
                                          .sh_addralign = 1 };
}

int ph_tools_symfile_make(struct ph_tools_symfile *ret_file, uintptr_t start, size_t bytes,
                          uint32_t symbol_room, size_t text_room)
{
    size_t symbol_max = (size_t)symbol_room + 1;
    size_t text_offset = sizeof(struct head) + symbol_max * sizeof(ElfW(Sym));
    size_t text_max = text_room + 1;
    unsigned char *image = calloc(1, text_offset + text_max);
    if (image == NULL)
        return ENOMEM;
    struct head *head = (struct head *)image;
    write_header(&head->header);
    write_sections(head->sections, start, bytes, text_offset);
    memcpy(head->names, section_names, sizeof(section_names));
    *ret_file = (struct ph_tools_symfile){ .image = image,
                                           .image_bytes = text_offset + text_max,
                                           .symbol_section = &head->sections[symbol_section],
                                           .text_section = &head->sections[text_section],
                                           .symbols = (ElfW(Sym) *)(image + sizeof(*head)),
                                           .texts = (char *)(image + text_offset),
                                           .symbol_count = 1,
                                           .symbol_max = (uint32_t)symbol_max,
                                           .text_bytes = 1,
                                           .text_max = text_max };
    return 0;
}

void ph_tools_symfile_drop(struct ph_tools_symfile *file)
{
    free(file->image);
    *file = (struct ph_tools_symfile){ .image = NULL };
}

/* What was written before this stands in memory before what is written after. */
static void finish_step(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

uint32_t ph_tools_symfile_add(struct ph_tools_symfile *file, uintptr_t start, size_t code_bytes,
                              const char *text, size_t text_bytes)
{
    if (text_bytes + 1 > file->text_max - file->text_bytes || file->symbol_count == file->symbol_max)
        return 0;
    size_t text_at = file->text_bytes;
    memcpy(file->texts + text_at, text, text_bytes + 1);
    file->text_bytes += text_bytes + 1;
    file->text_section->sh_size = file->text_bytes;
    finish_step();

    uint32_t slot = file->symbol_count++;
    file->symbols[slot] = (ElfW(Sym)){ .st_name = (uint32_t)text_at,
                                       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), /* in both classes */
                                       .st_shndx = code_section,
                                       .st_value = start,
                                       .st_size = code_bytes };
    finish_step();
    file->symbol_section->sh_size = (size_t)file->symbol_count * sizeof(file->symbols[0]);
    return slot;
}

void ph_tools_symfile_remove(struct ph_tools_symfile *file, uint32_t slot)
{
    file->symbols[slot].st_name = 0;
    finish_step();
    file->symbols[slot] = (ElfW(Sym)){ .st_shndx = SHN_UNDEF };
}

void ph_tools_symfile_resize(struct ph_tools_symfile *file, uint32_t slot, size_t code_bytes)
{
    file->symbols[slot].st_size = code_bytes;
}
