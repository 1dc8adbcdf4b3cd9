/* SPDX-License-Identifier: MIT */
/* report.h -- readable tables and honest summaries of repeated measurements.
 *
 * Used by the benchmarks and by every other command of the tool that prints numbers in columns.
 *
 *     struct report_table *table = report_create(stdout);
 *     report_column(table, "workload", REPORT_LEFT, 20);
 *     report_column(table, "ns", REPORT_RIGHT, 8);
 *     report_cell(table, REPORT_PLAIN, "%s", "pair, 1 page");
 *     report_cell(table, REPORT_GOOD, "%.1f", 4.2);
 *     report_flush(table);                       // prints the header and each complete row so far
 *     report_destroy(table);                     // flushes what is left
 *
 * Cells fill rows from left to right; the cell after the last column begins the next row.  Text may be
 * UTF-8: widths are counted in characters.  The first flush fixes each column's width to its widest cell
 * so far and at least the width asked for, so a table may be built whole and printed once, or be printed
 * row by row while a long measurement runs.  Colours are used only on a terminal, and not if the variable
 * NO_COLOR is set.  Running out of memory ends the program with a message: no report is worth more code.
 */
#ifndef PH_BENCH_REPORT_H
#define PH_BENCH_REPORT_H

#include <stddef.h>
#include <stdio.h>

/* ---- summaries ------------------------------------------------------------------------ */

/* What repeated measurements of one thing say: all zero if there are none. */
struct spread {
    double min;
    double median; /* of an even number: the mean of the two in the middle */
    double max;
    size_t count;
};

/* Summarise `count` values; they stay as they are. */
struct spread spread_of(const double *values, size_t count);

/* ---- tables --------------------------------------------------------------------------- */

enum report_align { REPORT_LEFT, REPORT_RIGHT };

/* How a cell looks on a terminal. */
enum report_look { REPORT_PLAIN, REPORT_STRONG, REPORT_FAINT, REPORT_GOOD, REPORT_BAD };

struct report_table;

struct report_table *report_create(FILE *out);

/* Add a column; all of them before the first cell.  An empty title is allowed. */
void report_column(struct report_table *table, const char *title, enum report_align align, size_t min_width);

/* Fill the next cell. */
void report_cell(struct report_table *table, enum report_look look, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fill the rest of the row with empty cells; nothing if the row is complete. */
void report_end_row(struct report_table *table);

/* Print the complete rows that were not printed yet. */
void report_flush(struct report_table *table);

void report_destroy(struct report_table *table);

/* ---- numbers -------------------------------------------------------------------------- */

/* Write `value` with about three significant digits: "4.21", "52.3", "1163"; "-" for a NaN.
 * Returns `text`. */
#define REPORT_NUMBER_CHARS 32
char *report_number(char text[REPORT_NUMBER_CHARS], double value);

/* Write a size as "512 B", "64.0 KiB", "1.50 GiB".  Returns `text`. */
char *report_bytes(char text[REPORT_NUMBER_CHARS], double bytes);

#endif
