/* SPDX-License-Identifier: MIT */
/* demo.c -- everything at a glance: the recordings that come with pageheap, then a short bench. */
#include "commands.h"
#include "replay.h"

#include "bench/bench.h"
#include "record/tool_folder.h"

#include <argp.h>
#include <err.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEMO_ROUNDS    3
#define DEMO_BUDGET_MS 80

enum option_key { KEY_TRACES = 't', KEY_NO_BENCH = 256, KEY_NO_PROGRESS };

struct arguments {
    const char *folder;
    bool with_bench;
    bool with_progress;
};

static const struct argp_option option_list[] = {
    { "traces", KEY_TRACES, "DIR", 0, "Replay the traces in DIR (default: traces, or those installed)", 0 },
    { "no-bench", KEY_NO_BENCH, NULL, 0, "Leave the short bench out", 0 },
    { "no-progress", KEY_NO_PROGRESS, NULL, 0, "Draw no progress bar on the terminal", 0 },
    { 0 },
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case KEY_TRACES:
        arguments->folder = value;
        return 0;
    case KEY_NO_BENCH:
        arguments->with_bench = false;
        return 0;
    case KEY_NO_PROGRESS:
        arguments->with_progress = false;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char description[] =
    "Replay recordings of real programs through pageheap and every other allocator that is installed, "
    "then run a short bench.  Ends in under two minutes.";

static const struct argp parser = { .options = option_list, .parser = parse_option, .doc = description };

static bool is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* "traces" here, as in a checkout, or the folder that was installed with the tool. */
static const char *default_folder(char installed[PATH_MAX])
{
    char tool[PATH_MAX];

    if (is_folder("traces") || !tool_folder(tool))
        return "traces";
    if (snprintf(installed, PATH_MAX, "%s/../%s/pageheap/traces", tool, PAGEHEAP_DATADIR) >= PATH_MAX)
        return "traces";
    return is_folder(installed) ? installed : "traces";
}

static int replay_folder(const struct arguments *arguments, const char *folder)
{
    struct replay_options options = { .rounds = DEMO_ROUNDS,
                                      .budget_ms = DEMO_BUDGET_MS,
                                      .with_progress = arguments->with_progress };
    char pattern[PATH_MAX];
    glob_t found;
    int status;

    if (snprintf(pattern, sizeof pattern, "%s/*.trace{,.zst}", folder) >= (int)sizeof pattern ||
        glob(pattern, GLOB_BRACE, NULL, &found) != 0) {
        warnx("there are no traces in %s; --traces DIR names another folder", folder);
        return REPLAY_EXIT_REFUSED;
    }
    printf("Requests of a page or more that real programs made, "
           "replayed in their order through each allocator.\n\n");
    status = replay_files(&options, found.gl_pathv, found.gl_pathc);
    globfree(&found);
    return status;
}

/* A few rows of each kind, measured briefly; `pageheap bench` is the real thing. */
static int run_bench(void)
{
    static const char *const words[] = {
        "pageheap bench",   "--rounds=2",         "--seconds=0.03",        "--filter=pair-1",
        "--filter=pair-31", "--filter=bulk-1000", "--filter=churn31-1000", "--filter=churn512-2000",
        "--filter=handoff",
    };
    enum { WORDS = sizeof words / sizeof words[0] };
    char *argv[WORDS + 1] = { NULL };
    int status = EXIT_FAILURE;
    size_t made = 0;

    /* A parser of arguments may write to them. */
    while (made < WORDS && (argv[made] = strdup(words[made])) != NULL)
        made++;
    printf("\nA short bench: nanoseconds per operation of made-up workloads.\n\n");
    fflush(stdout);
    if (made == WORDS)
        status = bench_command(WORDS, argv);
    while (made != 0)
        free(argv[--made]);
    return status;
}

int demo_command(int argc, char **argv)
{
    struct arguments arguments = { .with_bench = true, .with_progress = true };
    char installed[PATH_MAX];
    const char *folder;
    int status;

    argp_err_exit_status = REPLAY_EXIT_REFUSED;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    folder = arguments.folder != NULL ? arguments.folder : default_folder(installed);
    status = replay_folder(&arguments, folder);
    if (status == 0 && arguments.with_bench)
        status = run_bench();
    return status;
}
