/* SPDX-License-Identifier: MIT */
/* record_command.c -- runs a command with the recorder loaded and writes what it recorded. */
#include "record.h"

#include "spool.h"
#include "spool_file.h"
#include "tool_folder.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIBRARY_NAME     "libpageheap-record.so"
#define LIBRARY_VARIABLE "PAGEHEAP_RECORD_LIBRARY"

struct record_options {
    const char *output;
    bool is_quiet;
    char **command;
};

static const struct argp_option option_list[] = {
    { "output", 'o', "FILE", 0, "Write the trace to FILE; compressed if it ends in .zst (required)", 0 },
    { "quiet", 'q', NULL, 0, "Print no summary on standard error", 0 },
    { 0 },
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct record_options *options = state->input;

    switch (key) {
    case 'o':
        options->output = value;
        return 0;
    case 'q':
        options->is_quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        options->command = &state->argv[state->next - 1];
        state->next = state->argc; /* the rest belongs to the command */
        return 0;
    case ARGP_KEY_END:
        if (options->output == NULL)
            argp_error(state, "-o FILE is missing");
        if (options->command == NULL)
            argp_error(state, "COMMAND is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char description[] =
    "Run COMMAND and record its requests of a page or more, and those of its child processes, as a trace.\v"
    "Recorded are malloc, calloc, realloc, reallocarray, posix_memalign, aligned_alloc, memalign, valloc, "
    "pvalloc and free, and anonymous mmap, mprotect, munmap and mremap.  "
    "The exit status is that of COMMAND; 128 plus the signal's number if a signal ended it; "
    "127 if COMMAND was not found, 126 if it could not be run, "
    "125 if the recorder itself failed or the trace could not be written.";

static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .args_doc = "-- COMMAND [ARGUMENT...]",
    .doc = description,
};

/* Look for the recorder: where the variable says, beside the tool (a build), where it is installed. */
static bool find_library(char *ret_path, size_t path_bytes)
{
    static const char *const places[] = { LIBRARY_NAME, "../" PAGEHEAP_RECORD_LIBDIR "/" LIBRARY_NAME };
    const char *named = getenv(LIBRARY_VARIABLE);
    char tool[PATH_MAX];

    if (named != NULL)
        return snprintf(ret_path, path_bytes, "%s", named) < (int)path_bytes && access(ret_path, R_OK) == 0;
    if (!tool_folder(tool))
        return false;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (snprintf(ret_path, path_bytes, "%s/%s", tool, places[i]) < (int)path_bytes &&
            access(ret_path, R_OK) == 0)
            return true;
    }
    return false;
}

/* What the program has preloaded already stays, behind the recorder. */
static int set_environment(const char *library, const char *spool_path)
{
    const char *before = getenv("LD_PRELOAD");
    char *preload;
    int result;

    if (asprintf(&preload, before != NULL && before[0] != '\0' ? "%s:%s" : "%s", library, before) < 0)
        return -1;
    result = setenv("LD_PRELOAD", preload, 1);
    free(preload);
    return result != 0 ? result : setenv(SPOOL_PATH_VARIABLE, spool_path, 1);
}

static volatile sig_atomic_t running_child;

static void pass_on(int signal_number)
{
    kill((pid_t)running_child, signal_number);
}

/* Keys pressed at the terminal reach the command anyway; what is sent to the recorder is meant for it too.
 * The recorder lives on to write the trace. */
static void handle_signals(pid_t child)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, forward = { .sa_handler = pass_on };

    running_child = (sig_atomic_t)child;
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);
    sigaction(SIGTERM, &forward, NULL);
    sigaction(SIGHUP, &forward, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* who no longer reads the summary still wants the spool removed */
}

static int run(char **command, const struct spool_file *spool, const char *library)
{
    bool is_missing;
    pid_t child;
    int status = 0;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        if (set_environment(library, spool->path) != 0)
            _exit(RECORD_EXIT_FAILED);
        execvp(command[0], command);
        is_missing = errno == ENOENT;
        warn("%s", command[0]);
        _exit(is_missing ? RECORD_EXIT_NOT_FOUND : RECORD_EXIT_CANNOT_RUN);
    }
    if (child < 0)
        return RECORD_EXIT_FAILED;
    handle_signals(child);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    /* Nobody is left to pass a signal on to; a trace that is half written helps nobody. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return WIFSIGNALED(status) ? RECORD_EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *ending(uint64_t count, const char *of_many)
{
    return count == 1 ? "" : of_many;
}

static void print_summary(const struct record_options *options, const struct spool_summary *summary)
{
    uint64_t events = summary->allocs + summary->frees;

    if (!options->is_quiet)
        warnx("%s: %" PRIu64 " event%s (%" PRIu64 " alloc%s, %" PRIu64 " free%s), "
              "%" PRIu32 " thread%s in %" PRIu32 " process%s",
              options->output, events, ending(events, "s"), summary->allocs, ending(summary->allocs, "s"),
              summary->frees, ending(summary->frees, "s"), summary->threads, ending(summary->threads, "s"),
              summary->processes, ending(summary->processes, "es"));
    if (summary->lost != 0)
        warnx("%s: %" PRIu64 " event%s missing", options->output, summary->lost, ending(summary->lost, "s"));
}

int record_command(int argc, char **argv)
{
    struct record_options options = { 0 };
    struct spool_summary summary;
    struct spool_file spool;
    char library[PATH_MAX];
    int status;

    argp_err_exit_status = RECORD_EXIT_USAGE;
    argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &options);
    if (!find_library(library, sizeof library)) {
        warnx("%s is neither beside the tool nor installed; %s can name it", LIBRARY_NAME, LIBRARY_VARIABLE);
        return RECORD_EXIT_FAILED;
    }
    if (spool_file_create(&spool) != 0) {
        warn("cannot make %s", spool.path);
        return RECORD_EXIT_FAILED;
    }
    status = run(options.command, &spool, library);
    if (spool_file_merge(&spool, options.output, &summary) == 0) {
        print_summary(&options, &summary);
    } else {
        warn("%s", options.output);
        status = RECORD_EXIT_FAILED;
    }
    spool_file_destroy(&spool);
    return status;
}
