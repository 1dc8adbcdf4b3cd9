/* SPDX-License-Identifier: MIT */
/* exec_asmjit_calls.h -- asmjit's JitAllocator for C.
 *
 * Defined by exec_asmjit_calls.cpp where asmjit and a C++ compiler were found when the build was configured,
 * else by exec_asmjit_absent.c.
 */
#ifndef PH_BENCH_PEERS_EXEC_ASMJIT_CALLS_H
#define PH_BENCH_PEERS_EXEC_ASMJIT_CALLS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Make the one allocator of this process: two views of each block; with `fill`, unused memory holds traps.
 * False without asmjit, or where the system allows no such views. */
bool exec_asmjit_open(bool fill);

bool exec_asmjit_alloc(size_t bytes, void **ret_rx, void **ret_rw);
void exec_asmjit_release(void *rx);

#ifdef __cplusplus
}
#endif

#endif
