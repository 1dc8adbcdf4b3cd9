/* SPDX-License-Identifier: MIT */
/* replay_command.c -- the arguments of `pageheap replay`, and the course of a replay. */
#include "replay.h"

#include "commands.h"

#include "bench/options.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ROUNDS    5
#define DEFAULT_BUDGET_MS 300
#define THREADS_MAX       256

enum option_key { KEY_THREADS = 't', KEY_JSON = 'j', KEY_PLOT = 'p', KEY_NO_PROGRESS = 256 };

struct arguments {
    struct replay_options options;
    char **paths;
    size_t paths_count;
};

static const struct argp_option option_list[] = {
    { "allocators", 'a', "LIST", 0, "Comma-separated names; default: all that are installed", 0 },
    { "rounds", 'r', "N", 0, "Time each allocator N times or more and print the best (default 5)", 0 },
    { "threads", KEY_THREADS, NULL, 0, "Replay each thread of a trace on a thread of its own", 0 },
    { "json", KEY_JSON, NULL, 0, "Print JSON, with the spread, instead of a table", 0 },
    { "plot", KEY_PLOT, "FILE.svg", 0, "Draw time and memory with gnuplot", 0 },
    { "no-progress", KEY_NO_PROGRESS, NULL, 0, "Draw no progress bar on the terminal", 0 },
    { 0 },
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case 'a':
        arguments->options.allocators = value;
        return 0;
    case 'r':
        arguments->options.rounds = options_count_from(value, REPLAY_ROUNDS_MAX);
        if (arguments->options.rounds == 0)
            argp_error(state, "--rounds is a number from 1 to %d, not '%s'", REPLAY_ROUNDS_MAX, value);
        return 0;
    case KEY_THREADS:
        arguments->options.with_threads = true;
        return 0;
    case KEY_JSON:
        arguments->options.with_json = true;
        return 0;
    case KEY_PLOT:
        arguments->options.plot_path = value;
        return 0;
    case KEY_NO_PROGRESS:
        arguments->options.with_progress = false;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->paths = state->argv + state->next;
        arguments->paths_count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "TRACE is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char after_allocators[] = "TRACE may be plain or compressed with zstd; - is standard input.";

/* The names of the allocators, behind the options in --help. */
static char *describe_allocators(int key, const char *text, void *input)
{
    const struct peer *peer;
    char *all = NULL, *longer;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    if (asprintf(&all, "Allocators:") < 0)
        return NULL;
    for (size_t i = 0; (peer = peer_at(i)) != NULL; i++) {
        if (asprintf(&longer, "%s\n  %-10s %s", all, peer->name, peer->description) < 0)
            break;
        free(all);
        all = longer;
    }
    if (asprintf(&longer, "%s\n\n%s", all, after_allocators) >= 0) {
        free(all);
        all = longer;
    }
    return all;
}

static const char description[] =
    "Replay recorded page traffic through pageheap and other allocators, each in processes of its own, "
    "and compare time, memory, page faults and system calls.\v";

static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .args_doc = "TRACE...",
    .doc = description,
    .help_filter = describe_allocators,
};

/* ---- peers ------------------------------------------------------------------------------- */

static int add_named(struct replay *replay, const char *name)
{
    const struct peer *peer = peer_named(name);

    if (peer == NULL) {
        fprintf(stderr, "%s: no allocator is called '%s'; known are:", program_invocation_short_name, name);
        for (size_t i = 0; (peer = peer_at(i)) != NULL; i++)
            fprintf(stderr, " %s", peer->name);
        fprintf(stderr, "\n");
        return -1;
    }
    for (size_t i = 0; i < replay->peers_count; i++) {
        if (replay->peers[i] == peer)
            return 0;
    }
    if (!peer_is_installed(peer))
        replay_add_note(replay, "%s is not installed", name);
    else if (replay->peers_count < REPLAY_PEERS_MAX)
        replay->peers[replay->peers_count++] = peer;
    return 0;
}

