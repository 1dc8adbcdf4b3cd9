/* SPDX-License-Identifier: MIT */
/* client.h -- what the adapters of other projects' code generators share: one heap a process, spans that are
 * counted, and a look at the process's mappings each time.
 *
 * An adapter calls client_start from a constructor, before its client has a thread, and the others from the
 * hooks that its client has.  When the process ends, a line of counts goes to the file that the variable
 * PAGEHEAP_CLIENT_LOG names; run.sh adds such lines up.
 */
#ifndef CONTRIB_CLIENT_H
#define CONTRIB_CLIENT_H

#include <pageheap/exec.h>

/* The heap of this process; set once, in client_start. */
extern pageheap_exec *client_heap;

/* Create the heap.  PAGEHEAP_CLIENT_BACKEND, a name as in "flip", is asked for instead of options->backend.
 * If nothing is free near options->near the heap lies anywhere.  Ends the process if there can be none. */
void client_start(const pageheap_exec_options *options);

/* Take a span, with `hint` not NULL at just that address or not at all.  0, or a negative code. */
int client_take(size_t bytes, void *hint, pageheap_exec_span *ret_span);

/* Give back the whole span that begins at rx.  0, or a negative code. */
int client_give(void *rx);

/* From now on [rx, rx + bytes) is written and not run, or run and not written.  0, or a negative code. */
int client_begin_write(void *rx, size_t bytes);
int client_end_write(void *rx, size_t bytes);

/* What has been written is to be run.  0, or a negative code. */
int client_publish(void *rx, size_t bytes);

#endif
