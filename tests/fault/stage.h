/* SPDX-License-Identifier: MIT */
/* stage.h -- a heap with a book of what it handed out, for scenes in which the system fails.
 *
 * Every call is judged by what holds whatever the system does: an allocation succeeds or is refused with
 * ENOMEM, a valid free succeeds, errno stays, memory that was asked for as zero reads zero, and what other
 * runs hold is still there.  Whoever finds otherwise ends the process with status 1 and one line.
 */
#ifndef PH_TESTS_STAGE_H
#define PH_TESTS_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"
#include "pageheap/pageheap.h"

#define STAGE_RUNS_MAX 256

typedef struct stage_run {
    char *start;
    size_t pages;
    uint64_t pattern;
} stage_run;

typedef struct stage {
    pageheap *heap;
    pageheap_options options;
    size_t page_bytes;
    stage_run runs[STAGE_RUNS_MAX];
    unsigned count;
    uint64_t next_pattern;
    uint64_t refused;   /* allocations */
    bool has_lost_heap; /* a heap was destroyed while neither unmapping nor discarding worked */
} stage;

/* Make the heap.  Refused, which is legal, `heap` stays NULL and every call below does nothing. */
void stage_open(stage *s, const pageheap_options *options);

/* Returns the run's index, or -1 if it was refused. */
int stage_alloc(stage *s, size_t pages, uint32_t flags);
int stage_alloc_aligned(stage *s, size_t pages, size_t align_bytes, uint32_t flags);
int stage_alloc_tagged(stage *s, size_t pages, uint32_t flags, const char *tag);
void stage_alloc_many(stage *s, size_t pages, uint32_t flags, size_t count);

void stage_free(stage *s, unsigned index);
/* Free every `step`-th run. */
void stage_free_some(stage *s, unsigned step);
void stage_resize(stage *s, unsigned index, size_t new_pages, uint32_t flags);
void stage_discard(stage *s, unsigned index, size_t first, size_t pages);
void stage_split_and_join(stage *s, unsigned index);

/* The heap's own check, every run's contents, and the numbers that it tells. */
void stage_check(stage *s);

#endif
