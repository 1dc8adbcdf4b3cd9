/* SPDX-License-Identifier: MIT */
/* spool_file.h -- the recorder's side of the spool: make it, and turn it into a trace. */
#ifndef PH_RECORD_SPOOL_FILE_H
#define PH_RECORD_SPOOL_FILE_H

#include <limits.h>
#include <stdint.h>

struct spool_file {
    int descriptor;
    char path[PATH_MAX];
};

struct spool_summary {
    uint64_t allocs;
    uint64_t frees;
    uint64_t lost; /* events that could not be written, or were cut off by the death of their process */
    uint32_t threads;
    uint32_t processes;
};

/* Make an empty spool in $TMPDIR or /tmp.  0 or -1 with errno. */
int spool_file_create(struct spool_file *ret_spool);

/* Write the trace of all that was recorded: ids are renumbered from 1 in the order of the allocs. */
int spool_file_merge(struct spool_file *spool, const char *trace_path, struct spool_summary *ret_summary);

void spool_file_destroy(struct spool_file *spool);

#endif
