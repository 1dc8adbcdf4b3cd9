/* SPDX-License-Identifier: MIT */
/* test_gdb.c -- GDB's interface, read as a debugger reads it: the list, each ELF file in it, and what
 * notices there are. */
#include "scene.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#define BLOCK_BYTES ((uintptr_t)2 << 20)
#define FIRST_BLOCK ((uintptr_t)0x40000000)

/* ---- the debugger ---------------------------------------------------------------------------- */

struct entry {
    struct entry *next;
    struct entry *previous;
    const unsigned char *image;
    uint64_t image_bytes;
};

extern struct {
    uint32_t version;
    uint32_t action;
    struct entry *relevant;
    struct entry *first;
} __jit_debug_descriptor;

enum { files_max = 64, register_action = 1, unregister_action = 2 };

static long stop_ns;                         /* how long the debugger takes for a notice */
static const struct entry *known[files_max]; /* what it has been told of */
static unsigned notices;
static atomic_bool is_stopped; /* the program is within a notice */

/* In place of the library's, as the debugger's breakpoint would be. */
void __jit_debug_register_code(void);

void __jit_debug_register_code(void)
{
    const struct entry *entry = __jit_debug_descriptor.relevant;
    unsigned free_place = files_max, place = files_max;
    for (unsigned i = 0; i < files_max; i++) {
        if (known[i] == entry)
            place = i;
        if (known[i] == NULL)
            free_place = i;
    }
    notices++;
    if (__jit_debug_descriptor.action == register_action) {
        assert_int_equal(place, files_max);
        assert_in_range(free_place, 0, files_max - 1);
        known[free_place] = entry;
    } else {
        assert_int_equal(__jit_debug_descriptor.action, unregister_action);
        assert_in_range(place, 0, files_max - 1);
        known[place] = NULL;
    }
    struct timespec stop = { 0, stop_ns };
    is_stopped = true;
    if (stop_ns > 0)
        nanosleep(&stop, NULL);
    is_stopped = false;
}

static unsigned count_files(void)
{
    unsigned count = 0;
    const struct entry *previous = NULL;
    for (const struct entry *entry = __jit_debug_descriptor.first; entry != NULL; entry = entry->next) {
        assert_ptr_equal(entry->previous, previous);
        previous = entry;
        count++;
    }
    return count;
}

static unsigned count_known(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < files_max; i++)
        count += known[i] != NULL;
    return count;
}

/* What one file says of an address: the last byte of a name's range belongs to it. */
static bool look_up(const struct entry *entry, uintptr_t addr, char *ret_name, size_t name_max)
{
    const unsigned char *image = entry->image;
    const ElfW(Ehdr) *header = (const void *)image;
    assert_memory_equal(header->e_ident, ELFMAG, SELFMAG);
    assert_true(header->e_shoff + header->e_shnum * sizeof(ElfW(Shdr)) <= entry->image_bytes);
    const ElfW(Shdr) *sections = (const void *)(image + header->e_shoff);
    const char *section_names = (const char *)image + sections[header->e_shstrndx].sh_offset;
    const ElfW(Shdr) *symbols = NULL, *text = NULL;
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const char *name = section_names + sections[i].sh_name;
        if (sections[i].sh_type != SHT_NOBITS)
            assert_true(sections[i].sh_offset + sections[i].sh_size <= entry->image_bytes);
        symbols = strcmp(name, ".symtab") == 0 ? &sections[i] : symbols;
        text = strcmp(name, ".text") == 0 ? &sections[i] : text;
    }
    assert_non_null(symbols);
    assert_non_null(text);
    if (addr < text->sh_addr || addr - text->sh_addr >= text->sh_size)
        return false;
    const ElfW(Sym) *symbol = (const void *)(image + symbols->sh_offset);
    const char *texts = (const char *)image + sections[symbols->sh_link].sh_offset;
    for (size_t i = 1; i < symbols->sh_size / sizeof(*symbol); i++) {
        if (symbol[i].st_name == 0)
            continue;
        assert_true(symbol[i].st_name < sections[symbols->sh_link].sh_size);
        assert_true(symbol[i].st_value >= text->sh_addr);
        if (addr >= symbol[i].st_value && addr - symbol[i].st_value < symbol[i].st_size) {
            snprintf(ret_name, name_max, "%s", texts + symbol[i].st_name);
            return true;
        }
    }
    return false;
}

static void assert_name(uintptr_t addr, const char *expected)
{
    char name[1200] = "";
    for (const struct entry *entry = __jit_debug_descriptor.first; entry != NULL; entry = entry->next) {
        if (look_up(entry, addr, name, sizeof(name)))
            break;
    }
    assert_string_equal(name, expected);
}

