/* SPDX-License-Identifier: MIT */
/* consumer.c -- a stranger's program: sees the installed headers, links the installed library, uses both. */
#include <pageheap/iprt.h>
#include <pageheap/pageheap.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    if (strcmp(pageheap_version(), PAGEHEAP_VERSION) != 0) {
        fprintf(stderr, "header %s, library %s\n", PAGEHEAP_VERSION, pageheap_version());
        return 1;
    }
    pageheap *heap = pageheap_create(NULL);
    void *run = pageheap_alloc(heap, 16, PAGEHEAP_ZERO);
    if (!run || pageheap_free(heap, run, 17) == 0 || pageheap_free(heap, run, 16) != 0) {
        fprintf(stderr, "the heap does not behave\n");
        return 1;
    }
    void *pages = RTMemPageAllocZ(1);
    RTMemPageFree(pages, 1);
    return pages ? pageheap_destroy(heap) : 1;
}
