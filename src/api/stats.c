/* SPDX-License-Identifier: MIT */
/* stats.c -- one snapshot: sums over fronts, read while their threads go on. */
#include <string.h>

#include "heap/heap.h"

static void add_calls(const ph_front *front, pageheap_stats *stats)
{
    stats->alloc_calls += ph_front_alloc_calls(front);
    stats->free_calls += ph_front_free_calls(front) + ph_load_relaxed(&front->outward_free_calls);
}

static void fill(pageheap *heap, pageheap_stats *stats)
{
    ph_sums sums;
    ph_heap_sum(heap, &sums);
    stats->page_bytes = (uint32_t)ph_heap_page_bytes(heap);
    stats->reserved_bytes = ph_load_relaxed(&heap->reserved_bytes);
    stats->committed_bytes = ph_load_relaxed(&heap->committed_bytes);
    stats->in_use_bytes = sums.live_pages << heap->page_log2;
    stats->cached_bytes = sums.cached_pages << heap->page_log2;
    stats->unused_bytes = sums.unused_pages << heap->page_log2;
    stats->resident_bytes = stats->in_use_bytes + stats->cached_bytes + stats->unused_bytes;
    stats->peak_bytes = ph_load_relaxed(&heap->peak_live_pages) << heap->page_log2;
    stats->given_back_bytes = ph_load_relaxed(&heap->given_back_bytes);
    stats->reservations = ph_load_relaxed(&heap->region_count);
    stats->blocks = stats->committed_bytes / PH_BLOCK_BYTES;
    stats->metadata_bytes =
        ph_load_relaxed(&heap->metadata_bytes) + stats->blocks * (PH_BLOCK_RECORD_BYTES + sizeof(ph_front *));
    stats->refused_frees = ph_load_relaxed(&heap->refused_frees);
    stats->failed_allocs = ph_load_relaxed(&heap->failed_allocs);
    stats->failed_os_calls = ph_load_relaxed(&heap->failed_os_calls);
    stats->threads = ph_load_relaxed(&heap->front_count);
    stats->revocations = ph_load_relaxed(&heap->revocations);
    add_calls(&heap->special, stats);
    for (PH_EACH_FRONT(front, heap))
        add_calls(front, stats);
    /* Counted while threads go on: a free may be seen whose allocation is not. */
    uint64_t frees = stats->free_calls;
    stats->live_runs = stats->alloc_calls > frees ? stats->alloc_calls - frees : 0;
}

int pageheap_get_stats(pageheap *heap, pageheap_stats *ret_stats)
{
    pageheap_stats stats = { 0 };
    if (!ph_heap_is_valid(heap) || ret_stats == NULL || ret_stats->struct_bytes < sizeof stats.struct_bytes)
        return PAGEHEAP_EINVAL;
    uint32_t wanted = ret_stats->struct_bytes;
    stats.struct_bytes = wanted;
    fill(heap, &stats);
    memcpy(ret_stats, &stats, wanted < sizeof stats ? wanted : sizeof stats);
    return 0;
}
