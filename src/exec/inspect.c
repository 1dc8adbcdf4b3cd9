/* SPDX-License-Identifier: MIT */
/* inspect.c -- which span holds an address, and all there are.  As heap/inspect.c, with spans for runs. */
#include "exec/pieces.h"
#include "heap/inspect.h"

static void describe(const pageheap_exec *exec, uintptr_t rx, size_t bytes, pageheap_exec_span *ret_span)
{
    *ret_span = (pageheap_exec_span){
        .rx = (void *)rx,
        .rw = ph_code_is_writable(exec) ? ph_code_rw(exec, rx) : NULL,
        .bytes = bytes,
        .flags = ph_code_was_executed(exec, rx, bytes) ? 0 : PAGEHEAP_EXEC_FRESH,
    };
}

int ph_code_find(const pageheap_exec *exec, uintptr_t rx, pageheap_exec_span *ret_span)
{
    pageheap_run run;
    if (!ph_code_holds(exec, rx))
        return PAGEHEAP_ENOTOURS;
    const ph_slab *slab = ph_slab_at(exec, rx);
    if (slab != NULL) {
        uintptr_t start;
        unsigned granules;
        if (!ph_piece_find(exec, slab, rx, &start, &granules))
            return PAGEHEAP_ENOTOURS;
        describe(exec, start, (size_t)granules << exec->granule_log2, ret_span);
        return 0;
    }
    int code = ph_run_find_plain(rx, &run);
    if (code == 0)
        describe(exec, (uintptr_t)run.start, run.pages << exec->page_log2, ret_span);
    return code;
}

typedef struct walk {
    pageheap_exec *exec;
    pageheap_exec_span_fn *fn;
    void *ctx;
} walk;

static int walk_slab(const walk *walk, const ph_slab *slab)
{
    for (unsigned w = 0; w < PH_BLOCK_WORDS; w++) {
        uint64_t starts = ph_load_relaxed(&slab->tags[w]);
        for (; starts != 0; starts &= starts - 1) {
            pageheap_exec_span span;
            uintptr_t granule = 64 * w + ph_lowest_bit(starts);
            if (ph_code_find(walk->exec, slab->rx + (granule << walk->exec->granule_log2), &span) != 0)
                continue;
            int answer = walk->fn(walk->ctx, &span);
            if (answer != 0)
                return answer;
        }
    }
    return 0;
}

static int walk_run(void *ctx, const pageheap_run *run)
{
    const walk *walk = ctx;
    pageheap_exec_span span;
    const ph_slab *slab = ph_slab_at(walk->exec, (uintptr_t)run->start);
    if (slab != NULL)
        return walk_slab(walk, slab);
    return ph_code_find(walk->exec, (uintptr_t)run->start, &span) == 0 ? walk->fn(walk->ctx, &span) : 0;
}

int ph_code_each(pageheap_exec *exec, pageheap_exec_span_fn *fn, void *ctx)
{
    walk walk = { exec, fn, ctx };
    return ph_heap_each_run(exec->heap, walk_run, &walk);
}
