/* SPDX-License-Identifier: MIT */
/* main.c -- the tool: one program, a few subcommands. */
#include "commands.h"

#include "bench/bench.h"
#include "bench/peer.h"

#include <err.h>
#include <errno.h>
#include <pageheap/pageheap.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE  2
#define TITLE_CHARS 64

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
    bool opens_peers;
};

static const struct command commands[] = {
    { "replay", "replay recorded page traffic through pageheap and other allocators", replay_command, true },
    { "record", "record a program's page traffic", record_command, false },
    { "bench", "run the built-in workloads over the same allocators", bench_command, true },
    { "demo", "replay the recordings that come with pageheap, then a short bench", demo_command, true },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fprintf(out, "Usage: pageheap COMMAND [ARGUMENT...]\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n'pageheap COMMAND --help' says more; 'pageheap --version' says which version this is.\n");
}

static int run(const struct command *command, int argc, char **argv)
{
    static char title[TITLE_CHARS]; /* static: messages name it after the command too */

    /* Before anything else: it may execute the program again from the start. */
    if (command->opens_peers)
        peer_make_room();
    snprintf(title, sizeof title, "pageheap %s", command->name);
    argv[0] = title; /* what argp's messages begin with, and err.h's */
    program_invocation_short_name = title;
    return command->run(argc, argv);
}

/* Output that did not reach its file is a failure, whatever the command thinks of itself. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    warn("standard output");
    return status != 0 ? status : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("pageheap %s\n", pageheap_version());
        return finish(0);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return finish(0);
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return finish(run(&commands[i], argc - 1, argv + 1));
    }
    if (argc > 1)
        fprintf(stderr, "pageheap: no command is called '%s'\n\n", name);
    print_help(stderr);
    return EXIT_USAGE;
}
