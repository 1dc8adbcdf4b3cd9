/* SPDX-License-Identifier: MIT */
/* report.c -- options in, counts out. */
#include "report.h"

#include <errno.h>
#include <string.h>

int ph_tools_options_read(const pageheap_exec_tools_options *options,
                          pageheap_exec_tools_options *ret_options)
{
    *ret_options = (pageheap_exec_tools_options)PAGEHEAP_EXEC_TOOLS_OPTIONS_INIT;
    if (options == NULL)
        return 0;
    if (options->struct_bytes != sizeof(*options) || options->flags != 0)
        return EINVAL;
    *ret_options = *options;
    return 0;
}

void ph_tools_tally_count(struct ph_tools_tally *tally, int error)
{
    if (error == 0) {
        tally->told_names++;
        return;
    }
    tally->dropped_names++;
    tally->last_error = error;
}

void ph_tools_tally_reset(struct ph_tools_tally *tally)
{
    *tally = (struct ph_tools_tally){ 0, 0, 0 };
}

pageheap_exec_tools_stats ph_tools_tally_stats(const struct ph_tools_tally *tally)
{
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    if (tally == NULL)
        return stats;
    stats.last_error = tally->last_error;
    stats.told_names = tally->told_names;
    stats.dropped_names = tally->dropped_names;
    return stats;
}

int ph_tools_stats_judge(const pageheap_exec_tools_stats *ret_stats)
{
    if (ret_stats == NULL || ret_stats->struct_bytes < sizeof(ret_stats->struct_bytes))
        return PAGEHEAP_EINVAL;
    return 0;
}

void ph_tools_stats_fill(const pageheap_exec_tools_stats *stats, pageheap_exec_tools_stats *ret_stats)
{
    size_t fill_bytes = ret_stats->struct_bytes;
    if (fill_bytes > sizeof(*stats))
        fill_bytes = sizeof(*stats);
    pageheap_exec_tools_stats filled = *stats;
    filled.struct_bytes = ret_stats->struct_bytes;
    memcpy(ret_stats, &filled, fill_bytes);
}
