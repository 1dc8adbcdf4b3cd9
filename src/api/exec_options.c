/* SPDX-License-Identifier: MIT */
/* exec_options.c -- which options of an executable heap make sense. */
#include "api/exec_options.h"

#include <errno.h>
#include <stdbool.h>

#include "api/options.h"
#include "base/bits.h"
#include "base/units.h"

#define ALL_FLAGS                                                                                            \
    (PAGEHEAP_FATAL_MISUSE | PAGEHEAP_EXEC_ANYWHERE | PAGEHEAP_EXEC_NO_FILL | PAGEHEAP_EXEC_HUGE)

#define GRANULE_BYTES_MIN 16
#define GRANULE_BYTES_MAX 128
#define RESERVE_BYTES_MAX (UINT64_C(64) << 30)

static bool are_valid(const pageheap_exec_options *options)
{
    uint32_t granule = options->granule_bytes;
    if ((options->flags & ~ALL_FLAGS) != 0)
        return false;
    if (options->backend >= PAGEHEAP_EXEC_BACKENDS || options->fork_policy > PAGEHEAP_EXEC_FORK_SHARE)
        return false;
    if (granule != 0 &&
        (!ph_is_power_of_two(granule) || granule < GRANULE_BYTES_MIN || granule > GRANULE_BYTES_MAX))
        return false;
    if ((options->flags & PAGEHEAP_EXEC_ANYWHERE) && (options->near != NULL || options->reach_bytes != 0))
        return false;
    return options->reserve_bytes % PH_BLOCK_BYTES == 0 && options->reserve_bytes <= RESERVE_BYTES_MAX;
}

int ph_exec_options_resolve(const pageheap_exec_options *options, pageheap_exec_options *ret_full)
{
    pageheap_exec_options full = PAGEHEAP_EXEC_OPTIONS_INIT;
    int error = options == NULL ? 0 : ph_options_copy(&full, sizeof full, options, options->struct_bytes);
    if (error != 0 || !are_valid(&full))
        return -EINVAL;
    *ret_full = full;
    return 0;
}
