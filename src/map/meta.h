/* SPDX-License-Identifier: MIT */
/* meta.h -- memory for our own records, apart from the pages that callers hold.
 *
 * Records come from a process-wide arena that grows and never shrinks; freed records are kept by size and
 * used again.  All functions may be called from any thread.
 */
#ifndef PH_MAP_META_H
#define PH_MAP_META_H

#include <stddef.h>
#include <stdint.h>

#include "os/mutex.h"

/* Records of this size and more begin at a multiple of it.  What one thread alone writes, and often, belongs
 * into such a record: processors fetch ahead within these bounds, and so take from each other what they
 * never ask for. */
#define PH_META_PAGE_BYTES ((size_t)4096)

/* A zeroed record of `bytes`, aligned to a cache line; NULL if the system refuses memory. */
void *ph_meta_alloc(size_t bytes);

/* Take a record back; `bytes` as it was asked for. */
void ph_meta_free(void *record, size_t bytes);

/* For fork alone: hold the arena still, let it go. */
void ph_meta_lock(void);
void ph_meta_unlock(void);

#endif
