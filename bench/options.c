/* SPDX-License-Identifier: MIT */
/* options.c -- see options.h. */
#include "options.h"

#include "sections.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ROUNDS  9
#define DEFAULT_SECONDS 0.06
#define SECONDS_MAX     60.0

enum key {
    KEY_ROUNDS = 'r',
    KEY_SECONDS = 's',
    KEY_FILTER = 'f',
    KEY_ALLOCATORS = 'a',
    KEY_JSON = 0x100,
    KEY_LIST,
    KEY_LONG,
    KEY_EVERY,
    KEY_CHECK,
    KEY_SPREAD,
    KEY_SELF_TEST,
};

static const struct argp_option option_table[] = {
    { "rounds", KEY_ROUNDS, "N", 0, "Measure everything N times or more, the allocators in turn (default 9)",
      0 },
    { "seconds", KEY_SECONDS, "S", 0,
      "Measure for S seconds each time, preparations not counted (default 0.06)", 0 },
    { "filter", KEY_FILTER, "NAME", 0,
      "Only the row NAME, or all rows whose names contain it; may be given several times", 0 },
    { "allocators", KEY_ALLOCATORS, "LIST", 0, "Names, separated by commas (default: all installed)", 0 },
    { "spread", KEY_SPREAD, NULL, 0, "Show the least and the greatest round beside what counts", 0 },
    { "json", KEY_JSON, NULL, 0, "Print JSON, with the value of every round", 0 },
    { "check", KEY_CHECK, NULL, 0, "Exit with status 1 if a target is missed", 0 },
    { "long", KEY_LONG, NULL, 0, "Also the rows that take minutes", 0 },
    { "every", KEY_EVERY, NULL, 0, "Rows that are run for pageheap alone: for the others too", 0 },
    { "list", KEY_LIST, NULL, 0, "List the rows and the allocators, and measure nothing", 0 },
    { "self-test", KEY_SELF_TEST, NULL, 0,
      "Check that each allocator hands out sound memory, and measure nothing", 0 },
    { NULL, 0, NULL, 0, NULL, 0 },
};

unsigned options_count_from(const char *text, unsigned most)
{
    char *end;
    unsigned long count = strtoul(text, &end, 10);

    /* strtoul alone would take blanks and signs. */
    return *text >= '0' && *text <= '9' && *end == '\0' && count <= most ? (unsigned)count : 0;
}

static double parse_seconds(const char *text, struct argp_state *state)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds > 0) || seconds > SECONDS_MAX)
        argp_error(state, "--seconds is a number above 0 and up to %g, not '%s'", SECONDS_MAX, text);
    return seconds;
}

static void add_peer(const struct peer *peer, struct options *options, struct argp_state *state)
{
    if (options->peers_count == OPTIONS_PEERS_MAX)
        argp_error(state, "more than %d allocators", OPTIONS_PEERS_MAX);
    options->peers[options->peers_count++] = peer;
}

/* One name may be that of a peer in each section. */
static bool add_peers(const char *name, struct options *options, struct argp_state *state)
{
    size_t before = options->peers_count;
    const struct peer *peer;

    for (size_t section = 0; section < SECTIONS; section++) {
        for (size_t i = 0; (peer = sections[section].peer_at(i)) != NULL; i++) {
            if (strcmp(peer->name, name) == 0)
                add_peer(peer, options, state);
        }
        if (strcmp(sections[section].null->name, name) == 0)
            add_peer(sections[section].null, options, state);
    }
    return options->peers_count != before;
}

static void parse_allocators(const char *text, struct options *options, struct argp_state *state)
{
    char *list = strdup(text);
    char *rest = NULL;

    if (list == NULL)
        argp_failure(state, EXIT_FAILURE, ENOMEM, "--allocators");
    for (char *name = strtok_r(list, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        if (!add_peers(name, options, state))
            argp_error(state, "no allocator is called '%s'; --list shows them", name);
    }
    free(list);
}

static bool is_any_row(const char *filter, bool (*agrees)(const char *name, const char *filter))
{
    const struct workload *workload;

    for (size_t section = 0; section < SECTIONS; section++) {
        for (size_t i = 0; (workload = sections[section].workload_at(i)) != NULL; i++) {
            for (size_t row = 0; row < workload_rows_count(workload); row++) {
                if (agrees(workload->rows[row].name, filter))
                    return true;
            }
        }
    }
    return false;
}

static bool is_equal(const char *name, const char *filter)
{
    return strcmp(name, filter) == 0;
}

/* A row's own name means that row alone, although longer names contain it. */
static bool is_meant(const char *name, const char *filter)
{
    return is_any_row(filter, is_equal) ? is_equal(name, filter) : strstr(name, filter) != NULL;
}

static void add_filter(const char *name, struct options *options, struct argp_state *state)
{
    if (!is_any_row(name, is_meant))
        argp_error(state, "no row is called '%s'; --list shows them", name);
    if (options->filters_count == OPTIONS_FILTERS_MAX)
        argp_error(state, "more than %d filters", OPTIONS_FILTERS_MAX);
    options->filters[options->filters_count++] = name;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case KEY_ROUNDS:
        options->rounds = options_count_from(argument, RESULTS_ROUNDS_MAX);
        if (options->rounds == 0)
            argp_error(state, "--rounds is a number from 1 to %d, not '%s'", RESULTS_ROUNDS_MAX, argument);
        return 0;
    case KEY_SECONDS:
        options->seconds = parse_seconds(argument, state);
        return 0;
    case KEY_FILTER:
        add_filter(argument, options, state);
        return 0;
    case KEY_ALLOCATORS:
        parse_allocators(argument, options, state);
        return 0;
    case KEY_JSON:
        options->json = true;
        return 0;
    case KEY_LIST:
        options->list = true;
        return 0;
    case KEY_LONG:
        options->with_long = true;
        return 0;
    case KEY_EVERY:
        options->every = true;
        return 0;
    case KEY_CHECK:
        options->check = true;
        return 0;
    case KEY_SPREAD:
        options->with_spread = true;
        return 0;
    case KEY_SELF_TEST:
        options->self_test = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void options_parse(int argc, char **argv, struct options *ret_options)
{
    static const struct argp parser = {
        .options = option_table,
        .parser = parse_option,
        .doc = "Measure pageheap beside other allocators, each in a process of its own."
               "\vEach row of the table is one workload; lower is better unless its target says otherwise. "
               "docs/benchmarks.md tells how each is defined and how to measure honestly.",
    };

    *ret_options = (struct options){ .rounds = DEFAULT_ROUNDS, .seconds = DEFAULT_SECONDS };
    argp_err_exit_status = OPTIONS_EXIT_USAGE;
    argp_parse(&parser, argc, argv, 0, NULL, ret_options);
}

bool options_want_row(const struct options *options, const struct workload_row *row)
{
    for (size_t i = 0; i < options->filters_count; i++) {
        if (is_meant(row->name, options->filters[i]))
            return true;
    }
    return options->filters_count == 0;
}
