/* SPDX-License-Identifier: MIT */
/* self_test.h -- is a peer an allocator at all?
 * A fast one that hands the same page out twice wins every table. */
#ifndef PH_BENCH_SELF_TEST_H
#define PH_BENCH_SELF_TEST_H

#include "peer.h"

/* Open `peer` in a child process and use it from two threads, with every run filled with a pattern of its own
 * that is read back before it is freed, and every address checked.  0; -1 after one line on stderr. */
int peer_self_test(const struct peer *peer);

/* The same for a peer of the code section: every span is filled with code, which is read and run. */
int exec_peer_self_test(const struct peer *peer);

/* What both are made of: what the test says of the peer, which is open; NULL if it is sound. */
typedef const char *self_test_fn(const struct peer *peer);
int self_test_in_child(const struct peer *peer, self_test_fn *test_open);

#endif
