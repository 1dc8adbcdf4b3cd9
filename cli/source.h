/* SPDX-License-Identifier: MIT */
/* source.h -- the bytes of a file or a pipe, plain or zstd-compressed: told apart by the first four bytes. */
#ifndef PH_CLI_SOURCE_H
#define PH_CLI_SOURCE_H

#include <stddef.h>

struct source;

/* Open a file, or standard input for "-".  NULL with errno on failure. */
struct source *source_open(const char *path);

/* Read at most `room_bytes`.  Returns how many, 0 at the end, -1 on failure: then source_reason says why. */
long source_read(struct source *source, void *room, size_t room_bytes);
const char *source_reason(const struct source *source);

void source_close(struct source *source);

#endif
