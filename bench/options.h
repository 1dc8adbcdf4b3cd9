/* SPDX-License-Identifier: MIT */
/* options.h -- the command line of `bench`. */
#ifndef PH_BENCH_OPTIONS_H
#define PH_BENCH_OPTIONS_H

#include "results.h"

#define OPTIONS_FILTERS_MAX 32
#define OPTIONS_PEERS_MAX   RESULTS_PEERS_MAX /* so no section has more */
#define OPTIONS_EXIT_USAGE  2                 /* the status of a bad command line */

struct options {
    unsigned rounds;
    double seconds; /* to measure in each round */
    const char *filters[OPTIONS_FILTERS_MAX];
    size_t filters_count;
    const struct peer *peers[OPTIONS_PEERS_MAX]; /* of any section; none: all that are installed */
    size_t peers_count;
    bool json;
    bool list;
    bool with_long;
    bool every; /* rows that are about ours alone: for the others too where that is possible */
    bool check;
    bool with_spread;
    bool self_test;
};

/* Fills all of it; ends the program with status 2 on a bad command line, with 0 after --help. */
void options_parse(int argc, char **argv, struct options *ret_options);

/* A decimal number from 1 to `most`; 0 if the text is anything else. */
unsigned options_count_from(const char *text, unsigned most);

/* True if the row is asked for. */
bool options_want_row(const struct options *options, const struct workload_row *row);

#endif
