/* SPDX-License-Identifier: MIT */
/* trace_line.h -- what one line of a trace says; the format is docs/trace-format.md. */
#ifndef PH_CLI_TRACE_LINE_H
#define PH_CLI_TRACE_LINE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_LINE_MAX_BYTES 65536u /* a longer line is refused, even a comment */
#define TRACE_PAGE_SIZE_MAX  (UINT64_C(1) << 30)
#define TRACE_RUN_MAX_BYTES  (UINT64_C(1) << 62)

enum trace_line_kind { TRACE_LINE_COMMENT, TRACE_LINE_ALLOC, TRACE_LINE_FREE };

struct trace_line {
    enum trace_line_kind kind;
    uint64_t id;
    uint64_t pages; /* TRACE_LINE_ALLOC; as written, in pages of the trace */
    uint32_t thread;
};

/* Both take a line without its line feed and return NULL, or the reason why the line is refused. */
const char *trace_parse_header(const char *line, size_t line_bytes, uint64_t *ret_page_bytes);
const char *trace_parse_line(const char *line, size_t line_bytes, struct trace_line *ret_line);

#endif
