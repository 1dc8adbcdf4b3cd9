/* SPDX-License-Identifier: MIT */
/* options.h -- a heap's options: the caller's, the environment's, the defaults. */
#ifndef PH_API_OPTIONS_H
#define PH_API_OPTIONS_H

#include "pageheap/pageheap.h"

/* Complete and judge options: what the caller leaves 0 comes from PAGEHEAP_CONF, what that leaves out from
 * the defaults.  0 or -EINVAL. */
int ph_options_resolve(const pageheap_options *options, pageheap_options *ret_full);

/* Copy a struct whose first field is its own size, `from_bytes`, into one of `to_bytes`: a newer caller's is
 * longer, and what we do not know must be zero; an older caller's is shorter.  0 or -EINVAL. */
int ph_options_copy(void *to, size_t to_bytes, const void *from, uint32_t from_bytes);

/* Read "key:value,key:value" into *options; a malformed or unknown entry is skipped and makes the result
 * -EINVAL. */
int ph_options_parse(const char *text, pageheap_options *options);

#endif
