/* SPDX-License-Identifier: MIT */
/* test_jitdump.c -- jitdumps, read as perf reads them: the header, each record, the marker, and when a
 * record is written. */
#include "scene.h"

#include "child.h"

#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <time.h>

#define CODE_BYTES ((size_t)16 << 10)

static unsigned char *code; /* stands for the memory of a heap */
static int refused;         /* the errno for executable mappings, or 0 */

void *__real_mmap(void *addr, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *addr, size_t bytes, int protection, int flags, int file, off_t offset);

void *__wrap_mmap(void *addr, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if (refused != 0 && (protection & PROT_EXEC) != 0) {
        errno = refused;
        return MAP_FAILED;
    }
    return __real_mmap(addr, bytes, protection, flags, file, offset);
}

/* ---- reading ------------------------------------------------------------------------------- */

struct load {
    uint32_t process;
    uint32_t thread;
    uint64_t vma;
    uint64_t start;
    uint64_t code_bytes;
    uint64_t number;
    const char *name;
    const unsigned char *bytes;
};

enum { loads_max = 64 };

struct dump {
    char *content;
    uint32_t process;
    uint32_t machine;
    size_t load_count;
    struct load loads[loads_max];
    bool is_closed;
};

static uint64_t number_at(const char *from, size_t bytes)
{
    uint32_t half;
    uint64_t whole;
    memcpy(&half, from, sizeof(half));
    memcpy(&whole, from, sizeof(whole));
    return bytes == 4 ? half : whole;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void read_load(struct dump *dump, const char *record, uint64_t record_bytes)
{
    assert_true(dump->load_count < loads_max);
    struct load *load = &dump->loads[dump->load_count++];
    load->process = (uint32_t)number_at(record + 16, 4);
    load->thread = (uint32_t)number_at(record + 20, 4);
    load->vma = number_at(record + 24, 8);
    load->start = number_at(record + 32, 8);
    load->code_bytes = number_at(record + 40, 8);
    load->number = number_at(record + 48, 8);
    load->name = record + 56;
    load->bytes = (const unsigned char *)load->name + strlen(load->name) + 1;
    assert_int_equal(56 + strlen(load->name) + 1 + load->code_bytes, record_bytes);
}

/* Read a file to its last byte; every length in it must be right for that. */
static struct dump read_dump(const char *path)
{
    struct dump dump = { .content = NULL };
    size_t bytes;
    char *content = dump.content = scene_read(path, &bytes);
    assert_non_null(content);
    assert_true(bytes >= 40);
    assert_int_equal(number_at(content, 4), 0x4a695444);
    assert_int_equal(number_at(content + 4, 4), 1);
    assert_int_equal(number_at(content + 8, 4), 40);
    dump.machine = (uint32_t)number_at(content + 12, 4);
    dump.process = (uint32_t)number_at(content + 20, 4);
    uint64_t time_ns = number_at(content + 24, 8);
    assert_int_equal(number_at(content + 32, 8), 0);
    for (size_t i = 40; i < bytes;) {
        assert_false(dump.is_closed);
        assert_true(bytes - i >= 16);
        uint64_t kind = number_at(content + i, 4), record_bytes = number_at(content + i + 4, 4);
        assert_true(record_bytes >= 16 && record_bytes <= bytes - i);
        assert_true(number_at(content + i + 8, 8) >= time_ns);
        time_ns = number_at(content + i + 8, 8);
        assert_true(kind == 0 || kind == 3);
        if (kind == 0)
            read_load(&dump, content + i, record_bytes);
        else
            dump.is_closed = true;
        i += record_bytes;
    }
    assert_true(time_ns <= now_ns());
    return dump;
}

static const char *path_of(struct scene *scene, pid_t process)
{
    char name[64];
    snprintf(name, sizeof(name), "jit-%ld.dump", (long)process);
    return scene_path(scene, name);
}

static void assert_load(const struct dump *dump, size_t i, size_t offset, size_t bytes, const char *name)
{
    assert_true(i < dump->load_count);
    const struct load *load = &dump->loads[i];
    assert_string_equal(load->name, name);
    assert_int_equal(load->start, (uintptr_t)code + offset);
    assert_int_equal(load->vma, load->start);
    assert_int_equal(load->code_bytes, bytes);
    assert_int_equal(load->number, i);
    assert_int_equal(load->process, dump->process);
    assert_memory_equal(load->bytes, code + offset, bytes);
}

/* ---- writing ------------------------------------------------------------------------------- */

static int make_code(void **state)
{
    code = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < CODE_BYTES; i++)
        code[i] = (unsigned char)(i * 7 + i / 256);
    refused = 0;
    return scene_open(state);
}

