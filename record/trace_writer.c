/* SPDX-License-Identifier: MIT */
/* trace_writer.c -- formats events into a buffer, and compresses full buffers on their way to the file. */
#include "trace_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define TEXT_BYTES     262144u
#define LINE_MAX_BYTES 96u
#define COMPRESSION_LEVEL                                                                                    \
    15 /* a third smaller than the default for traces, and still faster than they grow */

struct trace_writer {
    FILE *file;
    ZSTD_CCtx *compressor; /* NULL: plain text */
    void *packed;
    size_t packed_bytes; /* the room in it */
    int first_errno;
    size_t text_used_bytes;
    char text[TEXT_BYTES];
};

static bool ends_with(const char *text, const char *ending)
{
    size_t text_bytes = strlen(text), ending_bytes = strlen(ending);

    return text_bytes >= ending_bytes && strcmp(text + text_bytes - ending_bytes, ending) == 0;
}

static void remember(struct trace_writer *writer, int code)
{
    if (writer->first_errno == 0)
        writer->first_errno = code;
}

static void write_out(struct trace_writer *writer, const void *bytes, size_t count)
{
    if (fwrite(bytes, 1, count, writer->file) != count)
        remember(writer, errno);
}

static void flush_text(struct trace_writer *writer, ZSTD_EndDirective directive)
{
    ZSTD_inBuffer input = { writer->text, writer->text_used_bytes, 0 };
    size_t left = 1;

    if (writer->compressor == NULL)
        write_out(writer, writer->text, writer->text_used_bytes);
    while (writer->compressor != NULL && (input.pos < input.size || (directive == ZSTD_e_end && left != 0))) {
        ZSTD_outBuffer output = { writer->packed, writer->packed_bytes, 0 };

        left = ZSTD_compressStream2(writer->compressor, &output, &input, directive);
        if (ZSTD_isError(left)) {
            remember(writer, EIO);
            break;
        }
        write_out(writer, output.dst, output.pos);
    }
    writer->text_used_bytes = 0;
}

static bool start_compressor(struct trace_writer *writer)
{
    writer->compressor = ZSTD_createCCtx();
    writer->packed_bytes = ZSTD_CStreamOutSize();
    writer->packed = malloc(writer->packed_bytes);
    if (writer->compressor == NULL || writer->packed == NULL)
        return false;
    return !ZSTD_isError(
               ZSTD_CCtx_setParameter(writer->compressor, ZSTD_c_compressionLevel, COMPRESSION_LEVEL)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(writer->compressor, ZSTD_c_checksumFlag, 1));
}

static void release(struct trace_writer *writer)
{
    ZSTD_freeCCtx(writer->compressor);
    free(writer->packed);
    free(writer);
}

struct trace_writer *trace_writer_create(const char *path, uint64_t page_bytes)
{
    struct trace_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return NULL;
    if (ends_with(path, ".zst") && !start_compressor(writer)) {
        errno = ENOMEM;
        goto fail;
    }
    writer->file = fopen(path, "wbe");
    if (writer->file == NULL)
        goto fail;
    writer->text_used_bytes = (size_t)snprintf(writer->text, sizeof writer->text,
                                               "#pageheap-trace 1 page_size=%" PRIu64 "\n", page_bytes);
    return writer;
fail:
    release(writer);
    return NULL;
}

/* Put `prefix` and a number at `out`; returns the end.  printf would be most of the time of a large merge. */
static char *put_number(char *out, const char *prefix, uint64_t number)
{
    char digits[20];
    size_t count = 0;

    out = stpcpy(out, prefix);
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    while (count != 0)
        *out++ = digits[--count];
    return out;
}

static char *line_start(struct trace_writer *writer)
{
    if (writer->text_used_bytes + LINE_MAX_BYTES > sizeof writer->text)
        flush_text(writer, ZSTD_e_continue);
    return &writer->text[writer->text_used_bytes];
}

static void line_end(struct trace_writer *writer, char *end)
{
    *end++ = '\n';
    writer->text_used_bytes = (size_t)(end - writer->text);
}

void trace_writer_alloc(struct trace_writer *writer, uint64_t id, uint64_t pages, uint32_t thread)
{
    char *end = put_number(line_start(writer), "a ", id);

    end = put_number(end, " ", pages);
    line_end(writer, put_number(end, " ", thread));
}

void trace_writer_free(struct trace_writer *writer, uint64_t id, uint32_t thread)
{
    char *end = put_number(line_start(writer), "f ", id);

    line_end(writer, put_number(end, " ", thread));
}

int trace_writer_destroy(struct trace_writer *writer)
{
    int code;

    flush_text(writer, ZSTD_e_end);
    if (fclose(writer->file) != 0)
        remember(writer, errno);
    code = writer->first_errno;
    release(writer);
    return code;
}
