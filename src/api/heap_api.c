/* SPDX-License-Identifier: MIT */
/* heap_api.c -- the public calls on heaps. */
#include <errno.h>
#include <string.h>

#include "api/options.h"
#include "heap/heap.h"
#include "heap/inspect.h"

static _Atomic(pageheap *) default_heap;

pageheap *pageheap_create(const pageheap_options *options)
{
    pageheap_options full;
    int saved = errno;
    int error = ph_os_setup();
    if (error == 0)
        error = ph_options_resolve(options, &full);
    pageheap *heap = error == 0 ? ph_heap_create(&full, &ph_backing_plain, NULL, &error) : NULL;
    errno = heap == NULL ? -error : saved;
    return heap;
}

int pageheap_destroy(pageheap *heap)
{
    if (heap != NULL && heap == ph_load_acquire(&default_heap)) /* pairs with pageheap_default's */
        return PAGEHEAP_EBUSY;
    return ph_heap_destroy(heap) ? 0 : PAGEHEAP_EINVAL;
}

pageheap *pageheap_default(void)
{
    pageheap *heap = ph_load_acquire(&default_heap); /* pairs with the compare-and-swap below */
    if (PH_LIKELY(heap != NULL))
        return heap;
    pageheap *fresh = pageheap_create(NULL);
    if (fresh == NULL)
        return NULL;
    if (ph_cas_acq_rel(&default_heap, &heap, fresh)) /* pairs with the load above */
        return fresh;
    (void)ph_heap_destroy(fresh); /* another thread was first; `heap` is its */
    return heap;
}

size_t pageheap_page_bytes(const pageheap *heap)
{
    return ph_heap_is_valid(heap) ? ph_heap_page_bytes(heap) : 0;
}

size_t pageheap_trim(pageheap *heap, size_t keep_bytes)
{
    if (!ph_heap_is_valid(heap))
        return 0;
    return (size_t)(ph_heap_trim(heap, keep_bytes >> heap->page_log2) << heap->page_log2);
}

int pageheap_tick(pageheap *heap)
{
    if (!ph_heap_is_valid(heap))
        return PAGEHEAP_EINVAL;
    ph_heap_look(heap, ph_front_mine(heap));
    return 0;
}

int pageheap_each_run(pageheap *heap, pageheap_run_fn *fn, void *ctx)
{
    return ph_heap_is_valid(heap) && fn != NULL ? ph_heap_each_run(heap, fn, ctx) : PAGEHEAP_EINVAL;
}

int pageheap_each_block(pageheap *heap, pageheap_block_fn *fn, void *ctx)
{
    return ph_heap_is_valid(heap) && fn != NULL ? ph_heap_each_block(heap, fn, ctx) : PAGEHEAP_EINVAL;
}

int pageheap_check(pageheap *heap)
{
    return ph_heap_is_valid(heap) ? ph_heap_check(heap) : PAGEHEAP_EINVAL;
}

const char *pageheap_version(void)
{
    return PAGEHEAP_VERSION;
}

const char *pageheap_strerror(int code)
{
    switch (code) {
    case 0:
        return "success";
    case PAGEHEAP_EINVAL:
        return "invalid argument";
    case PAGEHEAP_ENOTOURS:
        return "the address does not belong to this heap";
    case PAGEHEAP_EBADRUN:
        return "not exactly one live run";
    case PAGEHEAP_ENOMEM:
        return "out of memory, or beyond the heap's limit";
    case PAGEHEAP_ERANGE:
        return "size or address out of range";
    case PAGEHEAP_EACCES:
        return "the heap may not be changed by this process";
    case PAGEHEAP_EBUSY:
        return "in use";
    default:
        return "unknown code";
    }
}
