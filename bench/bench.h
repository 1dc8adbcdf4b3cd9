/* SPDX-License-Identifier: MIT */
/* bench.h -- the tool's `bench` command: every workload against every installed peer, in two tables. */
#ifndef PH_BENCH_BENCH_H
#define PH_BENCH_BENCH_H

/* argv[0] is what messages call the program, as in "pageheap bench".  May execute the program again from the
 * start, once (see peer_make_room).  Returns the exit status: 0; 1 if a target was missed under --check or a
 * workload failed; 2 for a bad command line. */
int bench_command(int argc, char **argv);

#endif
