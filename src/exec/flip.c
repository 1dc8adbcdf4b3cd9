/* SPDX-License-Identifier: MIT */
/* flip.c -- pages that are executable or, for a while, writable: the backend that flips them with mprotect.
 *
 * Spans share pages if they are pieces, and several threads may be writing to one page: a count a page tells
 * when the last of them is done.  While it is not 0 nobody can run what is there.
 */
#include "exec/code.h"

static int protect(pageheap_exec *exec, size_t first, size_t count, enum ph_access access)
{
    void *base = (void *)(exec->rx_base + ((uintptr_t)first << exec->page_log2));
    return ph_code_note(exec, ph_code_os.protect(base, count << exec->page_log2, access));
}

/* Pages of [first, first + count) whose count is `edge`: how many adjacent ones begin at the first. */
static size_t at_edge(const pageheap_exec *exec, size_t first, size_t count, uint16_t edge)
{
    size_t pages = 0;
    while (pages < count && exec->writers[first + pages] == edge)
        pages++;
    return pages;
}

static void add_writers(pageheap_exec *exec, size_t first, size_t count, int by)
{
    for (size_t i = 0; i < count; i++)
        exec->writers[first + i] = (uint16_t)(exec->writers[first + i] + by);
}

/* One writer less.  A page that the system will not make executable again stays writable until a later writer
 * of it is done; the first such error is told. */
static int close_pages(pageheap_exec *exec, size_t first, size_t count)
{
    int error = 0;
    for (size_t done = 0; done < count;) {
        size_t pages = at_edge(exec, first + done, count - done, 1);
        int result = pages == 0 ? 0 : protect(exec, first + done, pages, PH_ACCESS_RX);
        error = error == 0 ? result : error;
        done += pages == 0 ? 1 : pages;
    }
    add_writers(exec, first, count, -1);
    return error;
}

/* One writer more, or an error and all as it was. */
static int open_pages(pageheap_exec *exec, size_t first, size_t count)
{
    size_t done = 0;
    int error = 0;
    while (done < count && error == 0) {
        size_t pages = at_edge(exec, first + done, count - done, 0);
        error = pages == 0 ? 0 : protect(exec, first + done, pages, PH_ACCESS_RW);
        done += error != 0 ? 0 : pages == 0 ? 1 : pages;
    }
    add_writers(exec, first, done, 1);
    if (error != 0 && done != 0)
        (void)close_pages(exec, first, done);
    return error;
}

static size_t pages_of(const pageheap_exec *exec, uintptr_t rx, size_t bytes, size_t *ret_first)
{
    *ret_first = ph_code_page(exec, rx);
    return ph_code_page(exec, rx + bytes - 1) - *ret_first + 1;
}

int ph_code_begin_write(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    size_t first;
    if (exec->backend != PAGEHEAP_EXEC_FLIP)
        return 0;
    size_t count = pages_of(exec, rx, bytes, &first);
    ph_mutex_lock(&exec->write_turn);
    int error = open_pages(exec, first, count);
    ph_mutex_unlock(&exec->write_turn);
    return error;
}

/* True if all of these pages are being written. */
static bool are_open(const pageheap_exec *exec, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (exec->writers[first + i] == 0)
            return false;
    }
    return true;
}

int ph_code_end_write(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    size_t first;
    if (exec->backend != PAGEHEAP_EXEC_FLIP)
        return 0;
    size_t count = pages_of(exec, rx, bytes, &first);
    ph_mutex_lock(&exec->write_turn);
    int error = are_open(exec, first, count) ? close_pages(exec, first, count) : -EINVAL;
    ph_mutex_unlock(&exec->write_turn);
    return error;
}
