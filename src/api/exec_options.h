/* SPDX-License-Identifier: MIT */
/* exec_options.h -- the options of an executable heap, judged. */
#ifndef PH_API_EXEC_OPTIONS_H
#define PH_API_EXEC_OPTIONS_H

#include "pageheap/exec.h"

/* Judge the options of an executable heap; NULL are all zero.  0 or -EINVAL. */
int ph_exec_options_resolve(const pageheap_exec_options *options, pageheap_exec_options *ret_full);

#endif
