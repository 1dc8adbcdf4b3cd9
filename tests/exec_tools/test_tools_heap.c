/* SPDX-License-Identifier: MIT */
/* test_tools_heap.c -- all tools at once on a heap of each backend: what it tells them is what they need. */
#include "scene.h"

#include "child.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

enum { piece_bytes = 100, thread_count = 4, rounds = 2000 };

#define LONG_BYTES ((size_t)5 << 20)

struct tools {
    pageheap_exec_tools_perfmap *map;
    pageheap_exec_tools_jitdump *dump;
    pageheap_exec_tools_gdb *gdb;
    pageheap_exec_tools_chain *chain;
    pageheap_exec *heap;
};

/* False if this backend does not work here. */
static bool open_all(struct scene *scene, struct tools *tools, uint32_t backend, uint32_t fork_policy)
{
    pageheap_exec_caps caps = { .struct_bytes = sizeof(caps) };
    assert_int_equal(pageheap_exec_probe(0, &caps), 0);
    if (caps.errors[backend] != 0)
        return false;
    pageheap_exec_tools_options where = PAGEHEAP_EXEC_TOOLS_OPTIONS_INIT;
    where.path = scene_path(scene, "map");
    tools->map = pageheap_exec_tools_perfmap_open(&where);
    where.path = scene->folder;
    tools->dump = pageheap_exec_tools_jitdump_open(&where);
    tools->gdb = pageheap_exec_tools_gdb_open();
    const pageheap_exec_hooks *hooks[] = { pageheap_exec_tools_perfmap_hooks(tools->map),
                                           pageheap_exec_tools_jitdump_hooks(tools->dump),
                                           pageheap_exec_tools_gdb_hooks(tools->gdb) };
    tools->chain = pageheap_exec_tools_chain_open(hooks, 3);
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = backend;
    options.fork_policy = fork_policy;
    options.reserve_bytes = (uint64_t)64 << 20;
    options.hooks = pageheap_exec_tools_chain_hooks(tools->chain);
    tools->heap = pageheap_exec_create(&options);
    assert_non_null(tools->map);
    assert_non_null(tools->dump);
    assert_non_null(tools->gdb);
    assert_non_null(tools->heap);
    return true;
}

static void close_all(struct tools *tools)
{
    assert_int_equal(pageheap_exec_destroy(tools->heap), 0);
    pageheap_exec_tools_chain_close(tools->chain);
    pageheap_exec_tools_gdb_close(tools->gdb);
    pageheap_exec_tools_jitdump_close(tools->dump);
    pageheap_exec_tools_perfmap_close(tools->map);
}

static void take(const struct tools *tools, size_t bytes, const char *name, pageheap_exec_span *ret_span)
{
    static const unsigned char code[] = { 0xc3, 0xc3, 0xc3, 0xc3 };
    assert_int_equal(pageheap_exec_alloc(tools->heap, bytes, ret_span), 0);
    assert_int_equal(pageheap_exec_write(tools->heap, ret_span->rx, code, sizeof(code)), 0);
    assert_int_equal(pageheap_exec_publish(tools->heap, ret_span->rx, bytes), 0);
    assert_int_equal(pageheap_exec_name(tools->heap, ret_span->rx, bytes, name), 0);
}

static void assert_told(const struct tools *tools, uint64_t names)
{
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    assert_int_equal(pageheap_exec_tools_perfmap_get_stats(tools->map, &stats), 0);
    assert_int_equal(stats.told_names, names);
    assert_int_equal(stats.dropped_names, 0);
    assert_int_equal(pageheap_exec_tools_jitdump_get_stats(tools->dump, &stats), 0);
    assert_int_equal(stats.told_names, names);
    assert_int_equal(stats.dropped_names, 0);
    assert_int_equal(pageheap_exec_tools_gdb_get_stats(tools->gdb, &stats), 0);
    assert_int_equal(stats.told_names, names);
    assert_int_equal(stats.dropped_names, 0);
}

static void assert_live(const struct tools *tools, uint64_t in_dump, uint64_t in_gdb)
{
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    assert_int_equal(pageheap_exec_tools_jitdump_get_stats(tools->dump, &stats), 0);
    assert_int_equal(stats.live_names, in_dump);
    assert_int_equal(pageheap_exec_tools_gdb_get_stats(tools->gdb, &stats), 0);
    assert_int_equal(stats.live_names, in_gdb);
}

