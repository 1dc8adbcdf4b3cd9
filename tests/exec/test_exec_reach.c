/* SPDX-License-Identifier: MIT */
/* test_exec_reach.c -- code lies where a direct call reaches it, or there is an error; never far away.
 *
 * Each trial is this program anew, since the system lays out each process by chance: 200 of the main kinds,
 * 1000 with PAGEHEAP_TEST_LONG.  The numbers of the trial come as arguments.
 */
#include <sys/auxv.h>

#include "exec_test.h"

#define GIB   ((uint64_t)1 << 30)
#define MIB   ((uint64_t)1 << 20)
#define SPANS 4096

extern char __executable_start, etext; /* the linker's */

static void require_within(const void *near, uint64_t reach_bytes, const void *lo, size_t bytes)
{
    uintptr_t at = (uintptr_t)near, from = (uintptr_t)lo, to = from + bytes;
    REQUIRE(to > from);
    REQUIRE(from >= at || at - from <= reach_bytes);
    REQUIRE(to <= at || to - at <= reach_bytes);
}

static uint32_t answer_of_text(void)
{
    return 4711;
}

/* A span calls a function of the program directly, and the program's ends reach the span. */
#if defined(__x86_64__)
static void require_direct_call(pageheap_exec *heap, const pageheap_exec_span *span)
{
    unsigned char code[14] = { 0x48, 0x83, 0xec, 8, 0xe8, 0, 0, 0, 0, 0x48, 0x83, 0xc4, 8, 0xc3 };
    int64_t distance = (int64_t)(uintptr_t)answer_of_text - (int64_t)((uintptr_t)span->rx + 9);
    REQUIRE(distance == (int32_t)distance);
    int32_t rel = (int32_t)distance;
    memcpy(code + 5, &rel, sizeof rel);
    REQUIRE(pageheap_exec_write(heap, span->rx, code, sizeof code) == 0);
    REQUIRE(pageheap_exec_publish(heap, span->rx, sizeof code) == 0);
    REQUIRE(code_run(span->rx) == 4711);
}
#else
static void require_direct_call(pageheap_exec *heap, const pageheap_exec_span *span)
{
    int64_t distance = (int64_t)(uintptr_t)answer_of_text - (int64_t)(uintptr_t)span->rx;
    REQUIRE(distance >= -(int64_t)(128 * MIB) && distance < (int64_t)(128 * MIB));
    uint32_t code = 0x14000000u | ((uint32_t)(distance >> 2) & 0x03ffffff); /* b */
    REQUIRE(pageheap_exec_write(heap, span->rx, &code, sizeof code) == 0);
    REQUIRE(pageheap_exec_publish(heap, span->rx, sizeof code) == 0);
    REQUIRE(code_run(span->rx) == 4711);
}
#endif

/* What big programs have mapped before a heap is made: 18 GiB, and 32 times 64 MiB, somewhere. */
static void map_foreign(void)
{
    for (unsigned i = 0; i < 33; i++) {
        size_t bytes = i == 0 ? 18 * GIB : 64 * MIB;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        REQUIRE(mmap(NULL, bytes, i % 2 ? PROT_READ | PROT_WRITE : PROT_NONE, flags, -1, 0) != MAP_FAILED);
    }
}

/* Somebody has the place below the program already. */
static void map_below(size_t bytes)
{
    char *image = (char *)((uintptr_t)&__executable_start & ~(uintptr_t)4095);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    (void)mmap(image - bytes, bytes, PROT_NONE, flags, -1, 0);
}

/* All of the heap is within reach, the last byte too; then there is an error, as often as one asks. */
static void require_all_within(pageheap_exec *heap, const void *near, uint64_t reach_bytes)
{
    static pageheap_exec_span spans[SPANS];
    unsigned count = 0;
    uint64_t reserved_bytes = exec_stats(heap).reserved_bytes;
    size_t bytes = (size_t)(reserved_bytes / 256);
    for (int error = 0; count < SPANS && bytes >= PAGE;) {
        error = pageheap_exec_alloc(heap, bytes, &spans[count]);
        REQUIRE(error == 0 || error == PAGEHEAP_ENOMEM);
        if (error != 0) {
            bytes = bytes >= 4 * PAGE ? bytes / 4 / PAGE * PAGE : bytes - PAGE;
            continue;
        }
        require_within(near, reach_bytes, spans[count].rx, spans[count].bytes);
        count++;
    }
    REQUIRE(exec_stats(heap).in_use_bytes == reserved_bytes); /* nothing of it is lost */
    for (unsigned i = 0; i < 100; i++) {
        pageheap_exec_span span;
        int error = pageheap_exec_alloc(heap, PAGE * (1 + i * 100), &span);
        REQUIRE(error == PAGEHEAP_ENOMEM || error == PAGEHEAP_ERANGE);
        REQUIRE(pageheap_exec_alloc(heap, 64, &span) < 0);
    }
    REQUIRE(pageheap_exec_free(heap, spans[count / 2].rx, spans[count / 2].bytes) == 0);
    (void)pageheap_exec_trim(heap, 0);
    REQUIRE(pageheap_exec_alloc(heap, PAGE, &spans[count / 2]) == 0);
    require_within(near, reach_bytes, spans[count / 2].rx, PAGE);
}