/* ---- the heap --------------------------------------------------------------------------------- */

static pageheap_exec_tools_gdb *gdb;
static const pageheap_exec_hooks *hooks;

static int open_gdb(void **state)
{
    (void)state;
    memset(known, 0, sizeof(known));
    stop_ns = 0;
    notices = 0;
    gdb = pageheap_exec_tools_gdb_open();
    hooks = pageheap_exec_tools_gdb_hooks(gdb);
    return gdb == NULL ? -1 : 0;
}

static int close_gdb(void **state)
{
    (void)state;
    pageheap_exec_tools_gdb_close(gdb);
    return __jit_debug_descriptor.first == NULL && count_known() == 0 ? 0 : -1;
}

static void map_blocks(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        hooks->block_mapped(hooks->ctx, at(FIRST_BLOCK + i * BLOCK_BYTES), BLOCK_BYTES);
}

static void give_name(uintptr_t offset, size_t bytes, const char *name)
{
    hooks->named(hooks->ctx, at(FIRST_BLOCK + offset), bytes, name);
}

static void give_back(uintptr_t offset, size_t bytes)
{
    hooks->freed(hooks->ctx, at(FIRST_BLOCK + offset), bytes);
}

static pageheap_exec_tools_stats stats_of(void)
{
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    assert_int_equal(pageheap_exec_tools_gdb_get_stats(gdb, &stats), 0);
    return stats;
}

/* ---- names ------------------------------------------------------------------------------------- */

static void names_are_found_by_address(void **state)
{
    (void)state;
    map_blocks(1);
    assert_int_equal(__jit_debug_descriptor.version, 1);
    assert_int_equal(count_files(), 0); /* nothing has a name yet */
    give_name(0, 64, "a");
    give_name(64, 64, "b(int)");
    assert_name(FIRST_BLOCK, "a");
    assert_name(FIRST_BLOCK + 63, "a");
    assert_name(FIRST_BLOCK + 64, "b(int)");
    assert_name(FIRST_BLOCK + 128, "");
    assert_int_equal(count_known(), 1);
    assert_int_equal(notices, stats_of().notices);
}

static void a_block_has_one_file(void **state)
{
    (void)state;
    enum { blocks = 3, names = 3000 };
    char name[32];
    map_blocks(blocks);
    for (uintptr_t i = 0; i < names; i++) {
        snprintf(name, sizeof(name), "f%u", (unsigned)i);
        give_name(i % blocks * BLOCK_BYTES + i * 64, 64, name);
    }
    assert_int_equal(count_files(), blocks);
    assert_int_equal(count_known(), blocks);
    for (uintptr_t i = 0; i < names; i += 37) {
        snprintf(name, sizeof(name), "f%u", (unsigned)i);
        assert_name(FIRST_BLOCK + i % blocks * BLOCK_BYTES + i * 64 + 5, name);
    }
    assert_int_equal(stats_of().live_names, names);
    assert_int_equal(stats_of().told_names, names);
}

static void a_freed_name_is_gone(void **state)
{
    (void)state;
    map_blocks(1);
    give_name(0, 64, "a");
    give_name(64, 64, "b");
    give_name(128, 64, "c");
    give_back(64, 64);
    assert_name(FIRST_BLOCK + 63, "a");
    assert_name(FIRST_BLOCK + 64, "");
    assert_name(FIRST_BLOCK + 128, "c");
    give_name(64, 32, "d");
    assert_name(FIRST_BLOCK + 64, "d");
    assert_name(FIRST_BLOCK + 96, "");
    assert_int_equal(stats_of().live_names, 3);
}

static void a_shrunk_span_keeps_its_name(void **state)
{
    (void)state;
    map_blocks(1);
    give_name(0, 256, "a");
    give_back(64, 192);
    assert_name(FIRST_BLOCK + 63, "a");
    assert_name(FIRST_BLOCK + 64, "");
}

static void a_new_name_takes_the_old_ones_place(void **state)
{
    (void)state;
    map_blocks(1);
    give_name(0, 64, "before");
    give_name(0, 64, "after");
    assert_name(FIRST_BLOCK, "after");
    assert_int_equal(stats_of().live_names, 1);
}

static void code_across_blocks_is_named_in_each(void **state)
{
    (void)state;
    map_blocks(3);
    give_name(BLOCK_BYTES - 64, BLOCK_BYTES + 128, "long");
    assert_name(FIRST_BLOCK + BLOCK_BYTES - 1, "long");
    assert_name(FIRST_BLOCK + BLOCK_BYTES, "long+0x40");
    assert_name(FIRST_BLOCK + 2 * BLOCK_BYTES + 63, "long+0x200040");
    assert_name(FIRST_BLOCK + 2 * BLOCK_BYTES + 64, "");
    give_back(BLOCK_BYTES - 64, BLOCK_BYTES + 128);
    assert_name(FIRST_BLOCK + BLOCK_BYTES, "");
    assert_int_equal(stats_of().live_names, 0);
}

