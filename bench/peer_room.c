/* SPDX-License-Identifier: MIT */
/* peer_room.c -- room for the thread-local data of libraries that are loaded late.
 *
 * jemalloc and its like use the "initial-exec" model, which takes its place in a block whose size is fixed
 * when the program starts; the loader keeps only some hundred bytes spare.  The other way, LD_PRELOAD, would
 * put the peer under the harness and everything else in the process too.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TUNABLES               "GLIBC_TUNABLES"
#define ROOM                   "glibc.rtld.optional_static_tls"
#define ROOM_BYTES             32768

#define ARGUMENTS_MAX          4096
#define COMMAND_LINE_BYTES_MAX (1 << 20)

/* The command line of this program, as the system keeps it: one string after the other. */
static char *read_command_line(size_t *ret_bytes)
{
    FILE *file = fopen("/proc/self/cmdline", "re");
    char *text = malloc(COMMAND_LINE_BYTES_MAX);

    if (file != NULL && text != NULL)
        *ret_bytes = fread(text, 1, COMMAND_LINE_BYTES_MAX - 1, file);
    else
        *ret_bytes = 0;
    if (file != NULL)
        fclose(file);
    return text;
}

void peer_make_room(void)
{
    const char *tunables = getenv(TUNABLES);
    char *arguments[ARGUMENTS_MAX + 1];
    size_t arguments_count = 0;
    size_t text_bytes = 0;
    char *wanted = NULL;
    char *text;

    if (tunables != NULL && strstr(tunables, ROOM) != NULL)
        return;
    text = read_command_line(&text_bytes);
    if (text == NULL)
        return;
    text[text_bytes] = '\0';
    for (size_t at = 0; at < text_bytes && arguments_count < ARGUMENTS_MAX; at += strlen(text + at) + 1)
        arguments[arguments_count++] = text + at;
    arguments[arguments_count] = NULL;
    if (asprintf(&wanted, "%s%s" ROOM "=%d", tunables != NULL ? tunables : "", tunables != NULL ? ":" : "",
                 ROOM_BYTES) >= 0 &&
        arguments_count != 0 && arguments_count < ARGUMENTS_MAX && text_bytes < COMMAND_LINE_BYTES_MAX - 1 &&
        setenv(TUNABLES, wanted, 1) == 0)
        execv("/proc/self/exe", arguments);
    free(wanted);
    free(text);
}