typedef struct kind {
    const char *name;
    uint64_t reserve_bytes, reach_bytes;
    bool is_all_got, is_used_up, is_below_taken;
} kind;

static const kind kinds[] = {
    { "1 GiB within 2 GiB", GIB, 2 * GIB, true, false, false },
    { "64 MiB within 128 MiB", 64 * MIB, 128 * MIB, true, false, false },
    { "64 MiB within 128 MiB, used up", 64 * MIB, 128 * MIB, true, true, false },
    { "1 GiB within 2 GiB, others below", GIB, 2 * GIB, false, false, true },
    { "64 MiB within 128 MiB, others below", 64 * MIB, 128 * MIB, false, true, true },
    { "4 GiB within 1 GiB", 4 * GIB, GIB, false, false, false },
    { "defaults", 0, 0, true, false, false },
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static void require_brk_grows(void)
{
    size_t bytes = 63 << 20; /* of 64 MiB: the system keeps pages free between brk and what follows */
    char *end = sbrk((intptr_t)bytes);
    REQUIRE(end != (char *)-1);
    for (size_t at = 0; at < bytes; at += 1 << 20)
        end[at] = 1;
}

static void try_kind(const kind *k)
{
    static const uint32_t flags[] = { 0, PAGEHEAP_EXEC_HUGE };
    char *entry = (char *)getauxval(AT_ENTRY); /* the default */
    uint64_t reach_bytes = k->reach_bytes == 0 ? 2 * GIB : k->reach_bytes;
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    pageheap_exec_span span;
    map_foreign();
    if (k->is_below_taken)
        map_below(GIB);
    options.reserve_bytes = k->reserve_bytes;
    options.reach_bytes = k->reach_bytes;
    options.flags = flags[(uintptr_t)&options / 16 % 2]; /* by chance */
    errno = 0;
    uint64_t began_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
    pageheap_exec *heap = pageheap_exec_create(&options);
    uint64_t took_us = clock_us(CLOCK_THREAD_CPUTIME_ID) - began_us;
    REQUIRE(took_us < 100000); /* no search through the address space */
    if (heap == NULL) {
        REQUIRE(!k->is_all_got && errno == ENOMEM);
        require_brk_grows();
        return;
    }
    if (k->is_all_got)
        REQUIRE(exec_stats(heap).reserved_bytes == (k->reserve_bytes == 0 ? GIB : k->reserve_bytes));
    REQUIRE(pageheap_exec_alloc(heap, PAGE, &span) == 0);
    require_within(entry, reach_bytes, span.rx, span.bytes);
    require_direct_call(heap, &span);
    require_within(&__executable_start, reach_bytes, span.rx, span.bytes);
    require_within(&etext, reach_bytes, span.rx, span.bytes);
    if (k->is_used_up)
        require_all_within(heap, entry, reach_bytes);
    require_brk_grows();
    REQUIRE(pageheap_exec_destroy(heap) == 0);
}

/* As many fresh processes as asked for; this program's name for itself is good while it runs. */
static void in_fresh_processes(unsigned which, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        int status = -1;
        char number[16];
        snprintf(number, sizeof number, "%u", which);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            child_begin(30);
            execl("/proc/self/exe", "reach", number, (char *)NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status != 0)
            fail_msg("%s: the child's status is %#x", kinds[which].name, (unsigned)status);
    }
}

static void near_in_every_process(void **state)
{
    (void)state;
    for (unsigned which = 0; which < KINDS; which++) {
        unsigned share = kinds[which].is_used_up ? 20 : which < 2 || exec_is_long() ? 1 : 4;
        in_fresh_processes(which, (exec_is_long() ? 1000u : 200u) / share);
    }
}