static void names_live_as_long_as_their_spans(void **state)
{
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend < PAGEHEAP_EXEC_RWX; backend++) {
        struct tools tools;
        pageheap_exec_span piece, pages, blocks;
        if (!open_all(*state, &tools, backend, PAGEHEAP_EXEC_FORK_DENY))
            continue;
        take(&tools, piece_bytes, "piece", &piece);
        take(&tools, 3 * 4096, "pages", &pages);
        take(&tools, LONG_BYTES, "blocks", &blocks);
        assert_told(&tools, 3);
        assert_live(&tools, 3, 2 + 3); /* of GDB's, one for each block */
        assert_int_equal(pageheap_exec_free(tools.heap, pages.rx, 3 * 4096), 0);
        assert_live(&tools, 2, 1 + 3);
        assert_int_equal(pageheap_exec_free(tools.heap, blocks.rx, LONG_BYTES), 0);
        assert_int_equal(pageheap_exec_free(tools.heap, piece.rx, piece_bytes), 0);
        assert_live(&tools, 0, 0);
        take(&tools, piece_bytes, "left alive", &piece);
        close_all(&tools);
    }
}

static void memory_that_comes_and_goes_keeps_no_names(void **state)
{
    struct tools tools;
    if (!open_all(*state, &tools, PAGEHEAP_EXEC_MEMFD, PAGEHEAP_EXEC_FORK_DENY))
        return;
    for (int i = 0; i < 20; i++) {
        pageheap_exec_span span;
        take(&tools, LONG_BYTES, "blocks", &span);
        assert_int_equal(pageheap_exec_free(tools.heap, span.rx, LONG_BYTES), 0);
        pageheap_exec_trim(tools.heap, 0);
    }
    assert_told(&tools, 20);
    assert_live(&tools, 0, 0);
    close_all(&tools);
}

static void *compile_and_free(void *ctx)
{
    const struct tools *tools = ctx;
    for (int i = 0; i < rounds; i++) {
        pageheap_exec_span span;
        take(tools, i % 2 == 0 ? piece_bytes : 4096, "short", &span);
        if (i % 8 == 0)
            sched_yield();
        assert_int_equal(pageheap_exec_free(tools->heap, span.rx, span.bytes), 0);
    }
    return NULL;
}

static void threads_may_compile_at_once(void **state)
{
    struct tools tools;
    pthread_t threads[thread_count];
    if (!open_all(*state, &tools, PAGEHEAP_EXEC_MEMFD, PAGEHEAP_EXEC_FORK_DENY))
        return;
    for (int i = 0; i < thread_count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, compile_and_free, &tools), 0);
    for (int i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    assert_told(&tools, thread_count * rounds);
    assert_live(&tools, 0, 0);
    close_all(&tools);
}

static void run_child(struct tools *tools)
{
    pageheap_exec_span span;
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    child_begin(20);
    REQUIRE(pageheap_exec_alloc(tools->heap, piece_bytes, &span) == 0);
    REQUIRE(pageheap_exec_publish(tools->heap, span.rx, piece_bytes) == 0);
    REQUIRE(pageheap_exec_name(tools->heap, span.rx, piece_bytes, "child") == 0);
    REQUIRE(pageheap_exec_tools_jitdump_get_stats(tools->dump, &stats) == 0);
    REQUIRE(stats.told_names == 2 && stats.dropped_names == 0); /* its parent's, and its own */
    REQUIRE(pageheap_exec_destroy(tools->heap) == 0);
    pageheap_exec_tools_jitdump_close(tools->dump);
    _exit(0);
}

static void a_child_with_a_heap_of_its_own_has_tools(void **state)
{
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend < PAGEHEAP_EXEC_RWX; backend++) {
        struct tools tools;
        pageheap_exec_span span;
        if (!open_all(*state, &tools, backend, PAGEHEAP_EXEC_FORK_PRIVATE))
            continue;
        take(&tools, piece_bytes, "parent", &span);
        pid_t child = fork();
        if (child == 0)
            run_child(&tools);
        assert_child_ends_well(child);
        assert_told(&tools, 1);
        close_all(&tools);
    }
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(names_live_as_long_as_their_spans),
        IN_A_FOLDER(memory_that_comes_and_goes_keeps_no_names),
        IN_A_FOLDER(threads_may_compile_at_once),
        IN_A_FOLDER(a_child_with_a_heap_of_its_own_has_tools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
