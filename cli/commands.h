/* SPDX-License-Identifier: MIT */
/* commands.h -- the subcommands of the tool:
 * each takes its own name as argv[0] and returns the exit status. */
#ifndef PH_CLI_COMMANDS_H
#define PH_CLI_COMMANDS_H

int replay_command(int argc, char **argv);
int demo_command(int argc, char **argv);

/* Defined in record/, which does not know this folder. */
int record_command(int argc, char **argv);

#endif
