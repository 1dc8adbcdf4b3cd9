/* SPDX-License-Identifier: MIT */
/* bench_main.c -- the `bench` command as a program of its own, for the test of its command line. */
#include "bench/bench.h"

int main(int argc, char **argv)
{
    return bench_command(argc, argv);
}
