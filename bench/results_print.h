/* SPDX-License-Identifier: MIT */
/* results_print.h -- results for people and for programs. */
#ifndef PH_BENCH_RESULTS_PRINT_H
#define PH_BENCH_RESULTS_PRINT_H

#include "results.h"

#include <jansson.h>

/* A table with a column for each of `peers`; `ratio_title` is above ours over the rival's. */
struct report_table *results_table_create(FILE *out, const struct peer *const *peers, size_t peers_count,
                                          const char *ratio_title, bool with_spread);

/* Add one row and print it. */
void results_table_add(struct report_table *table, const struct row_result *result, bool with_spread);

/* A JSON object that says the same, with every round's value. */
json_t *results_json(const struct row_result *result);

#endif
