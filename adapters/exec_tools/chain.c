/* SPDX-License-Identifier: MIT */
/* chain.c -- one set of hooks that calls several.  It never changes, and so needs no lock. */
#include <pageheap/exec_tools.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

struct pageheap_exec_tools_chain {
    pageheap_exec_hooks hooks;
    size_t link_count;
    pageheap_exec_hooks links[];
};

static void block_mapped(void *ctx, const void *rx, size_t bytes)
{
    const pageheap_exec_tools_chain *chain = ctx;
    for (const pageheap_exec_hooks *link = chain->links; link < chain->links + chain->link_count; link++) {
        if (link->block_mapped != NULL)
            link->block_mapped(link->ctx, rx, bytes);
    }
}

static void block_unmapped(void *ctx, const void *rx, size_t bytes)
{
    const pageheap_exec_tools_chain *chain = ctx;
    for (const pageheap_exec_hooks *link = chain->links; link < chain->links + chain->link_count; link++) {
        if (link->block_unmapped != NULL)
            link->block_unmapped(link->ctx, rx, bytes);
    }
}

static void published(void *ctx, const void *rx, size_t bytes)
{
    const pageheap_exec_tools_chain *chain = ctx;
    for (const pageheap_exec_hooks *link = chain->links; link < chain->links + chain->link_count; link++) {
        if (link->published != NULL)
            link->published(link->ctx, rx, bytes);
    }
}

static void named(void *ctx, const void *rx, size_t bytes, const char *name)
{
    const pageheap_exec_tools_chain *chain = ctx;
    for (const pageheap_exec_hooks *link = chain->links; link < chain->links + chain->link_count; link++) {
        if (link->named != NULL)
            link->named(link->ctx, rx, bytes, name);
    }
}

static void freed(void *ctx, const void *rx, size_t bytes)
{
    const pageheap_exec_tools_chain *chain = ctx;
    for (const pageheap_exec_hooks *link = chain->links; link < chain->links + chain->link_count; link++) {
        if (link->freed != NULL)
            link->freed(link->ctx, rx, bytes);
    }
}

pageheap_exec_tools_chain *pageheap_exec_tools_chain_open(const pageheap_exec_hooks *const *hooks,
                                                          size_t count)
{
    pageheap_exec_tools_chain *chain = NULL;
    if ((hooks == NULL && count > 0) || count > (SIZE_MAX - sizeof(*chain)) / sizeof(chain->links[0])) {
        errno = EINVAL;
        return NULL;
    }
    chain = malloc(sizeof(*chain) + count * sizeof(chain->links[0]));
    if (chain == NULL)
        return NULL;
    chain->hooks = (pageheap_exec_hooks){ .block_mapped = block_mapped,
                                          .block_unmapped = block_unmapped,
                                          .published = published,
                                          .named = named,
                                          .freed = freed,
                                          .ctx = chain };
    chain->link_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (hooks[i] != NULL)
            chain->links[chain->link_count++] = *hooks[i];
    }
    return chain;
}

const pageheap_exec_hooks *pageheap_exec_tools_chain_hooks(const pageheap_exec_tools_chain *chain)
{
    return chain == NULL ? NULL : &chain->hooks;
}

void pageheap_exec_tools_chain_close(pageheap_exec_tools_chain *chain)
{
    free(chain);
}
