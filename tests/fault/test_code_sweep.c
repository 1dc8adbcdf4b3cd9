/* SPDX-License-Identifier: MIT */
/* test_code_sweep.c -- an executable heap whose system calls fail: the first, the second, ..., each once and
 * for ever, with several errnos.
 *
 * In each run, a process of its own, a span is served or refused, what live spans hold stays, a valid free
 * succeeds, and the heap's own check holds; when the system is well again everything is served; and after
 * destroy no mapping and no descriptor is left.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "child.h"
#include "os/code_os.h"
#include "os/os.h"
#include "pageheap/exec.h"

#define CALLS_MAX    1000 /* no scene makes as many calls */
#define CASE_SECONDS 20
#define SPANS_MAX    64
#define NEAR_BYTES   (2 << 20)  /* one size, so that the search is at most 64 calls */
#define SMALL_BYTES  (16 << 20) /* in such a reservation no long spans are asked for */

/* ---- calls that fail ------------------------------------------------------------------- */

typedef struct fault_plan {
    uint64_t fail_at; /* number of the call, from 1; 0: none */
    bool for_ever;
    int error;
} fault_plan;

static ph_os_calls real;
static ph_code_os_calls real_code;
static fault_plan plan;
static uint64_t calls, faults, unmap_faults;

static bool is_to_fail(void)
{
    calls++;
    bool fails = plan.fail_at != 0 && (calls == plan.fail_at || (plan.for_ever && calls > plan.fail_at));
    faults += fails;
    return fails;
}

#define FAILING(table, name, parameters, arguments)                                                          \
    static int failing_##name parameters                                                                     \
    {                                                                                                        \
        return is_to_fail() ? -plan.error : table.name arguments;                                            \
    }

FAILING(real, reserve, (size_t bytes, void **ret_base), (bytes, ret_base))
FAILING(real, map, (size_t bytes, void **ret_base), (bytes, ret_base))
FAILING(real, advise, (void *base, size_t bytes, enum ph_advice advice), (base, bytes, advice))
FAILING(real_code, reserve_at, (void *base, size_t bytes), (base, bytes))
FAILING(real_code, hide, (void *base, size_t bytes), (base, bytes))
FAILING(real_code, file_create, (int *ret_file), (ret_file))
FAILING(real_code, file_resize, (int file, size_t bytes), (file, bytes))
FAILING(real_code, file_reopen, (int file, int *ret_reader), (file, ret_reader))
FAILING(real_code, file_map, (int file, void *base, size_t bytes, enum ph_access access),
        (file, base, bytes, access))
FAILING(real_code, map_shared, (void *base, size_t bytes, enum ph_access access), (base, bytes, access))
FAILING(real_code, map_private, (void *base, size_t bytes, enum ph_access access), (base, bytes, access))
FAILING(real_code, duplicate, (void *from, void *to, size_t bytes), (from, to, bytes))
FAILING(real_code, protect, (void *base, size_t bytes, enum ph_access access), (base, bytes, access))
FAILING(real_code, remove, (void *writable, size_t bytes), (writable, bytes))
FAILING(real_code, keep_from_child, (void *base, size_t bytes), (base, bytes))
FAILING(real_code, collapse, (void *base, size_t bytes), (base, bytes))
FAILING(real_code, memory_open, (int *ret_memory), (ret_memory))
FAILING(real_code, memory_write, (int memory, uintptr_t at, const void *from, size_t bytes),
        (memory, at, from, bytes))
FAILING(real_code, sync_cores, (void), ())

/* Where the system will not unmap, something is left, and that is all there is to say. */
static int failing_unmap(void *base, size_t bytes)
{
    if (!is_to_fail())
        return real.unmap(base, bytes);
    unmap_faults++;
    return -plan.error;
}

static void install(void)
{
    real = ph_os;
    real_code = ph_code_os;
    ph_os.reserve = failing_reserve;
    ph_os.map = failing_map;
    ph_os.unmap = failing_unmap;
    ph_os.advise = failing_advise;
    ph_code_os = (ph_code_os_calls){
        .reserve_at = failing_reserve_at,
        .hide = failing_hide,
        .file_create = failing_file_create,
        .file_resize = failing_file_resize,
        .file_reopen = failing_file_reopen,
        .file_map = failing_file_map,
        .file_close = real_code.file_close, /* a failed close has closed all the same */
        .map_shared = failing_map_shared,
        .map_private = failing_map_private,
        .duplicate = failing_duplicate,
        .protect = failing_protect,
        .remove = failing_remove,
        .keep_from_child = failing_keep_from_child,
        .collapse = failing_collapse,
        .seal = real_code.seal,
        .memory_open = failing_memory_open,
        .memory_write = failing_memory_write,
        .sync_cores = failing_sync_cores,
    };
}

/* ---- what is left ---------------------------------------------------------------------- */

typedef struct footprint {
    uint64_t hidden_bytes, code_bytes, files;
} footprint;

