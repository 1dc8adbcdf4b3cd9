/* SPDX-License-Identifier: MIT */
/* trace_line.c -- reads one line of a trace; touches no byte outside of it. */
#include "trace_line.h"

#include <stdbool.h>
#include <string.h>

struct cursor {
    const char *at;
    const char *end;
};

enum number_result { NUMBER_GOOD, NUMBER_NOT_DIGITS, NUMBER_TOO_LARGE };

static enum number_result take_number(struct cursor *cursor, uint64_t *ret_number)
{
    const char *start = cursor->at;
    uint64_t number = 0;

    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*cursor->at - '0'), &number))
            return NUMBER_TOO_LARGE;
        cursor->at++;
    }
    if (cursor->at == start)
        return NUMBER_NOT_DIGITS;
    *ret_number = number;
    return NUMBER_GOOD;
}

static bool take_blank(struct cursor *cursor)
{
    if (cursor->at == cursor->end || *cursor->at != ' ')
        return false;
    cursor->at++;
    return true;
}

static const char *take_id(struct cursor *cursor, uint64_t *ret_id)
{
    if (!take_blank(cursor))
        return "a blank and ID must follow the letter";
    switch (take_number(cursor, ret_id)) {
    case NUMBER_NOT_DIGITS:
        return "ID is not a decimal number";
    case NUMBER_TOO_LARGE:
        return "ID is larger than 18446744073709551615";
    default:
        return *ret_id == 0 ? "ID is zero" : NULL;
    }
}

static const char *take_pages(struct cursor *cursor, uint64_t *ret_pages)
{
    if (!take_blank(cursor))
        return "a blank and PAGES must follow ID";
    switch (take_number(cursor, ret_pages)) {
    case NUMBER_NOT_DIGITS:
        return "PAGES is not a decimal number";
    case NUMBER_TOO_LARGE:
        return "PAGES is too large";
    default:
        return *ret_pages == 0 ? "PAGES is zero" : NULL;
    }
}

static const char *take_thread(struct cursor *cursor, uint32_t *ret_thread)
{
    uint64_t number = 0;

    if (!take_blank(cursor))
        return "a blank and THREAD are missing at the end";
    switch (take_number(cursor, &number)) {
    case NUMBER_NOT_DIGITS:
        return "THREAD is not a decimal number";
    case NUMBER_TOO_LARGE:
        return "THREAD is larger than 4294967295";
    default:
        *ret_thread = (uint32_t)number;
        return number > UINT32_MAX ? "THREAD is larger than 4294967295" : NULL;
    }
}

static const char *check_end(const struct cursor *cursor)
{
    if (cursor->at == cursor->end)
        return NULL;
    return *cursor->at == '\r' ? "the line ends in CR LF, not in LF alone" : "something follows THREAD";
}

const char *trace_parse_header(const char *line, size_t line_bytes, uint64_t *ret_page_bytes)
{
    static const char magic[] = "#pageheap-trace ";
    static const char start[] = "#pageheap-trace 1 page_size=";
    struct cursor cursor = { line, line + line_bytes };
    uint64_t page_bytes = 0;

    if (line_bytes < sizeof magic - 1 || memcmp(line, magic, sizeof magic - 1) != 0)
        return "not a trace: the first line must be '#pageheap-trace 1 page_size=BYTES'";
    if (line_bytes < sizeof start - 1 || memcmp(line, start, sizeof start - 1) != 0)
        return "unknown version: only '#pageheap-trace 1 page_size=BYTES' is understood";
    cursor.at += sizeof start - 1;
    if (take_number(&cursor, &page_bytes) != NUMBER_GOOD || page_bytes > TRACE_PAGE_SIZE_MAX ||
        page_bytes == 0 || (page_bytes & (page_bytes - 1)) != 0)
        return "page_size is not a power of two from 1 to 1073741824";
    if (cursor.at != cursor.end)
        return *cursor.at == '\r' ? "the line ends in CR LF, not in LF alone" : "something follows page_size";
    *ret_page_bytes = page_bytes;
    return NULL;
}

const char *trace_parse_line(const char *line, size_t line_bytes, struct trace_line *ret_line)
{
    struct cursor cursor = { line, line + line_bytes };
    const char *reason;

    if (line_bytes == 0)
        return "the line is empty";
    cursor.at++;
    switch (line[0]) {
    case '#':
        ret_line->kind = TRACE_LINE_COMMENT;
        return NULL;
    case 'a':
        ret_line->kind = TRACE_LINE_ALLOC;
        break;
    case 'f':
        ret_line->kind = TRACE_LINE_FREE;
        break;
    default:
        return "an event must begin with 'a' or 'f'";
    }
    reason = take_id(&cursor, &ret_line->id);
    if (reason == NULL && ret_line->kind == TRACE_LINE_ALLOC)
        reason = take_pages(&cursor, &ret_line->pages);
    if (reason == NULL)
        reason = take_thread(&cursor, &ret_line->thread);
    return reason != NULL ? reason : check_end(&cursor);
}
