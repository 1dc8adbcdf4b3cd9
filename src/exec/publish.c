/* SPDX-License-Identifier: MIT */
/* publish.c -- what was written may run: marked as such, and every processor sees it. */
#include "exec/code.h"

#include "exec/probe.h"

/* One span's part.  True if something else had been there before. */
static bool publish(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    ph_code_note_written(exec, rx, bytes);
    ph_code_os_flush(rx, bytes);
    return ph_code_note_executed(exec, rx, bytes);
}

/* Other processors may have fetched what was there, if there is another thread for them to run.  The calling
 * thread's own is told of the change by the flush, or, on x86, sees the stores. */
static void fetch_anew(pageheap_exec *exec)
{
    if (ph_code_has_sync_core() && !ph_code_os_is_alone()) {
        ph_fetch_add_relaxed(&exec->barriers, 1);
        (void)ph_code_note(exec, ph_code_os.sync_cores());
    }
}

static void tell_published(const pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    if (exec->hooks.published != NULL)
        exec->hooks.published(exec->hooks.ctx, (const void *)rx, bytes);
}

void ph_code_publish(pageheap_exec *exec, uintptr_t rx, size_t bytes)
{
    if (publish(exec, rx, bytes))
        fetch_anew(exec);
    tell_published(exec, rx, bytes);
}

void ph_code_publish_many(pageheap_exec *exec, const pageheap_exec_span *spans, size_t count)
{
    bool was_any = false;
    for (size_t i = 0; i < count; i++)
        was_any = publish(exec, (uintptr_t)spans[i].rx, spans[i].bytes) || was_any;
    if (was_any)
        fetch_anew(exec);
    for (size_t i = 0; i < count; i++)
        tell_published(exec, (uintptr_t)spans[i].rx, spans[i].bytes);
}