static int drop_code(void **state)
{
    munmap(code, CODE_BYTES);
    refused = 0;
    return scene_close(state);
}

static pageheap_exec_tools_jitdump *open_in(struct scene *scene, uint64_t limit_bytes)
{
    pageheap_exec_tools_options options = PAGEHEAP_EXEC_TOOLS_OPTIONS_INIT;
    options.path = scene->folder;
    options.limit_bytes = limit_bytes;
    return pageheap_exec_tools_jitdump_open(&options);
}

static void give_name(const pageheap_exec_tools_jitdump *dump, size_t offset, size_t bytes, const char *name)
{
    const pageheap_exec_hooks *hooks = pageheap_exec_tools_jitdump_hooks(dump);
    hooks->named(hooks->ctx, code + offset, bytes, name);
}

static void publish(const pageheap_exec_tools_jitdump *dump, size_t offset, size_t bytes)
{
    const pageheap_exec_hooks *hooks = pageheap_exec_tools_jitdump_hooks(dump);
    hooks->published(hooks->ctx, code + offset, bytes);
}

static void give_back(const pageheap_exec_tools_jitdump *dump, size_t offset, size_t bytes)
{
    const pageheap_exec_hooks *hooks = pageheap_exec_tools_jitdump_hooks(dump);
    hooks->freed(hooks->ctx, code + offset, bytes);
}

static pageheap_exec_tools_stats stats_of(pageheap_exec_tools_jitdump *dump)
{
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    assert_int_equal(pageheap_exec_tools_jitdump_get_stats(dump, &stats), 0);
    return stats;
}

/* ---- records ------------------------------------------------------------------------------- */

static void a_name_brings_its_code(void **state)
{
    struct scene *scene = *state;
    uint64_t began_ns = now_ns();
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    assert_non_null(writer);
    give_name(writer, 64, 100, "first");
    give_name(writer, 4096, 5000, "second of two(int, char)");
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.process, getpid());
    assert_true(number_at(dump.content + 24, 8) >= began_ns);
    assert_false(dump.is_closed);
    assert_int_equal(dump.load_count, 2);
    assert_load(&dump, 0, 64, 100, "first");
    assert_load(&dump, 1, 4096, 5000, "second of two(int, char)");
    free(dump.content);
    assert_int_equal(stats_of(writer).told_names, 2);
    assert_int_equal(stats_of(writer).live_names, 2);
    pageheap_exec_tools_jitdump_close(writer);
    dump = read_dump(path_of(scene, getpid()));
    assert_true(dump.is_closed);
    free(dump.content);
}

/* perf takes its own for what is unknown, so the test program's header is what to agree with. */
static void the_machine_is_this_one(void **state)
{
    struct scene *scene = *state;
    size_t bytes;
    char *program = scene_read("/proc/self/exe", &bytes);
    assert_non_null(program);
    Elf64_Half machine; /* at the same place in both classes */
    memcpy(&machine, program + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
    free(program);
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.machine, machine);
    free(dump.content);
    pageheap_exec_tools_jitdump_close(writer);
}

static void a_whole_publish_writes_again(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    publish(writer, 0, 256); /* nothing has a name yet */
    give_name(writer, 0, 64, "a");
    give_name(writer, 64, 64, "b");
    publish(writer, 0, 63);   /* a patch of a */
    publish(writer, 1, 63);   /* another */
    publish(writer, 32, 96);  /* half of a, and b */
    publish(writer, 64, 128); /* b */
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 4);
    assert_load(&dump, 0, 0, 64, "a");
    assert_load(&dump, 1, 64, 64, "b");
    assert_load(&dump, 2, 64, 64, "b");
    assert_load(&dump, 3, 64, 64, "b");
    free(dump.content);
    pageheap_exec_tools_jitdump_close(writer);
}

static void a_freed_name_is_forgotten(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    give_name(writer, 0, 64, "a");
    give_name(writer, 64, 64, "b");
    give_name(writer, 128, 64, "c");
    give_back(writer, 64, 64);
    assert_int_equal(stats_of(writer).live_names, 2);
    publish(writer, 0, 192);
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 5);
    assert_load(&dump, 3, 0, 64, "a");
    assert_load(&dump, 4, 128, 64, "c");
    free(dump.content);
    give_back(writer, 0, 192);
    assert_int_equal(stats_of(writer).live_names, 0);
    assert_int_equal(stats_of(writer).memory_bytes, 0);
    pageheap_exec_tools_jitdump_close(writer);
}

