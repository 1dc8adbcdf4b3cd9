/* SPDX-License-Identifier: MIT */
/* test_hook_chain.c -- chains: every hook reaches everybody who wants it, in order, with what it was called
 * with. */
#include "scene.h"

#include <errno.h>

static char story[256];

/* The context of each link is its letter. */
static void note(void *ctx, const char *what, const void *rx, size_t bytes)
{
    char line[64];
    snprintf(line, sizeof(line), "%s%s:%zx+%zu ", (const char *)ctx, what, (size_t)(uintptr_t)rx, bytes);
    strncat(story, line, sizeof(story) - strlen(story) - 1);
}

static void note_mapped(void *ctx, const void *rx, size_t bytes)
{
    note(ctx, "mapped", rx, bytes);
}

static void note_unmapped(void *ctx, const void *rx, size_t bytes)
{
    note(ctx, "unmapped", rx, bytes);
}

static void note_published(void *ctx, const void *rx, size_t bytes)
{
    note(ctx, "published", rx, bytes);
}

static void note_named(void *ctx, const void *rx, size_t bytes, const char *name)
{
    note(ctx, name, rx, bytes);
}

static void note_freed(void *ctx, const void *rx, size_t bytes)
{
    note(ctx, "freed", rx, bytes);
}

static void call_all(const pageheap_exec_hooks *hooks)
{
    story[0] = '\0';
    hooks->block_mapped(hooks->ctx, at(0x1000), 1);
    hooks->published(hooks->ctx, at(0x2000), 2);
    hooks->named(hooks->ctx, at(0x3000), 3, "name");
    hooks->freed(hooks->ctx, at(0x4000), 4);
    hooks->block_unmapped(hooks->ctx, at(0x5000), 5);
}

static void every_link_is_called_in_order(void **state)
{
    (void)state;
    pageheap_exec_hooks a = { note_mapped, note_unmapped, note_published, note_named, note_freed, "a" };
    pageheap_exec_hooks b = { .named = note_named, .ctx = "b" };
    pageheap_exec_hooks c = a;
    c.ctx = "c";
    c.named = NULL;
    const pageheap_exec_hooks *hooks[] = { &a, NULL, &b, &c };
    pageheap_exec_tools_chain *chain = pageheap_exec_tools_chain_open(hooks, 4);
    assert_non_null(chain);
    a.ctx = "copied"; /* what the array says later does not count */
    call_all(pageheap_exec_tools_chain_hooks(chain));
    assert_string_equal(story, "amapped:1000+1 cmapped:1000+1 apublished:2000+2 cpublished:2000+2 "
                               "aname:3000+3 bname:3000+3 afreed:4000+4 cfreed:4000+4 "
                               "aunmapped:5000+5 cunmapped:5000+5 ");
    pageheap_exec_tools_chain_close(chain);
}

static void a_chain_may_be_empty(void **state)
{
    (void)state;
    const pageheap_exec_hooks *hooks[] = { NULL, NULL };
    pageheap_exec_tools_chain *chain = pageheap_exec_tools_chain_open(hooks, 2);
    assert_non_null(chain);
    call_all(pageheap_exec_tools_chain_hooks(chain));
    assert_string_equal(story, "");
    pageheap_exec_tools_chain_close(chain);
    chain = pageheap_exec_tools_chain_open(NULL, 0);
    assert_non_null(chain);
    pageheap_exec_tools_chain_close(chain);
    pageheap_exec_tools_chain_close(NULL);
    assert_null(pageheap_exec_tools_chain_hooks(NULL));
}

static void counts_without_hooks_are_refused(void **state)
{
    (void)state;
    assert_null(pageheap_exec_tools_chain_open(NULL, 1));
    assert_int_equal(errno, EINVAL);
    const pageheap_exec_hooks *hooks[] = { NULL };
    assert_null(pageheap_exec_tools_chain_open(hooks, SIZE_MAX / 2));
    assert_int_equal(errno, EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_link_is_called_in_order),
        cmocka_unit_test(a_chain_may_be_empty),
        cmocka_unit_test(counts_without_hooks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
