/* SPDX-License-Identifier: MIT */
/* record.h -- the `record` subcommand of the tool. */
#ifndef PH_RECORD_RECORD_H
#define PH_RECORD_RECORD_H

/* Run a command with the recorder loaded into it and write its trace.  argv[0] is the subcommand's name as
 * help should show it.  Returns the exit status: that of the command, or RECORD_EXIT_* as env(1) has them. */
int record_command(int argc, char **argv);

#define RECORD_EXIT_USAGE      2
#define RECORD_EXIT_FAILED     125 /* the recorder itself failed */
#define RECORD_EXIT_CANNOT_RUN 126
#define RECORD_EXIT_NOT_FOUND  127
#define RECORD_EXIT_SIGNAL     128 /* plus the number of the signal that ended the command */

#endif
