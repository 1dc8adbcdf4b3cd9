/* SPDX-License-Identifier: MIT */
/* machine.h -- what ELF calls the processor that this is compiled for. */
#ifndef PH_TOOLS_MACHINE_H
#define PH_TOOLS_MACHINE_H

#include <elf.h>
#include <stdint.h>

#if defined(__x86_64__)
#define PH_TOOLS_MACHINE EM_X86_64
#elif defined(__i386__)
#define PH_TOOLS_MACHINE EM_386
#elif defined(__aarch64__)
#define PH_TOOLS_MACHINE EM_AARCH64
#elif defined(__arm__)
#define PH_TOOLS_MACHINE EM_ARM
#elif defined(__riscv)
#define PH_TOOLS_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define PH_TOOLS_MACHINE EM_PPC64
#elif defined(__s390x__)
#define PH_TOOLS_MACHINE EM_S390
#elif defined(__loongarch__)
#define PH_TOOLS_MACHINE 258 /* EM_LOONGARCH, which older headers lack */
#else
#define PH_TOOLS_MACHINE EM_NONE /* perf and GDB then take the file for the machine they run on, or refuse */
#endif

/* PowerPC alone has two ABIs, told apart here. */
#if defined(_CALL_ELF)
#define PH_TOOLS_MACHINE_FLAGS _CALL_ELF
#else
#define PH_TOOLS_MACHINE_FLAGS 0
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define PH_TOOLS_BYTE_ORDER ELFDATA2MSB
#else
#define PH_TOOLS_BYTE_ORDER ELFDATA2LSB
#endif

#if UINTPTR_MAX > UINT32_MAX
#define PH_TOOLS_WORD_CLASS ELFCLASS64
#else
#define PH_TOOLS_WORD_CLASS ELFCLASS32
#endif

#endif
