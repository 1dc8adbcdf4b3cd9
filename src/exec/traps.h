/* SPDX-License-Identifier: MIT */
/* traps.h -- what stands where there is no code: instructions that stop whoever runs into them. */
#ifndef PH_EXEC_TRAPS_H
#define PH_EXEC_TRAPS_H

#include <stdint.h>

#include "base/compiler.h"

#define PH_TRAP_WORDS 2048

/* 16 KiB of traps, to be copied from. */
extern uint64_t ph_traps[PH_TRAP_WORDS];

#endif