/* Address space without access, mappings that are executable or shared and have no file, and descriptors. */
static footprint measure(void)
{
    footprint found = { 0, 0, 0 };
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char access[5], name[256] = "";
        REQUIRE(sscanf(line, "%lx-%lx %4s %*s %*s %*s %255s", &from, &to, access, name) >= 3);
        bool is_ours =
            name[0] == 0 || strstr(name, "pageheap-code") != NULL || strstr(name, "/dev/zero") != NULL;
        if (is_ours && strncmp(access, "---", 3) == 0)
            found.hidden_bytes += to - from;
        else if (is_ours && (access[2] == 'x' || access[3] == 's'))
            found.code_bytes += to - from;
    }
    fclose(maps);
    DIR *files = opendir("/proc/self/fd");
    REQUIRE(files != NULL);
    while (readdir(files) != NULL)
        found.files++;
    closedir(files);
    return found;
}

/* ---- the scene ------------------------------------------------------------------------- */

typedef struct book {
    pageheap_exec *heap;
    struct {
        unsigned char *rx;
        size_t bytes, written; /* from rx on, `pattern` */
        unsigned char pattern;
    } spans[SPANS_MAX];
    unsigned count;
} book;

static void check_all(const book *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        for (size_t at = 0; at < b->spans[i].written; at += 13)
            REQUIRE(b->spans[i].rx[at] == b->spans[i].pattern);
    }
    REQUIRE(pageheap_exec_check(b->heap) == 0);
}

static void write_span(book *b, unsigned i)
{
    static unsigned char code[4096];
    size_t bytes = b->spans[i].bytes < sizeof code ? b->spans[i].bytes : sizeof code;
    b->spans[i].pattern = (unsigned char)(17 * i + 1);
    memset(code, b->spans[i].pattern, bytes);
    int written = pageheap_exec_write(b->heap, b->spans[i].rx, code, bytes);
    REQUIRE(written == 0 || (written == PAGEHEAP_ENOMEM && faults != 0));
    if (written == 0)
        b->spans[i].written = bytes;
    REQUIRE(pageheap_exec_publish(b->heap, b->spans[i].rx, bytes) == 0);
}

static bool take(book *b, size_t bytes)
{
    pageheap_exec_span span;
    errno = 77;
    int code = pageheap_exec_alloc(b->heap, bytes, &span);
    REQUIRE(errno == 77);
    REQUIRE(code == 0 || (code == PAGEHEAP_ENOMEM && faults != 0));
    if (code != 0)
        return false;
    b->spans[b->count].rx = span.rx;
    b->spans[b->count].bytes = span.bytes;
    b->spans[b->count].written = 0;
    write_span(b, b->count++);
    return true;
}

static void give(book *b, unsigned i)
{
    REQUIRE(pageheap_exec_free(b->heap, b->spans[i].rx, b->spans[i].bytes) == 0);
    REQUIRE(pageheap_exec_free(b->heap, b->spans[i].rx, b->spans[i].bytes) != 0);
    b->spans[i] = b->spans[--b->count];
}

static void shrink(book *b, unsigned i)
{
    size_t half = b->spans[i].bytes / 2;
    if (pageheap_exec_shrink(b->heap, b->spans[i].rx, b->spans[i].bytes, half) != 0)
        return;
    pageheap_exec_span span;
    REQUIRE(pageheap_exec_find(b->heap, b->spans[i].rx, &span) == 0);
    b->spans[i].bytes = span.bytes;
    if (b->spans[i].written > half)
        b->spans[i].written = half;
}

static void take_within(book *b)
{
    pageheap_exec_span span;
    if (b->count == 0)
        return;
    const char *lo = (const char *)b->spans[0].rx - (4 << 20), *hi = (const char *)b->spans[0].rx + (8 << 20);
    int code = pageheap_exec_alloc_within(b->heap, 3 * 4096, lo, hi, &span);
    if (code != 0)
        return;
    REQUIRE((const char *)span.rx >= lo && (const char *)span.rx + span.bytes <= hi);
    b->spans[b->count].rx = span.rx;
    b->spans[b->count].bytes = span.bytes;
    b->spans[b->count].written = 0;
    write_span(b, b->count++);
}

/* A child looks at everything and goes on if it may. */
static void fork_once(const book *b)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        pageheap_exec_span span;
        check_all(b);
        if (pageheap_exec_alloc(b->heap, 100, &span) == 0)
            REQUIRE(pageheap_exec_free(b->heap, span.rx, 100) == 0);
        REQUIRE(pageheap_exec_destroy(b->heap) == 0);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
}

static unsigned serve_all(book *b)
{
    static const size_t sizes[] = { 1, 64, 100, 1000, 4096, 5000, 40 * 4096, 2 << 20, 5 << 20 };
    pageheap_exec_stats stats = { .struct_bytes = sizeof stats };
    REQUIRE(pageheap_exec_get_stats(b->heap, &stats) == 0);
    unsigned count = stats.reserved_bytes > SMALL_BYTES ? 9 : 7;
    for (unsigned i = 0; i < count; i++)
        (void)take(b, sizes[i]);
    check_all(b);
    return count;
}