/* Ours stands first in the table wherever it stands in the list: the last column compares with it. */
static void put_ours_first(struct replay *replay)
{
    for (size_t i = 1; i < replay->peers_count; i++) {
        const struct peer *peer = replay->peers[i];

        if (peer != peer_at(0))
            continue;
        memmove(&replay->peers[1], &replay->peers[0], i * sizeof replay->peers[0]);
        replay->peers[0] = peer;
    }
}

static int choose_peers(struct replay *replay)
{
    const struct peer *peer;
    char *names, *rest, *name;
    int result = 0;

    if (replay->options->allocators == NULL) {
        for (size_t i = 0; (peer = peer_at(i)) != NULL; i++)
            (void)add_named(replay, peer->name);
        return 0;
    }
    names = rest = strdup(replay->options->allocators);
    while (result == 0 && (name = strsep(&rest, ",")) != NULL) {
        if (name[0] != '\0')
            result = add_named(replay, name);
    }
    free(names);
    put_ours_first(replay);
    if (replay->options->allocators[strspn(replay->options->allocators, ",")] == '\0') {
        warnx("--allocators names none");
        result = -1;
    }
    return result;
}

/* ---- traces ------------------------------------------------------------------------------ */

static void name_trace(struct replay_trace *trace)
{
    static const char *const endings[] = { ".zst", ".trace" };
    const char *slash = strrchr(trace->path, '/');

    snprintf(trace->name, sizeof trace->name, "%s", slash != NULL ? slash + 1 : trace->path);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t name_chars = strlen(trace->name), ending_chars = strlen(endings[i]);

        if (name_chars > ending_chars && strcmp(trace->name + name_chars - ending_chars, endings[i]) == 0)
            trace->name[name_chars - ending_chars] = '\0';
    }
}

static int load(struct replay *replay, struct replay_trace *trace, const char *path)
{
    bool with_threads = replay->options->with_threads;
    struct trace_error error;

    trace->path = path;
    name_trace(trace);
    if (trace_load_aside(path, with_threads ? TRACE_SLOTS_UNIQUE : TRACE_SLOTS_REUSED, &trace->trace,
                         &error) != 0) {
        if (error.line != 0)
            warnx("%s:%" PRIu64 ": %s", path, error.line, error.reason);
        else
            warnx("%s: %s", path, error.reason);
        return -1;
    }
    if (with_threads && trace->trace.info.thread_count > THREADS_MAX) {
        warnx("%s: %" PRIu64 " threads are more than --threads can replay (%d)", path,
              trace->trace.info.thread_count, THREADS_MAX);
        return -1;
    }
    return 0;
}

int replay_files(const struct replay_options *options, char *const *paths, size_t paths_count)
{
    struct replay replay = { .options = options, .traces_count = paths_count };
    int status = 0;

    replay.traces = calloc(paths_count, sizeof *replay.traces);
    if (replay.traces == NULL || choose_peers(&replay) != 0)
        status = REPLAY_EXIT_REFUSED;
    for (size_t i = 0; status == 0 && i < paths_count; i++) {
        if (load(&replay, &replay.traces[i], paths[i]) != 0)
            status = REPLAY_EXIT_REFUSED;
    }
    if (status == 0 && replay.peers_count == 0) {
        warnx("none of the allocators is installed");
        status = REPLAY_EXIT_FAILED;
    }
    if (status == 0) {
        replay_measure(&replay);
        if (options->with_json)
            status = replay_print_json(&replay) != 0 ? REPLAY_EXIT_FAILED : 0;
        else
            replay_print_table(&replay);
        if (options->plot_path != NULL && replay_plot(&replay) != 0)
            status = REPLAY_EXIT_FAILED;
        if (replay.has_failures)
            status = REPLAY_EXIT_FAILED;
    }
    free(replay.traces);
    return status;
}

int replay_command(int argc, char **argv)
{
    struct arguments arguments = {
        .options = { .rounds = DEFAULT_ROUNDS, .budget_ms = DEFAULT_BUDGET_MS, .with_progress = true },
    };

    argp_err_exit_status = REPLAY_EXIT_REFUSED;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    return replay_files(&arguments.options, arguments.paths, arguments.paths_count);
}
