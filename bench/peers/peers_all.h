/* SPDX-License-Identifier: MIT */
/* peers_all.h -- every peer, each defined in the file that bears its name; for peers.c and the tests. */
#ifndef PH_BENCH_PEERS_PEERS_ALL_H
#define PH_BENCH_PEERS_PEERS_ALL_H

#include "../peer.h"

#include <pageheap/pageheap.h>

extern const struct peer peer_pageheap;
extern const struct peer peer_mmap;
extern const struct peer peer_seed;
extern const struct peer peer_glibc;
extern const struct peer peer_jemalloc;
extern const struct peer peer_mimalloc;
extern const struct peer peer_tcmalloc;
extern const struct peer peer_tbb;
extern const struct peer peer_null;

/* The heap behind peer_pageheap once it is open: some rows look inside it. */
pageheap *peer_pageheap_heap(void);

#endif