static void act_on(book *b)
{
    (void)serve_all(b);
    take_within(b);
    for (unsigned i = 0; i < b->count; i += 3)
        shrink(b, i);
    check_all(b);
    fork_once(b);
    for (unsigned i = 0; i < b->count; i++)
        give(b, i);
    (void)pageheap_exec_trim(b->heap, 0);
    (void)pageheap_exec_collapse(b->heap);
    check_all(b);
    (void)serve_all(b);
}

static void act(const pageheap_exec_options *options)
{
    book b = { .heap = pageheap_exec_create(options) };
    if (b.heap != NULL)
        act_on(&b);
    else
        REQUIRE(faults != 0 && errno != 0);
    uint64_t faults_seen = faults;
    plan.fail_at = 0;
    faults = 0;
    /* What the process has learned of a backend stands; otherwise the system is well again. */
    if (b.heap == NULL)
        b.heap = pageheap_exec_create(options);
    if (b.heap != NULL) {
        unsigned before = b.count;
        unsigned served = serve_all(&b);
        REQUIRE(b.count == before + served);
        while (b.count > 0)
            give(&b, b.count - 1);
        check_all(&b);
        REQUIRE(pageheap_exec_destroy(b.heap) == 0);
    }
    faults = faults_seen;
}

/* ---- all runs -------------------------------------------------------------------------- */

static uint64_t *faults_told; /* by the processes that act */

static void run_case(const char *name, const pageheap_exec_options *options, fault_plan wanted)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_begin(CASE_SECONDS);
        REQUIRE(pageheap_default() != NULL); /* whose handler of fork is there for all */
        footprint before = measure();
        install();
        plan = wanted;
        act(options);
        footprint after = measure();
        if (unmap_faults == 0)
            REQUIRE(after.hidden_bytes == before.hidden_bytes && after.code_bytes == before.code_bytes);
        REQUIRE(after.files == before.files);
        *faults_told = faults;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("%s: call %llu fails %s with %s: status %#x", name, (unsigned long long)wanted.fail_at,
                 wanted.for_ever ? "for ever" : "once", strerror(wanted.error), (unsigned)status);
}

/* Anywhere: the search for a place, refused again and again, is a test of its own. */
static pageheap_exec_options options_of(uint32_t backend, uint32_t fork_policy)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.flags = PAGEHEAP_EXEC_ANYWHERE;
    options.backend = backend;
    options.fork_policy = fork_policy;
    options.reserve_bytes = SMALL_BYTES;
    return options;
}

static void sweep(const char *name, pageheap_exec_options options)
{
    static const int errors[] = { ENOMEM, EACCES, EMFILE };
    for (unsigned for_ever = 0; for_ever < 2; for_ever++) {
        uint64_t call = 1;
        for (; call <= CALLS_MAX; call++) {
            *faults_told = 0;
            run_case(name, &options, (fault_plan){ call, for_ever != 0, errors[call % 3] });
            if (*faults_told == 0)
                break;
        }
        assert_true(call > 20);
        assert_true(call <= CALLS_MAX);
    }
}

static void best_pair(void **state)
{
    (void)state;
    sweep("best", options_of(PAGEHEAP_EXEC_BEST, PAGEHEAP_EXEC_FORK_DENY));
}

static void file_pair_copied_for_children(void **state)
{
    (void)state;
    sweep("memfd", options_of(PAGEHEAP_EXEC_MEMFD, PAGEHEAP_EXEC_FORK_PRIVATE));
}

static void anonymous_pair_shared_with_children(void **state)
{
    (void)state;
    pageheap_exec_options options = options_of(PAGEHEAP_EXEC_ANON, PAGEHEAP_EXEC_FORK_SHARE);
    options.reserve_bytes = 2 * SMALL_BYTES;
    sweep("anon", options);
}

static void forced_writes(void **state)
{
    (void)state;
    sweep("private", options_of(PAGEHEAP_EXEC_PRIVATE, PAGEHEAP_EXEC_FORK_DENY));
}

static void a_place_near_the_program(void **state)
{
    (void)state;
    pageheap_exec_options options = options_of(PAGEHEAP_EXEC_BEST, PAGEHEAP_EXEC_FORK_DENY);
    options.flags = 0;
    options.reserve_bytes = NEAR_BYTES;
    sweep("near", options);
}

static void flipped_pages(void **state)
{
    (void)state;
    sweep("flip", options_of(PAGEHEAP_EXEC_FLIP, PAGEHEAP_EXEC_FORK_DENY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_pair),
        cmocka_unit_test(file_pair_copied_for_children),
        cmocka_unit_test(anonymous_pair_shared_with_children),
        cmocka_unit_test(forced_writes),
        cmocka_unit_test(flipped_pages),
        cmocka_unit_test(a_place_near_the_program),
    };
    faults_told = mmap(NULL, sizeof *faults_told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (faults_told == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests_name("code_sweep", tests, NULL, NULL);
}
