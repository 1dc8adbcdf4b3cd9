/* SPDX-License-Identifier: MIT */
/* test_perfmap.c -- perf maps: what is in the file, which files are never touched, how long it may get, and
 * whose it is. */
#include "scene.h"

#include "child.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

static pageheap_exec_tools_perfmap *open_at(const char *path, uint64_t limit_bytes)
{
    pageheap_exec_tools_options options = PAGEHEAP_EXEC_TOOLS_OPTIONS_INIT;
    options.path = path;
    options.limit_bytes = limit_bytes;
    return pageheap_exec_tools_perfmap_open(&options);
}

static void give_name(const pageheap_exec_tools_perfmap *map, uintptr_t start, size_t bytes, const char *name)
{
    const pageheap_exec_hooks *hooks = pageheap_exec_tools_perfmap_hooks(map);
    hooks->named(hooks->ctx, at(start), bytes, name);
}

static pageheap_exec_tools_stats stats_of(pageheap_exec_tools_perfmap *map)
{
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    assert_int_equal(pageheap_exec_tools_perfmap_get_stats(map, &stats), 0);
    return stats;
}

static void assert_content(const char *path, const char *expected)
{
    size_t bytes;
    char *content = scene_read(path, &bytes);
    assert_non_null(content);
    assert_string_equal(content, expected);
    free(content);
}

/* ---- the file ---------------------------------------------------------------------------- */

static void each_name_is_a_line(void **state)
{
    const char *path = scene_path(*state, "map");
    pageheap_exec_tools_perfmap *map = open_at(path, 0);
    assert_non_null(map);
    give_name(map, 0x7f0000001000, 0x40, "first");
    assert_content(path, "7f0000001000 40 first\n");
    give_name(map, 0xffff, 7, "second of two(int, char)");
    assert_content(path, "7f0000001000 40 first\nffff 7 second of two(int, char)\n");
    pageheap_exec_tools_stats stats = stats_of(map);
    assert_int_equal(stats.told_names, 2);
    assert_int_equal(stats.dropped_names, 0);
    assert_int_equal(stats.last_error, 0);
    assert_int_equal(stats.file_bytes, strlen("7f0000001000 40 first\nffff 7 second of two(int, char)\n"));
    pageheap_exec_tools_perfmap_close(map);
    assert_content(path, "7f0000001000 40 first\nffff 7 second of two(int, char)\n");
}

static void the_default_is_where_perf_looks(void **state)
{
    (void)state;
    char path[64];
    struct stat found;
    snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
    mode_t mask_before = umask(0);
    pageheap_exec_tools_perfmap *map = pageheap_exec_tools_perfmap_open(NULL);
    umask(mask_before);
    assert_non_null(map);
    assert_int_equal(lstat(path, &found), 0);
    assert_int_equal(found.st_mode, S_IFREG | 0600);
    pageheap_exec_tools_perfmap_close(map);
    unlink(path);
}

static void a_name_cannot_end_its_line(void **state)
{
    const char *path = scene_path(*state, "map");
    pageheap_exec_tools_perfmap *map = open_at(path, 0);
    give_name(map, 16, 1, "a\n10 1 b\t\x7f");
    give_name(map, 16, 1, "");
    give_name(map, 16, 1, "gr\xc3\xbc\xc3\x9f");
    assert_content(path, "10 1 a?10 1 b??\n10 1 ?\n10 1 gr\xc3\xbc\xc3\x9f\n");
    pageheap_exec_tools_perfmap_close(map);
}

static void a_long_name_is_cut(void **state)
{
    const char *path = scene_path(*state, "map");
    pageheap_exec_tools_perfmap *map = open_at(path, 0);
    char name[5000];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    give_name(map, 16, 1, name);
    assert_int_equal(stats_of(map).file_bytes, strlen("10 1 \n") + 1023);
    pageheap_exec_tools_perfmap_close(map);
}