static void unmapped_blocks_take_their_files_along(void **state)
{
    (void)state;
    map_blocks(3);
    for (unsigned i = 0; i < 3; i++)
        give_name(i * BLOCK_BYTES, 64, "f");
    hooks->block_unmapped(hooks->ctx, at(FIRST_BLOCK + BLOCK_BYTES), BLOCK_BYTES);
    assert_int_equal(count_files(), 2);
    assert_int_equal(count_known(), 2);
    assert_name(FIRST_BLOCK, "f");
    assert_name(FIRST_BLOCK + BLOCK_BYTES, "");
    assert_name(FIRST_BLOCK + 2 * BLOCK_BYTES, "f");
    /* Mapped anew it begins without names. */
    hooks->block_mapped(hooks->ctx, at(FIRST_BLOCK + BLOCK_BYTES), BLOCK_BYTES);
    assert_name(FIRST_BLOCK + BLOCK_BYTES, "");
    give_name(BLOCK_BYTES, 64, "g");
    assert_name(FIRST_BLOCK + BLOCK_BYTES, "g");
}

/* The thread that mapped the block may be about to tell, and the one that unmapped it may be late. */
static void blocks_may_be_told_of_late(void **state)
{
    (void)state;
    const void *block = at(FIRST_BLOCK);
    errno = 4711;
    give_name(64, 64, "early");
    assert_int_equal(errno, 4711);
    assert_name(FIRST_BLOCK + 64, "early");
    hooks->block_mapped(hooks->ctx, block, BLOCK_BYTES);
    assert_name(FIRST_BLOCK + 64, "early");
    give_back(64, 64);
    hooks->block_mapped(hooks->ctx, block, BLOCK_BYTES);
    give_name(128, 64, "of the second map");
    hooks->block_unmapped(hooks->ctx, block, BLOCK_BYTES); /* the first one's */
    assert_name(FIRST_BLOCK + 128, "of the second map");
    hooks->block_unmapped(hooks->ctx, block, BLOCK_BYTES);
    assert_name(FIRST_BLOCK + 128, "");
    assert_int_equal(count_files(), 0);
    assert_int_equal(stats_of().dropped_names, 0);
}

/* Names that come and go are written over each other's place. */
static void churn_needs_no_more_memory(void **state)
{
    (void)state;
    enum { live = 100, rounds = 50000 };
    char name[64];
    uint64_t most_bytes = 0;
    map_blocks(1);
    for (uintptr_t i = 0; i < rounds; i++) {
        snprintf(name, sizeof(name), "function_number_%u", (unsigned)i);
        give_back(i % live * 64, 64);
        give_name(i % live * 64, 64, name);
        if (stats_of().memory_bytes > most_bytes)
            most_bytes = stats_of().memory_bytes;
    }
    assert_true(most_bytes < live * 400);
    assert_name(FIRST_BLOCK, "function_number_49900");
    assert_name(FIRST_BLOCK + 64 * (live - 1), "function_number_49999");
}

/* ---- notices ------------------------------------------------------------------------------------ */

/* What a debugger that takes 2 ms to stop and go on does to a burst: seconds, if it were told of each. */
static void a_slow_debugger_is_told_less_often(void **state)
{
    (void)state;
    enum { names = 4000 };
    map_blocks(1);
    stop_ns = 2 * 1000 * 1000;
    for (uintptr_t i = 0; i < names; i++)
        give_name(i * 64, 64, "f");
    assert_true(notices < names / 4);
    /* One that attaches now finds all of them. */
    assert_name(FIRST_BLOCK + 64 * (names - 1), "f");
    unsigned before = notices;
    stop_ns = 0;
    give_name(names * 64, 64, "last");
    pageheap_exec_tools_gdb_flush(gdb);
    assert_true(notices > before);
    before = notices;
    pageheap_exec_tools_gdb_flush(gdb);
    assert_int_equal(notices, before); /* nothing is new */
}

/* A few names are all told, by whatever debugger. */
static void names_one_by_one_are_told_at_once(void **state)
{
    (void)state;
    map_blocks(1);
    stop_ns = 1000 * 1000;
    for (uintptr_t i = 0; i < 20; i++)
        give_name(i * 64, 64, "f");
    assert_int_equal(notices, 1 + 19 * 2);
}

