/* SPDX-License-Identifier: MIT */
/* tool_folder.c -- see tool_folder.h. */
#include "tool_folder.h"

#include <string.h>
#include <unistd.h>

bool tool_folder(char ret_folder[PATH_MAX])
{
    ssize_t tool_bytes = readlink("/proc/self/exe", ret_folder, PATH_MAX - 1);
    char *slash;

    if (tool_bytes < 0)
        return false;
    ret_folder[tool_bytes] = '\0';
    slash = strrchr(ret_folder, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return true;
}
