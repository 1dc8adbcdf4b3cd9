/* SPDX-License-Identifier: MIT */
/* sljit_heap.c -- sljit's executable memory, from a heap of two views. */
#include "sljit_heap.h"

#include "client.h"

__attribute__((constructor)) static void start(void)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_MEMFD;
    client_start(&options);
}

/* The distance is a constant of the heap; 0 as long as there is no span, and in heaps of one view. */
static _Atomic ptrdiff_t rx_minus_rw;

void *sljit_heap_take(size_t bytes)
{
    pageheap_exec_span span;
    if (client_take(bytes, NULL, &span) != 0)
        return NULL;
    rx_minus_rw = (char *)span.rx - (char *)span.rw;
    return span.rw;
}

void sljit_heap_give(void *rx)
{
    (void)client_give(rx);
}

ptrdiff_t sljit_heap_offset(const void *rw)
{
    (void)rw;
    return rx_minus_rw;
}

/* sljit names new code by where it runs, and what is patched later by where it is written. */
void sljit_heap_update(void *from, void *to, int executable)
{
    pageheap_exec_span span;
    size_t bytes = (size_t)((char *)to - (char *)from);
    if (!executable || bytes == 0)
        return;
    char *rx = from;
    if (pageheap_exec_find(client_heap, rx, &span) != 0)
        rx += rx_minus_rw;
    (void)client_publish(rx, bytes);
}

void sljit_free_unused_memory_exec(void)
{
    (void)pageheap_exec_trim(client_heap, 0);
}
