/* SPDX-License-Identifier: MIT */
/* trace_writer.h -- writes a trace, as text or, for a name that ends in .zst, as compressed text. */
#ifndef PH_RECORD_TRACE_WRITER_H
#define PH_RECORD_TRACE_WRITER_H

#include <stdint.h>

struct trace_writer;

/* Create or truncate the file.  NULL with errno on failure. */
struct trace_writer *trace_writer_create(const char *path, uint64_t page_bytes);

void trace_writer_alloc(struct trace_writer *writer, uint64_t id, uint64_t pages, uint32_t thread);
void trace_writer_free(struct trace_writer *writer, uint64_t id, uint32_t thread);

/* Write what is left and close.  0, or the errno of the first write that failed. */
int trace_writer_destroy(struct trace_writer *writer);

#endif