/* Reaches that nothing can meet: an error, at once, and no heap far away. */
static void out_of_reach(void)
{
    static char *const nears[] = { (char *)0x10000, (char *)0x7ffffffff000, (char *)1,
                                   (char *)0x7fffffffffff };
    pageheap_exec_span span;
    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t reach_bytes = 4096; reach_bytes <= 2 * GIB; reach_bytes *= 2) {
            pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
            options.near = nears[i];
            options.reach_bytes = reach_bytes;
            errno = 0;
            pageheap_exec *heap = pageheap_exec_create(&options);
            if (heap == NULL) {
                REQUIRE(errno == ENOMEM || errno == EINVAL);
                continue;
            }
            REQUIRE(pageheap_exec_alloc(heap, PAGE, &span) == 0);
            require_within(nears[i], reach_bytes, span.rx, span.bytes);
            REQUIRE(pageheap_exec_destroy(heap) == 0);
        }
    }
    map_below(GIB);
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.near = (char *)((uintptr_t)&__executable_start - GIB / 2); /* in the midst of what is taken */
    options.reach_bytes = GIB / 4;
    errno = 0;
    REQUIRE(pageheap_exec_create(&options) == NULL && errno == ENOMEM);
}

/* Another place than the program's: a library's. */
static void near_a_library(void)
{
    char *library = (char *)(uintptr_t)&strtoull;
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.near = library;
    options.reserve_bytes = 64 * MIB;
    pageheap_exec *heap = pageheap_exec_create(&options);
    REQUIRE(heap != NULL);
    require_all_within(heap, library, 2 * GIB);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
}

/* Wherever there is room: then the place near the program stays free for who needs it. */
static void anywhere(void)
{
    pageheap_exec *heaps[10];
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.flags = PAGEHEAP_EXEC_ANYWHERE;
    for (unsigned i = 0; i < 10; i++) {
        heaps[i] = pageheap_exec_create(&options);
        REQUIRE(heaps[i] != NULL && exec_stats(heaps[i]).reserved_bytes == GIB);
    }
    options.flags = 0;
    pageheap_exec *close_by = pageheap_exec_create(&options);
    REQUIRE(close_by != NULL && exec_stats(close_by).reserved_bytes == GIB);
    require_brk_grows();
}

/* When there is less than was asked for, a half, and so on; then none.  All are within reach. */
static void until_there_is_no_room(void)
{
    pageheap_exec *heap = NULL;
    char *entry = (char *)getauxval(AT_ENTRY);
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.reach_bytes = 512 * MIB;
    options.reserve_bytes = 256 * MIB;
    uint64_t all_bytes = 0, last_bytes = options.reserve_bytes;
    unsigned count = 0;
    do {
        errno = 0;
        heap = pageheap_exec_create(&options);
        if (heap == NULL)
            break;
        pageheap_exec_span span;
        uint64_t bytes = exec_stats(heap).reserved_bytes;
        REQUIRE(bytes <= last_bytes && bytes % BLOCK == 0 && bytes != 0);
        REQUIRE(pageheap_exec_alloc(heap, PAGE, &span) == 0);
        require_within(entry, options.reach_bytes, span.rx, PAGE);
        all_bytes += bytes;
        last_bytes = bytes;
    } while (++count < 2000);
    REQUIRE(heap == NULL && errno == ENOMEM);
    REQUIRE(all_bytes >= 512 * MIB && all_bytes <= 1024 * MIB);
    require_brk_grows();
}

/* All within reach is taken but for a hole, wherever that is: it is found. */
static void in_a_hole(void *arg)
{
    unsigned hole_mib = *(const unsigned *)arg;
    char *entry = (char *)((uintptr_t)getauxval(AT_ENTRY) & ~(uintptr_t)(MIB - 1));
    dice d = dice_new();
    unsigned hole_at =
        40 + (unsigned)dice_below(&d, 1960 - hole_mib); /* 40: what is kept free for brk, at most */
    for (unsigned i = 0; i < 4096; i++) {
        if (i < hole_at || i >= hole_at + hole_mib)
            (void)mmap(entry - 2048 * MIB + i * MIB, MIB, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    }
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.reach_bytes = 2 * GIB;
    pageheap_exec *heap = pageheap_exec_create(&options);
    REQUIRE(heap != NULL);
    require_all_within(heap, entry, options.reach_bytes);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
}

static void every_hole_is_found(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned hole_mib = 4; hole_mib <= 256; hole_mib *= 4)
            child_judge(child_status(in_a_hole, &hole_mib, 30), "a hole");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_in_every_process),
        IN_CHILD(out_of_reach),
        IN_CHILD(near_a_library),
        IN_CHILD(anywhere),
        IN_CHILD(until_there_is_no_room),
        cmocka_unit_test(every_hole_is_found),
    };
    if (argc == 2 && atoi(argv[1]) >= 0 && atoi(argv[1]) < (int)KINDS) {
        try_kind(&kinds[atoi(argv[1])]);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