static void hooks_leave_errno_alone(void **state)
{
    pageheap_exec_tools_perfmap *map = open_at(scene_path(*state, "map"), 10);
    errno = 4711;
    give_name(map, 16, 1, "n");
    give_name(map, 16, 1, "too long for ten bytes");
    assert_int_equal(errno, 4711);
    pageheap_exec_tools_perfmap_close(map);
    assert_int_equal(errno, 4711);
}

static void requests_that_make_no_sense_are_refused(void **state)
{
    struct scene *scene = *state;
    pageheap_exec_tools_options options = PAGEHEAP_EXEC_TOOLS_OPTIONS_INIT;
    options.path = scene_path(scene, "map");
    options.flags = 1;
    assert_null(pageheap_exec_tools_perfmap_open(&options));
    assert_int_equal(errno, EINVAL);
    options.flags = 0;
    options.struct_bytes--;
    assert_null(pageheap_exec_tools_perfmap_open(&options));
    assert_int_equal(errno, EINVAL);
    assert_null(open_at(scene_path(scene, "no/such/folder"), 0));
    assert_int_equal(errno, ENOENT);
    assert_null(pageheap_exec_tools_perfmap_hooks(NULL));
    pageheap_exec_tools_stats stats = { .struct_bytes = sizeof(stats) };
    assert_int_equal(pageheap_exec_tools_perfmap_get_stats(NULL, &stats), PAGEHEAP_EINVAL);
    pageheap_exec_tools_perfmap_close(NULL);
}

static void stats_fill_what_the_caller_has(void **state)
{
    pageheap_exec_tools_perfmap *map = open_at(scene_path(*state, "map"), 0);
    give_name(map, 16, 1, "n");
    pageheap_exec_tools_stats stats;
    memset(&stats, 0x5a, sizeof(stats));
    stats.struct_bytes = offsetof(pageheap_exec_tools_stats, dropped_names);
    assert_int_equal(pageheap_exec_tools_perfmap_get_stats(map, &stats), 0);
    assert_int_equal(stats.told_names, 1);
    assert_int_equal(stats.dropped_names, UINT64_C(0x5a5a5a5a5a5a5a5a));
    stats.struct_bytes = 3;
    assert_int_equal(pageheap_exec_tools_perfmap_get_stats(map, &stats), PAGEHEAP_EINVAL);
    pageheap_exec_tools_perfmap_close(map);
}

/* ---- files that somebody put there ---------------------------------------------------------- */

static void a_symbolic_link_is_refused(void **state)
{
    struct scene *scene = *state;
    char victim[512];
    snprintf(victim, sizeof(victim), "%s", scene_path(scene, "victim"));
    scene_write(victim, "precious");
    const char *path = scene_path(scene, "map");
    assert_int_equal(symlink(victim, path), 0);
    assert_null(open_at(path, 0));
    assert_int_equal(errno, EEXIST);
    assert_content(victim, "precious");
    /* One that leads nowhere would make a file there. */
    assert_int_equal(unlink(victim), 0);
    assert_null(open_at(path, 0));
    assert_int_equal(errno, EEXIST);
    assert_int_equal(access(victim, F_OK), -1);
}

static void what_is_no_file_is_refused(void **state)
{
    const char *path = scene_path(*state, "map");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(open_at(path, 0));
    assert_int_equal(errno, EEXIST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_null(open_at(path, 0));
    assert_int_equal(errno, EEXIST);
    assert_int_equal(rmdir(path), 0);
}

/* What a process of the same number left is replaced, and its other names keep what they name. */
static void an_old_file_is_replaced(void **state)
{
    struct scene *scene = *state;
    char other[512];
    snprintf(other, sizeof(other), "%s", scene_path(scene, "other"));
    const char *path = scene_path(scene, "map");
    scene_write(path, "stale\n");
    assert_int_equal(link(path, other), 0);
    pageheap_exec_tools_perfmap *map = open_at(path, 0);
    assert_non_null(map);
    give_name(map, 16, 1, "n");
    assert_content(path, "10 1 n\n");
    assert_content(other, "stale\n");
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0600);
    pageheap_exec_tools_perfmap_close(map);
}

