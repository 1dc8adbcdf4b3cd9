/* SPDX-License-Identifier: MIT */
/* exec_all.h -- every peer of the code section, each defined in the file that bears its name. */
#ifndef PH_BENCH_PEERS_EXEC_ALL_H
#define PH_BENCH_PEERS_EXEC_ALL_H

#include "../exec_peer.h"

extern const struct exec_peer exec_peer_pageheap;
extern const struct exec_peer exec_peer_pageheap_flip;
extern const struct exec_peer exec_peer_asmjit;
extern const struct exec_peer exec_peer_asmjit_fill;
extern const struct exec_peer exec_peer_libffi;
extern const struct exec_peer exec_peer_mmap;
extern const struct exec_peer exec_peer_flip;
extern const struct exec_peer exec_peer_null;

#endif