static void a_shrunk_span_keeps_its_name(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    give_name(writer, 0, 256, "a");
    give_back(writer, 64, 192);
    publish(writer, 0, 64);
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 2);
    assert_load(&dump, 1, 0, 64, "a");
    free(dump.content);
    pageheap_exec_tools_jitdump_close(writer);
}

static void a_new_name_takes_the_old_ones_place(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    give_name(writer, 0, 64, "before");
    give_name(writer, 0, 128, "after");
    assert_int_equal(stats_of(writer).live_names, 1);
    publish(writer, 0, 128);
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 3);
    assert_load(&dump, 2, 0, 128, "after");
    free(dump.content);
    pageheap_exec_tools_jitdump_close(writer);
}

/* Memory that nothing can be read from: no fault, and no torn record. */
static void unreadable_code_is_dropped(void **state)
{
    struct scene *scene = *state;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    give_name(writer, 0, 64, "a");
    assert_int_equal(mprotect(code + page_bytes, page_bytes, PROT_NONE), 0);
    errno = 4711;
    give_name(writer, page_bytes, 64, "unreadable");
    give_name(writer, page_bytes - 32, 64, "half readable");
    assert_int_equal(errno, 4711);
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 1);
    free(dump.content);
    give_name(writer, 64, 64, "b");
    assert_int_equal(mprotect(code + page_bytes, page_bytes, PROT_READ), 0);
    dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 2);
    assert_load(&dump, 0, 0, 64, "a");
    assert_load(&dump, 1, 64, 64, "b");
    free(dump.content);
    assert_int_equal(stats_of(writer).dropped_names, 2);
    assert_int_equal(stats_of(writer).last_error, EFAULT);
    pageheap_exec_tools_jitdump_close(writer);
}

static void the_limit_holds(void **state)
{
    struct scene *scene = *state;
    assert_null(open_in(scene, 39));
    assert_int_equal(errno, EFBIG);
    assert_int_equal(access(path_of(scene, getpid()), F_OK), -1);
    pageheap_exec_tools_jitdump *writer = open_in(scene, 40 + 56 + 2 + 64);
    assert_non_null(writer);
    give_name(writer, 0, 65, "a");
    give_name(writer, 0, 64, "b");
    give_name(writer, 0, 1, "c");
    errno = 4711;
    pageheap_exec_tools_stats stats = stats_of(writer);
    assert_int_equal(errno, 4711);
    assert_int_equal(stats.told_names, 1);
    assert_int_equal(stats.dropped_names, 2);
    assert_int_equal(stats.last_error, EFBIG);
    pageheap_exec_tools_jitdump_close(writer);
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 1);
    assert_string_equal(dump.loads[0].name, "b");
    free(dump.content);
}

/* ---- the marker ------------------------------------------------------------------------------ */

/* The protection of the mapping of a file, as in /proc/self/maps, or "" if there is none. */
static void find_mapping(const char *path, char ret_protection[5])
{
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    ret_protection[0] = '\0';
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, path) != NULL)
            sscanf(line, "%*s %4s", ret_protection);
    }
    fclose(maps);
}

static void the_marker_is_executable_and_not_writable(void **state)
{
    struct scene *scene = *state;
    char protection[5];
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    const char *path = path_of(scene, getpid());
    find_mapping(path, protection);
    assert_string_equal(protection, "r-xp");
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0600);
    pageheap_exec_tools_jitdump_close(writer);
    find_mapping(path, protection);
    assert_string_equal(protection, "");
}

static void a_refused_marker_refuses_the_open(void **state)
{
    struct scene *scene = *state;
    refused = EPERM; /* a folder that is mounted noexec */
    assert_null(open_in(scene, 0));
    assert_int_equal(errno, EPERM);
    refused = EACCES;
    assert_null(open_in(scene, 0));
    assert_int_equal(errno, EACCES);
    assert_int_equal(access(path_of(scene, getpid()), F_OK), -1);
}

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

