/* SPDX-License-Identifier: MIT */
/* probe.h -- which backends the system allows.  Each is tried once in a process, when first asked about. */
#ifndef PH_EXEC_PROBE_H
#define PH_EXEC_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "pageheap/exec.h"

/* Learn what all the rest takes for granted, once per process; any thread.  0 or a negative errno. */
int ph_code_setup(void);

/* 0 if it works, else a negative errno. */
int ph_code_backend_error(uint32_t backend);

/* Pages of its rx view can be guarded one by one. */
bool ph_code_backend_has_guards(uint32_t backend);

/* The first that works and is not RWX; PAGEHEAP_EXEC_BEST if there is none. */
uint32_t ph_code_best_backend(void);

bool ph_code_has_sync_core(void);

/* Everything at once. */
void ph_code_probe(bool try_rwx, pageheap_exec_caps *ret_caps);

#endif