/* ---- how long it gets ------------------------------------------------------------------------ */

static void the_limit_holds(void **state)
{
    const char *path = scene_path(*state, "map");
    pageheap_exec_tools_perfmap *map = open_at(path, 20);
    give_name(map, 16, 1, "fits");
    give_name(map, 16, 1, "does not fit");
    give_name(map, 16, 1, "so");
    assert_content(path, "10 1 fits\n10 1 so\n");
    pageheap_exec_tools_stats stats = stats_of(map);
    assert_int_equal(stats.told_names, 2);
    assert_int_equal(stats.dropped_names, 1);
    assert_int_equal(stats.last_error, EFBIG);
    pageheap_exec_tools_perfmap_close(map);
}

/* A program under `ulimit -f` is not ended by a signal for want of a profile. */
static void a_file_size_limit_is_not_run_into(void **state)
{
    const char *path = scene_path(*state, "map");
    pid_t child = fork();
    if (child == 0) {
        child_begin(20);
        pageheap_exec_tools_perfmap *map = open_at(path, 0);
        REQUIRE(map != NULL);
        struct rlimit limit = { 64, 64 };
        REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        for (int i = 0; i < 20; i++)
            give_name(map, 16, 1, "name");
        pageheap_exec_tools_stats stats = stats_of(map);
        REQUIRE(stats.told_names == 6 && stats.dropped_names == 14 && stats.last_error == EFBIG);
        pageheap_exec_tools_perfmap_close(map);
        _exit(0);
    }
    assert_child_ends_well(child);
}

/* ---- whose it is ------------------------------------------------------------------------------- */

static void a_child_has_a_file_of_its_own(void **state)
{
    struct scene *scene = *state;
    char path[512], name[64];
    snprintf(path, sizeof(path), "%s", scene_path(scene, "map"));
    pageheap_exec_tools_perfmap *map = open_at(path, 0);
    give_name(map, 16, 1, "before");
    pid_t child = fork();
    if (child == 0) {
        child_begin(20);
        give_name(map, 32, 1, "child");
        pageheap_exec_tools_stats stats = stats_of(map);
        REQUIRE(stats.told_names == 1 && stats.dropped_names == 0 && stats.last_error == 0);
        pageheap_exec_tools_perfmap_close(map);
        _exit(0);
    }
    give_name(map, 48, 1, "parent");
    assert_child_ends_well(child);
    assert_content(path, "10 1 before\n30 1 parent\n");
    snprintf(name, sizeof(name), "map.%ld", (long)child);
    assert_content(scene_path(scene, name), "10 1 before\n20 1 child\n");
    pageheap_exec_tools_perfmap_close(map);
}

static void a_child_that_names_nothing_has_none(void **state)
{
    struct scene *scene = *state;
    char name[64];
    pageheap_exec_tools_perfmap *map = open_at(scene_path(scene, "map"), 0);
    pid_t child = fork();
    if (child == 0) {
        pageheap_exec_tools_perfmap_close(map);
        _exit(0);
    }
    assert_child_ends_well(child);
    snprintf(name, sizeof(name), "map.%ld", (long)child);
    assert_int_equal(access(scene_path(scene, name), F_OK), -1);
    pageheap_exec_tools_perfmap_close(map);
}

static void a_child_by_default_has_its_own_number(void **state)
{
    (void)state;
    char path[64];
    pageheap_exec_tools_perfmap *map = pageheap_exec_tools_perfmap_open(NULL);
    assert_non_null(map);
    pid_t child = fork();
    if (child == 0) {
        give_name(map, 32, 1, "child");
        _exit(0);
    }
    assert_child_ends_well(child);
    snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)child);
    assert_content(path, "20 1 child\n");
    unlink(path);
    pageheap_exec_tools_perfmap_close(map);
    snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
    unlink(path);
}