static void it_works_where_writable_code_is_denied(void **state)
{
    struct scene *scene = *state;
    pid_t child = fork();
    if (child == 0) {
        child_begin(20);
        /* Without it (before Linux 6.3) this is one more open. */
        prctl(PR_SET_MDWE, 1, 0, 0, 0);
        pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
        REQUIRE(writer != NULL);
        give_name(writer, 0, 64, "a");
        REQUIRE(stats_of(writer).told_names == 1);
        pageheap_exec_tools_jitdump_close(writer);
        _exit(0);
    }
    assert_child_ends_well(child);
}

/* ---- fork ------------------------------------------------------------------------------------- */

static void run_child(struct scene *scene, pageheap_exec_tools_jitdump *writer)
{
    char protection[5];
    child_begin(20);
    give_name(writer, 192, 64, "child");
    find_mapping(path_of(scene, getppid()), protection);
    REQUIRE(strcmp(protection, "") == 0);
    find_mapping(path_of(scene, getpid()), protection);
    REQUIRE(strcmp(protection, "r-xp") == 0);
    pageheap_exec_tools_jitdump_close(writer);
    _exit(0);
}

static void a_child_begins_with_all_that_is_alive(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    give_name(writer, 0, 64, "a");
    give_name(writer, 64, 64, "freed");
    give_name(writer, 128, 64, "b");
    give_back(writer, 64, 64);
    pid_t child = fork();
    if (child == 0)
        run_child(scene, writer);
    assert_child_ends_well(child);
    give_name(writer, 256, 64, "parent");
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 4);
    assert_load(&dump, 3, 256, 64, "parent");
    free(dump.content);
    dump = read_dump(path_of(scene, child));
    assert_int_equal(dump.process, child);
    assert_int_equal(dump.load_count, 3);
    assert_load(&dump, 0, 0, 64, "a");
    assert_load(&dump, 1, 128, 64, "b");
    assert_load(&dump, 2, 192, 64, "child");
    assert_true(dump.is_closed);
    free(dump.content);
    pageheap_exec_tools_jitdump_close(writer);
}

static void a_child_does_not_end_its_parents_file(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    give_name(writer, 0, 64, "a");
    pid_t child = fork();
    if (child == 0) {
        give_back(writer, 0, 64);
        REQUIRE(stats_of(writer).told_names == 0 && stats_of(writer).file_bytes == 0);
        pageheap_exec_tools_jitdump_close(writer);
        _exit(0);
    }
    assert_child_ends_well(child);
    struct dump dump = read_dump(path_of(scene, getpid()));
    assert_int_equal(dump.load_count, 1);
    assert_false(dump.is_closed);
    free(dump.content);
    assert_int_equal(access(path_of(scene, child), F_OK), -1);
    pageheap_exec_tools_jitdump_close(writer);
}

static void a_child_that_may_not_write_runs_on(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_jitdump *writer = open_in(scene, 0);
    give_name(writer, 0, 64, "a");
    pid_t child = fork();
    if (child == 0) {
        child_begin(20);
        refused = EPERM;
        give_name(writer, 64, 64, "b");
        pageheap_exec_tools_stats stats = stats_of(writer);
        REQUIRE(stats.told_names == 0 && stats.dropped_names == 1 && stats.live_names == 2);
        REQUIRE(access(path_of(scene, getpid()), F_OK) == -1);
        pageheap_exec_tools_jitdump_close(writer);
        _exit(0);
    }
    assert_child_ends_well(child);
    pageheap_exec_tools_jitdump_close(writer);
}

#define WITH_CODE(test) cmocka_unit_test_setup_teardown(test, make_code, drop_code)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_CODE(a_name_brings_its_code),
        WITH_CODE(the_machine_is_this_one),
        WITH_CODE(a_whole_publish_writes_again),
        WITH_CODE(a_freed_name_is_forgotten),
        WITH_CODE(a_shrunk_span_keeps_its_name),
        WITH_CODE(a_new_name_takes_the_old_ones_place),
        WITH_CODE(unreadable_code_is_dropped),
        WITH_CODE(the_limit_holds),
        WITH_CODE(the_marker_is_executable_and_not_writable),
        WITH_CODE(a_refused_marker_refuses_the_open),
        WITH_CODE(a_child_begins_with_all_that_is_alive),
        WITH_CODE(a_child_does_not_end_its_parents_file),
        WITH_CODE(a_child_that_may_not_write_runs_on),
    };
    const struct CMUnitTest hardened_tests[] = {
        WITH_CODE(it_works_where_writable_code_is_denied),
    };
    if (argc > 1 && strcmp(argv[1], "hardened") == 0)
        return cmocka_run_group_tests(hardened_tests, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
