/* SPDX-License-Identifier: MIT */
/* tools.c -- a stranger's program that uses the tools of executable heaps and nothing of the library. */
#include <pageheap/exec_tools.h>

#include <stdio.h>

int main(void)
{
    pageheap_exec_tools_gdb *gdb = pageheap_exec_tools_gdb_open();
    const pageheap_exec_hooks *hooks = pageheap_exec_tools_gdb_hooks(gdb);
    pageheap_exec_tools_chain *chain = pageheap_exec_tools_chain_open(&hooks, 1);
    const pageheap_exec_hooks *all = pageheap_exec_tools_chain_hooks(chain);
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    if (!gdb || !all) {
        fprintf(stderr, "the tools do not open\n");
        return 1;
    }
    all->named(all->ctx, (const void *)0x1000, 16, "function");
    int code = pageheap_exec_tools_gdb_get_stats(gdb, &stats);
    pageheap_exec_tools_chain_close(chain);
    pageheap_exec_tools_gdb_close(gdb);
    return code == 0 && stats.told_names == 1 ? 0 : 1;
}
