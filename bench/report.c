/* SPDX-License-Identifier: MIT */
/* report.c -- tables that size their own columns, and the order statistics printed in them. */
#include "report.h"

#include <err.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct column {
    char *title;
    enum report_align align;
    size_t width;
};

struct cell {
    char *text;
    enum report_look look;
};

struct report_table {
    FILE *out;
    bool colours;
    bool header_is_printed;
    struct column *columns;
    size_t columns_count;
    struct cell *cells; /* rows one after the other; emptied by each flush */
    size_t cells_count;
    size_t cells_capacity;
};

static void *must(void *memory)
{
    if (memory == NULL)
        err(EXIT_FAILURE, "report");
    return memory;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

struct spread spread_of(const double *values, size_t count)
{
    struct spread spread = { 0, 0, 0, count };
    double *sorted;

    if (count == 0)
        return spread;
    sorted = must(malloc(count * sizeof *sorted));
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    spread.min = sorted[0];
    spread.max = sorted[count - 1];
    spread.median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    free(sorted);
    return spread;
}

/* Characters, not bytes: UTF-8 continuation bytes take no room on the screen. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0u) != 0x80u;
    return width;
}

struct report_table *report_create(FILE *out)
{
    struct report_table *table = must(calloc(1, sizeof *table));

    table->out = out;
    table->colours = isatty(fileno(out)) != 0 && getenv("NO_COLOR") == NULL;
    return table;
}

void report_column(struct report_table *table, const char *title, enum report_align align, size_t min_width)
{
    size_t columns_count = table->columns_count + 1;
    struct column *column;

    table->columns = must(realloc(table->columns, columns_count * sizeof *table->columns));
    column = &table->columns[table->columns_count];
    column->title = must(strdup(title));
    column->align = align;
    column->width = width_of(title) > min_width ? width_of(title) : min_width;
    table->columns_count = columns_count;
}

void report_cell(struct report_table *table, enum report_look look, const char *format, ...)
{
    struct cell *cell;
    va_list arguments;

    if (table->cells_count == table->cells_capacity) {
        table->cells_capacity = table->cells_capacity * 2 + 16;
        table->cells = must(realloc(table->cells, table->cells_capacity * sizeof *table->cells));
    }
    cell = &table->cells[table->cells_count++];
    cell->look = look;
    va_start(arguments, format);
    if (vasprintf(&cell->text, format, arguments) < 0)
        err(EXIT_FAILURE, "report");
    va_end(arguments);
}

void report_end_row(struct report_table *table)
{
    while (table->columns_count != 0 && table->cells_count % table->columns_count != 0)
        report_cell(table, REPORT_PLAIN, "%s", "");
}

static void widen_columns(struct report_table *table)
{
    for (size_t i = 0; i < table->cells_count; i++) {
        struct column *column = &table->columns[i % table->columns_count];
        size_t width = width_of(table->cells[i].text);

        if (width > column->width)
            column->width = width;
    }
}

static void print_spaces(FILE *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fputc(' ', out);
}

static void print_cell(const struct report_table *table, size_t column_index, const char *text,
                       enum report_look look)
{
    static const char *const escapes[] = {
        [REPORT_PLAIN] = "",        [REPORT_STRONG] = "\033[1m", [REPORT_FAINT] = "\033[2m",
        [REPORT_GOOD] = "\033[32m", [REPORT_BAD] = "\033[31m",
    };
    const struct column *column = &table->columns[column_index];
    bool is_last = column_index + 1 == table->columns_count;
    size_t width = width_of(text);
    size_t padding = width < column->width ? column->width - width : 0;
    bool escape = table->colours && look != REPORT_PLAIN;

    if (column_index != 0)
        print_spaces(table->out, 2);
    if (column->align == REPORT_RIGHT)
        print_spaces(table->out, padding);
    fprintf(table->out, "%s%s%s", escape ? escapes[look] : "", text, escape ? "\033[0m" : "");
    /* No blanks at the end of a line: output that is compared as text stays comparable. */
    if (column->align == REPORT_LEFT && !is_last)
        print_spaces(table->out, padding);
    if (is_last)
        fputc('\n', table->out);
}

static void print_header(struct report_table *table)
{
    size_t rule_width = 0;

    for (size_t i = 0; i < table->columns_count; i++) {
        print_cell(table, i, table->columns[i].title, REPORT_STRONG);
        rule_width += table->columns[i].width + (i != 0 ? 2 : 0);
    }
    for (size_t i = 0; i < rule_width; i++)
        fputc('-', table->out);
    fputc('\n', table->out);
}

void report_flush(struct report_table *table)
{
    size_t complete_cells;

    if (table->columns_count == 0)
        return;
    complete_cells = table->cells_count - table->cells_count % table->columns_count;
    if (!table->header_is_printed) {
        widen_columns(table);
        print_header(table);
        table->header_is_printed = true;
    }
    for (size_t i = 0; i < complete_cells; i++) {
        print_cell(table, i % table->columns_count, table->cells[i].text, table->cells[i].look);
        free(table->cells[i].text);
    }
    table->cells_count -= complete_cells;
    memmove(table->cells, table->cells + complete_cells, table->cells_count * sizeof *table->cells);
    fflush(table->out);
}

void report_destroy(struct report_table *table)
{
    report_end_row(table);
    if (table->cells_count != 0)
        report_flush(table);
    for (size_t i = 0; i < table->columns_count; i++)
        free(table->columns[i].title);
    free(table->columns);
    free(table->cells);
    free(table);
}

char *report_number(char text[REPORT_NUMBER_CHARS], double value)
{
    double magnitude = fabs(value);
    int digits = magnitude < 9.995 ? 2 : magnitude < 99.95 ? 1 : 0;

    if (isnan(value))
        snprintf(text, REPORT_NUMBER_CHARS, "-");
    else
        snprintf(text, REPORT_NUMBER_CHARS, "%.*f", digits, value);
    return text;
}

char *report_bytes(char text[REPORT_NUMBER_CHARS], double bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;

    while (fabs(bytes) >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        bytes /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(text, REPORT_NUMBER_CHARS, "%.0f B", bytes);
    else
        snprintf(text, REPORT_NUMBER_CHARS, "%.*f %s",
                 bytes < 9.995   ? 2
                 : bytes < 99.95 ? 1
                                 : 0,
                 bytes, units[unit]);
    return text;
}
