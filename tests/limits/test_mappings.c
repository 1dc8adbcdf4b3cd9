/* SPDX-License-Identifier: MIT */
/* test_mappings.c -- at the system's limit of mappings frees still succeed and memory still goes back; and
 * the heap itself makes few mappings, whatever was done with it. */
#include <errno.h>
#include <sys/mman.h>

#include "meter.h"
#include "unit/dice.h"

#define FILLERS_MAX  2000000
#define RUNS         400
#define RUN_PAGES    100
#define HUGE_PAGES   ((size_t)600 * 512) /* whole blocks: the mapping ends where the run does */
#define HUGE_BYTES   (HUGE_PAGES * PAGE)
#define HUGE_TRIES   8
#define HUGE_TOUCHED 5000 /* pages */

static char **fillers;
static unsigned filler_count;

/* Mappings that cannot merge, until the kernel gives no more. */
static void fill_mappings(void)
{
    fillers =
        mmap(NULL, FILLERS_MAX * sizeof *fillers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(fillers != MAP_FAILED);
    while (filler_count < FILLERS_MAX) {
        int protection = filler_count % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
        char *filler = mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (filler == MAP_FAILED)
            return;
        fillers[filler_count++] = filler;
    }
    REQUIRE(filler_count < FILLERS_MAX);
}

static void drop_fillers(void)
{
    for (unsigned i = filler_count; i-- > 0;)
        munmap(fillers[i], PAGE);
}

static void touch(char *run, size_t pages)
{
    for (size_t page = 0; page < pages; page++)
        run[page * PAGE] = 1;
}

/* A page that joins the mapping it touches; false if the place is taken. */
static bool put_neighbour(char *at)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    char *page = mmap(at, PAGE, PROT_NONE, flags, -1, 0);
    if (page != MAP_FAILED && page != at) /* a kernel that takes the address for a wish */
        munmap(page, PAGE);
    return page == at && mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0;
}

/* A mapping of its own can be unmapped at the limit too; the middle of one cannot.  So the run gets
 * neighbours that the kernel joins to it.  Where one of the two places is taken, the next run is tried. */
static char *huge_run_amid_a_mapping(pageheap *heap)
{
    char *tried[HUGE_TRIES], *found = NULL;
    unsigned count = 0;
    while (found == NULL && count < HUGE_TRIES) {
        char *run = pageheap_alloc(heap, HUGE_PAGES, 0);
        REQUIRE(run != NULL);
        unsigned before = meter_mappings();
        if (put_neighbour(run - PAGE) && put_neighbour(run + HUGE_BYTES) && meter_mappings() == before)
            found = run;
        else
            tried[count++] = run;
    }
    while (count != 0)
        REQUIRE(pageheap_free(heap, tried[--count], HUGE_PAGES) == 0);
    return found;
}

static void frees_at_the_limit(void)
{
    char *runs[RUNS], *special[8];
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserve_bytes = 2 << 20; /* many regions: each of them is unmapped alone */
    pageheap *heap = pageheap_create(&options);
    for (unsigned i = 0; i < RUNS; i++) {
        runs[i] = pageheap_alloc(heap, RUN_PAGES, 0);
        REQUIRE(runs[i] != NULL);
        touch(runs[i], RUN_PAGES);
    }
    for (unsigned i = 0; i < 8; i++) {
        special[i] = pageheap_alloc(heap, 4, PAGEHEAP_GUARD | PAGEHEAP_NODUMP | PAGEHEAP_LOCKED);
        REQUIRE(special[i] != NULL);
    }
    char *huge = huge_run_amid_a_mapping(heap);
    REQUIRE(huge != NULL);
    touch(huge, HUGE_TOUCHED);
    fill_mappings();
    uint64_t full_bytes = meter_rss_bytes();
    uint64_t reserved_bytes = meter_stats(heap).reserved_bytes;
    errno = 4711;
    /* First, while no other free has made room for a mapping more. */
    REQUIRE(pageheap_free(heap, huge, HUGE_PAGES) == 0);
    REQUIRE(meter_stats(heap).reserved_bytes == reserved_bytes); /* the system has refused to unmap it */
    uint64_t huge_bytes = (uint64_t)HUGE_TOUCHED * PAGE;
    /* Now: the trim below would unmap it. */
    REQUIRE(meter_rss_bytes() + huge_bytes / 100 * 90 <= full_bytes);
    for (unsigned i = 0; i < RUNS; i++)
        REQUIRE(pageheap_free(heap, runs[i], RUN_PAGES) == 0);
    for (unsigned i = 0; i < 8; i++)
        REQUIRE(pageheap_free(heap, special[i], 4) == 0);
    REQUIRE(errno == 4711);
    pageheap_trim(heap, 0);
    REQUIRE(pageheap_check(heap) == 0);
    uint64_t freed_bytes = (uint64_t)RUNS * RUN_PAGES * PAGE + huge_bytes;
    REQUIRE(meter_rss_bytes() + freed_bytes / 100 * 97 <= full_bytes);
    char *again = pageheap_alloc(heap, RUN_PAGES, PAGEHEAP_ZERO);
    if (again != NULL) { /* what was kept may serve; what must be mapped anew may not */
        for (size_t byte = 0; byte < RUN_PAGES * PAGE; byte++)
            REQUIRE(again[byte] == 0);
        REQUIRE(pageheap_free(heap, again, RUN_PAGES) == 0);
    }
    drop_fillers();
    pageheap_trim(heap, 0);
    REQUIRE(meter_stats(heap).in_use_bytes == 0);
    REQUIRE(meter_stats(heap).unused_bytes == 0);
    REQUIRE(meter_stats(heap).reserved_bytes <= 2 << 20); /* one block stays ready for runs with flags */
    for (unsigned i = 0; i < RUNS; i++) {
        runs[i] = pageheap_alloc(heap, RUN_PAGES, PAGEHEAP_ZERO);
        REQUIRE(runs[i] != NULL);
        touch(runs[i], RUN_PAGES);
    }
    REQUIRE(pageheap_check(heap) == 0);
    REQUIRE(pageheap_destroy(heap) == 0);
}

/* A million mixed steps leave at most 8 mappings, and 2 for each reservation. */
static void few_mappings(void **state)
{
    (void)state;
    enum { LIVE = 3000, STEPS = 1000000 };
    static struct {
        char *run;
        size_t pages;
    } live[LIVE];
    dice d = dice_new();
    pageheap *heap = pageheap_create(NULL);
    unsigned before = meter_mappings();
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t random = dice_next(&d);
        unsigned slot = (unsigned)(random % LIVE);
        if (live[slot].run != NULL)
            assert_int_equal(pageheap_free(heap, live[slot].run, live[slot].pages), 0);
        uint64_t kind = random >> 40 & 255;
        live[slot].pages = 1 + (random >> 20) % (kind < 250 ? 20 : 1000);
        live[slot].run = pageheap_alloc(heap, live[slot].pages, 0);
        assert_non_null(live[slot].run);
        live[slot].run[0] = 1;
        if (step % 100000 == 0)
            pageheap_trim(heap, step % 200000 == 0 ? 0 : 1 << 20);
    }
    unsigned after = meter_mappings();
    uint64_t reservations = meter_stats(heap).reservations;
    print_message("%u mappings more, %llu reservations\n", after - before, (unsigned long long)reservations);
    assert_true(after <= before + 8 + 2 * reservations);
    assert_int_equal(pageheap_check(heap), 0);
    assert_int_equal(pageheap_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CHILD(frees_at_the_limit),
        cmocka_unit_test(few_mappings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