/* A block whose file grew in the silence after a notice would be without any for that long. */
static void a_file_made_anew_is_told_at_once(void **state)
{
    (void)state;
    map_blocks(1);
    stop_ns = 700 * 1000 * 1000;
    give_name(0, 64, "f");
    stop_ns = 0;
    for (uintptr_t i = 1; i < 500; i++) {
        give_name(i * 64, 64, "f");
        assert_int_equal(count_known(), 1);
    }
}

static void two_tools_share_the_list(void **state)
{
    (void)state;
    pageheap_exec_tools_gdb *other = pageheap_exec_tools_gdb_open();
    const pageheap_exec_hooks *others = pageheap_exec_tools_gdb_hooks(other);
    map_blocks(1);
    others->block_mapped(others->ctx, at(FIRST_BLOCK + 5 * BLOCK_BYTES), BLOCK_BYTES);
    others->named(others->ctx, at(FIRST_BLOCK + 5 * BLOCK_BYTES), 64, "other");
    give_name(0, 64, "mine");
    assert_int_equal(count_files(), 2);
    assert_name(FIRST_BLOCK, "mine");
    assert_name(FIRST_BLOCK + 5 * BLOCK_BYTES, "other");
    pageheap_exec_tools_gdb_close(other);
    assert_int_equal(count_files(), 1);
    assert_name(FIRST_BLOCK, "mine");
}

static void *name_many(void *ctx)
{
    uintptr_t block = *(const uintptr_t *)ctx * BLOCK_BYTES;
    for (uintptr_t i = 0; i < 2000; i++) {
        give_name(block + i * 64, 64, "f");
        if (i % 3 == 0)
            give_back(block + i * 64, 64);
    }
    return NULL;
}

static void threads_may_name_at_once(void **state)
{
    (void)state;
    enum { threads = 4 };
    pthread_t thread[threads];
    uintptr_t block[threads];
    map_blocks(threads);
    for (uintptr_t i = 0; i < threads; i++) {
        block[i] = i;
        assert_int_equal(pthread_create(&thread[i], NULL, name_many, &block[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(count_files(), threads);
    assert_int_equal(stats_of().live_names, threads * (2000 - 667));
}

static void *name_slowly(void *ctx)
{
    (void)ctx;
    give_name(0, 64, "a");
    return NULL;
}

/* The child has only tables that nobody was changing. */
static void a_fork_waits_for_hooks(void **state)
{
    (void)state;
    pthread_t thread;
    map_blocks(1);
    stop_ns = 100 * 1000 * 1000;
    assert_int_equal(pthread_create(&thread, NULL, name_slowly, NULL), 0);
    while (!is_stopped)
        sched_yield();
    pid_t child = fork();
    if (child == 0)
        _exit(is_stopped ? 1 : 0);
    pthread_join(thread, NULL);
    assert_child_ends_well(child);
}

static void requests_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    pageheap_exec_tools_stats stats = { .struct_bytes = 0 };
    assert_int_equal(pageheap_exec_tools_gdb_get_stats(gdb, &stats), PAGEHEAP_EINVAL);
    assert_int_equal(pageheap_exec_tools_gdb_get_stats(gdb, NULL), PAGEHEAP_EINVAL);
    assert_null(pageheap_exec_tools_gdb_hooks(NULL));
    pageheap_exec_tools_gdb_flush(NULL);
    pageheap_exec_tools_gdb_close(NULL);
}

#define WITH_GDB(test) cmocka_unit_test_setup_teardown(test, open_gdb, close_gdb)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_GDB(names_are_found_by_address),
        WITH_GDB(a_block_has_one_file),
        WITH_GDB(a_freed_name_is_gone),
        WITH_GDB(a_shrunk_span_keeps_its_name),
        WITH_GDB(a_new_name_takes_the_old_ones_place),
        WITH_GDB(code_across_blocks_is_named_in_each),
        WITH_GDB(unmapped_blocks_take_their_files_along),
        WITH_GDB(blocks_may_be_told_of_late),
        WITH_GDB(churn_needs_no_more_memory),
        WITH_GDB(a_slow_debugger_is_told_less_often),
        WITH_GDB(names_one_by_one_are_told_at_once),
        WITH_GDB(a_file_made_anew_is_told_at_once),
        WITH_GDB(two_tools_share_the_list),
        WITH_GDB(threads_may_name_at_once),
        WITH_GDB(requests_that_make_no_sense_are_refused),
    };
    const struct CMUnitTest fork_tests[] = {
        WITH_GDB(a_fork_waits_for_hooks),
    };
    if (argc > 1 && strcmp(argv[1], "fork") == 0)
        return cmocka_run_group_tests(fork_tests, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
