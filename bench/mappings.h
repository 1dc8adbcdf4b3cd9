/* SPDX-License-Identifier: MIT */
/* mappings.h -- what /proc/self/maps says: how many mappings there are, how much memory is
 * behind them. */
#ifndef PH_BENCH_MAPPINGS_H
#define PH_BENCH_MAPPINGS_H

#include <stddef.h>

/* Its lines; 0 if it cannot be read. */
size_t mappings_count(void);

/* Bytes of RAM behind all mappings but those of program files, each page once.  RSS counts a page that is
 * mapped in two places twice, and one of a file in memory that is mapped nowhere at the moment not at all,
 * though it takes RAM until the file is cut or gone.  Here shared memory is told by file and offset, and
 * pages are counted whether they are mapped or not.  0 if that cannot be done. */
size_t mappings_resident_bytes(void);

#endif