enum { thread_count = 4, names_each = 2000, fork_rounds = 20 };

struct crew {
    pageheap_exec_tools_perfmap *map;
    int number;
};

static void *name_many(void *ctx)
{
    const struct crew *crew = ctx;
    char name[32];
    for (int i = 0; i < names_each; i++) {
        snprintf(name, sizeof(name), "thread_%d_%d", crew->number, i);
        give_name(crew->map, 16, 1, name);
    }
    return NULL;
}

static void start_crew(pageheap_exec_tools_perfmap *map, struct crew *crew, pthread_t *threads)
{
    for (int i = 0; i < thread_count; i++) {
        crew[i] = (struct crew){ map, i };
        assert_int_equal(pthread_create(&threads[i], NULL, name_many, &crew[i]), 0);
    }
}

static void threads_write_whole_lines(void **state)
{
    const char *path = scene_path(*state, "map");
    pageheap_exec_tools_perfmap *map = open_at(path, 0);
    struct crew crew[thread_count];
    pthread_t threads[thread_count];
    start_crew(map, crew, threads);
    for (int i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    size_t bytes;
    int next[thread_count] = { 0 };
    char *content = scene_read(path, &bytes);
    assert_non_null(content);
    for (char *line = content; *line != '\0'; line = strchr(line, '\n') + 1) {
        int number, i;
        assert_int_equal(sscanf(line, "10 1 thread_%d_%d\n", &number, &i), 2);
        assert_int_equal(i, next[number]++);
    }
    for (int i = 0; i < thread_count; i++)
        assert_int_equal(next[i], names_each);
    free(content);
    pageheap_exec_tools_perfmap_close(map);
}

static void a_fork_amid_threads_finds_no_lock_taken(void **state)
{
    pageheap_exec_tools_perfmap *map = open_at(scene_path(*state, "map"), 0);
    struct crew crew[thread_count];
    pthread_t threads[thread_count];
    start_crew(map, crew, threads);
    for (int i = 0; i < fork_rounds; i++) {
        pid_t child = fork();
        if (child == 0) {
            child_begin(20);
            give_name(map, 32, 1, "child");
            _exit(stats_of(map).told_names == 1 ? 0 : 1);
        }
        assert_child_ends_well(child);
    }
    for (int i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    pageheap_exec_tools_perfmap_close(map);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(each_name_is_a_line),
        cmocka_unit_test(the_default_is_where_perf_looks),
        IN_A_FOLDER(a_name_cannot_end_its_line),
        IN_A_FOLDER(a_long_name_is_cut),
        IN_A_FOLDER(hooks_leave_errno_alone),
        IN_A_FOLDER(requests_that_make_no_sense_are_refused),
        IN_A_FOLDER(stats_fill_what_the_caller_has),
        IN_A_FOLDER(a_symbolic_link_is_refused),
        IN_A_FOLDER(what_is_no_file_is_refused),
        IN_A_FOLDER(an_old_file_is_replaced),
        IN_A_FOLDER(the_limit_holds),
        IN_A_FOLDER(a_file_size_limit_is_not_run_into),
        IN_A_FOLDER(a_child_has_a_file_of_its_own),
        IN_A_FOLDER(a_child_that_names_nothing_has_none),
        cmocka_unit_test(a_child_by_default_has_its_own_number),
        IN_A_FOLDER(threads_write_whole_lines),
    };
    const struct CMUnitTest fork_tests[] = {
        IN_A_FOLDER(a_fork_amid_threads_finds_no_lock_taken),
    };
    if (argc > 1 && strcmp(argv[1], "fork") == 0)
        return cmocka_run_group_tests(fork_tests, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
