/* SPDX-License-Identifier: MIT */
/* source.c -- reads plain bytes, or decompresses them on the way. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define INPUT_BYTES 262144u
#define MAGIC_BYTES 4u

struct source {
    int descriptor;
    bool owns_descriptor;
    bool is_at_end;             /* of the descriptor */
    bool is_inside_frame;       /* compressed: the end may not come here */
    ZSTD_DStream *decompressor; /* NULL: plain */
    const char *reason;
    ZSTD_inBuffer input; /* read, and not yet handed on */
    unsigned char bytes[INPUT_BYTES];
};

/* Add to the input until it holds `wanted_bytes` or the end has come. */
static int fill(struct source *source, size_t wanted_bytes)
{
    size_t left_bytes = source->input.size - source->input.pos;

    memmove(source->bytes, source->bytes + source->input.pos, left_bytes);
    source->input.pos = 0;
    source->input.size = left_bytes;
    while (source->input.size < wanted_bytes && !source->is_at_end) {
        ssize_t got =
            read(source->descriptor, source->bytes + source->input.size, INPUT_BYTES - source->input.size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            source->reason = strerror(errno);
            return -1;
        }
        source->is_at_end = got == 0;
        source->input.size += (size_t)got;
    }
    return 0;
}

static int start_decompressor(struct source *source)
{
    static const unsigned char magic[MAGIC_BYTES] = { 0x28, 0xb5, 0x2f, 0xfd };

    if (source->input.size < MAGIC_BYTES || memcmp(source->bytes, magic, MAGIC_BYTES) != 0)
        return 0;
    source->decompressor = ZSTD_createDStream();
    if (source->decompressor != NULL)
        return 0;
    errno = ENOMEM;
    return -1;
}

struct source *source_open(const char *path)
{
    struct source *source = calloc(1, sizeof *source);
    int saved_errno;

    if (source == NULL)
        return NULL;
    source->owns_descriptor = strcmp(path, "-") != 0;
    source->descriptor = source->owns_descriptor ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    source->input.src = source->bytes;
    if (source->descriptor >= 0 && fill(source, MAGIC_BYTES) == 0 && start_decompressor(source) == 0)
        return source;
    saved_errno = errno;
    source_close(source);
    errno = saved_errno;
    return NULL;
}

static long read_plain(struct source *source, void *room, size_t room_bytes)
{
    size_t bytes;

    if (source->input.pos == source->input.size && fill(source, 1) != 0)
        return -1;
    bytes = source->input.size - source->input.pos;
    if (bytes > room_bytes)
        bytes = room_bytes;
    memcpy(room, source->bytes + source->input.pos, bytes);
    source->input.pos += bytes;
    return (long)bytes;
}

static long read_compressed(struct source *source, void *room, size_t room_bytes)
{
    ZSTD_outBuffer output = { room, room_bytes, 0 };

    while (output.pos == 0) {
        size_t result;

        if (source->input.pos == source->input.size && fill(source, 1) != 0)
            return -1;
        if (source->input.size == 0 && !source->is_inside_frame)
            return 0;
        if (source->input.size == 0) {
            source->reason = "the compressed data ends early";
            return -1;
        }
        result = ZSTD_decompressStream(source->decompressor, &output, &source->input);
        if (ZSTD_isError(result)) {
            source->reason = ZSTD_getErrorName(result);
            return -1;
        }
        source->is_inside_frame = result != 0;
    }
    return (long)output.pos;
}

long source_read(struct source *source, void *room, size_t room_bytes)
{
    return source->decompressor != NULL ? read_compressed(source, room, room_bytes)
                                        : read_plain(source, room, room_bytes);
}

const char *source_reason(const struct source *source)
{
    return source->reason != NULL ? source->reason : "cannot be read";
}

void source_close(struct source *source)
{
    ZSTD_freeDStream(source->decompressor);
    if (source->owns_descriptor && source->descriptor >= 0)
        close(source->descriptor);
    free(source);
}
