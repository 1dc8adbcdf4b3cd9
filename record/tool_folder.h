/* SPDX-License-Identifier: MIT */
/* tool_folder.h -- where this program lies, for what was built or installed beside it. */
#ifndef PH_RECORD_TOOL_FOLDER_H
#define PH_RECORD_TOOL_FOLDER_H

#include <limits.h>
#include <stdbool.h>

/* The folder of the running program, without a slash at its end; false if the system does not tell. */
bool tool_folder(char ret_folder[PATH_MAX]);

#endif
