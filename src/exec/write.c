/* SPDX-License-Identifier: MIT */
/* write.c -- pages that are executable or, for a while, writable: the backend that flips them with mprotect.
 *
 * Spans share pages if they are pieces, and several threads may be writing to one page: a count a page tells
 * when the last of them is done.  While it is not 0 nobody can run what is there.
 */
#include "exec/code.h"

static int protect(pageheap_exec *code, size_t first, size_t count, enum ph_access access)
{
    void *base = (void *)(code->rx_base + ((uintptr_t)first << code->page_log2));
    return ph_code_note(code, ph_code_os.protect(base, count << code->page_log2, access));
}

/* Change the counts of [first, first + count); pages whose count comes from 0, or goes to 0, get this access.
 * Returns how many pages were done before an error. */
static size_t step_pages(pageheap_exec *code, size_t first, size_t count, int by, enum ph_access access,
                         int *ret_error)
{
    size_t done = 0;
    *ret_error = 0;
    while (done < count && *ret_error == 0) {
        size_t flips = 0; /* adjacent pages that change, in one call */
        uint16_t edge = by > 0 ? 0 : 1;
        while (done + flips < count && code->writers[first + done + flips] == edge)
            flips++;
        if (flips != 0)
            *ret_error = protect(code, first + done, flips, access);
        size_t stepped = flips != 0 ? flips : 1;
        for (size_t i = 0; i < stepped && *ret_error == 0; i++)
            code->writers[first + done + i] = (uint16_t)(code->writers[first + done + i] + by);
        done += *ret_error == 0 ? stepped : 0;
    }
    return done;
}

static size_t pages_of(const pageheap_exec *code, uintptr_t rx, size_t bytes, size_t *ret_first)
{
    *ret_first = ph_code_page(code, rx);
    return ph_code_page(code, rx + bytes - 1) - *ret_first + 1;
}

int ph_code_begin_write(pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    size_t first;
    int error, ignored;
    if (code->backend != PAGEHEAP_EXEC_FLIP)
        return 0;
    size_t count = pages_of(code, rx, bytes, &first);
    ph_mutex_lock(&code->write_turn);
    size_t done = step_pages(code, first, count, 1, PH_ACCESS_RW, &error);
    if (error != 0 && done != 0)
        (void)step_pages(code, first, done, -1, PH_ACCESS_RX, &ignored);
    ph_mutex_unlock(&code->write_turn);
    return error;
}

/* True if all of these pages are being written. */
static bool are_open(const pageheap_exec *code, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (code->writers[first + i] == 0)
            return false;
    }
    return true;
}

int ph_code_end_write(pageheap_exec *code, uintptr_t rx, size_t bytes)
{
    size_t first;
    int error = -EINVAL;
    if (code->backend != PAGEHEAP_EXEC_FLIP)
        return 0;
    size_t count = pages_of(code, rx, bytes, &first);
    ph_mutex_lock(&code->write_turn);
    if (are_open(code, first, count))
        (void)step_pages(code, first, count, -1, PH_ACCESS_RX, &error);
    ph_mutex_unlock(&code->write_turn);
    return error;
}
