/* SPDX-License-Identifier: MIT */
/* misuse.c -- a refusal is counted, and told where it is fatal: one line to stderr, then the end. */
#include "api/misuse.h"

#include <string.h>

typedef struct line {
    char text[200];
    size_t length;
} line;

static void put_text(line *line, const char *text)
{
    size_t length = strlen(text);
    size_t room = sizeof line->text - line->length;
    length = length < room ? length : room;
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

/* No formatting functions: this may run inside malloc. */
static void put_number(line *line, uint64_t number, unsigned base)
{
    char digits[32];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do
        digits[--at] = "0123456789abcdef"[number % base];
    while ((number /= base) != 0);
    put_text(line, digits + at);
}

static int judge(pageheap *heap, int code, const char *call, const void *address, size_t count,
                 const char *unit)
{
    /* EBUSY is no misuse: the run is named rightly, but it is one that stays as it is. */
    if (PH_LIKELY(code == 0) || code == PAGEHEAP_EBUSY || !ph_heap_is_valid(heap))
        return code;
    ph_fetch_add_relaxed(&heap->refused_frees, 1);
    if (!(heap->flags & PAGEHEAP_FATAL_MISUSE))
        return code;
    line line = { .length = 0 };
    put_text(&line, "pageheap: ");
    put_text(&line, call);
    put_text(&line, " of ");
    put_number(&line, count, 10);
    put_text(&line, unit);
    put_text(&line, " at 0x");
    put_number(&line, (uintptr_t)address, 16);
    put_text(&line, ": ");
    put_text(&line, pageheap_strerror(code));
    put_text(&line, "\n");
    ph_os_complain(line.text, line.length);
    ph_os_abort();
}

int ph_judge(pageheap *heap, int code, const char *call, const void *address, size_t pages)
{
    return judge(heap, code, call, address, pages, " pages");
}

int ph_judge_bytes(pageheap *heap, int code, const char *call, const void *address, size_t bytes)
{
    return judge(heap, code, call, address, bytes, " bytes");
}
