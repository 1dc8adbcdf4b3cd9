/* SPDX-License-Identifier: MIT */
/* test_address_space.c -- with 512 MiB of address space: filled to the last block, half freed, refilled,
 * again and again; each round gets the same, and in the end all of it comes back. */
#include <errno.h>
#include <sys/resource.h>

#include "meter.h"

#define LIMIT_BYTES ((rlim_t)512 << 20)
#define RUNS_MAX    2000
#define ROUNDS      200

static void *runs[RUNS_MAX];

static unsigned fill(pageheap *heap, size_t pages, unsigned count)
{
    for (; count < RUNS_MAX; count++) {
        errno = 0;
        runs[count] = pageheap_alloc(heap, pages, 0);
        if (runs[count] == NULL) {
            REQUIRE(errno == ENOMEM);
            return count;
        }
        memset(runs[count], 1, 8);
    }
    return count;
}

static void fill_and_refill(size_t pages, uint64_t reserve_bytes)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserve_bytes = reserve_bytes;
    pageheap *heap = pageheap_create(&options);
    REQUIRE(heap != NULL);
    unsigned most = fill(heap, pages, 0);
    REQUIRE(most * pages * PAGE > LIMIT_BYTES / 10 * 8); /* little is lost to what else a process maps */
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned kept = 0;
        for (unsigned i = 0; i < most; i++) {
            if ((i + round) % 2 == 0)
                REQUIRE(pageheap_free(heap, runs[i], pages) == 0);
            else
                runs[kept++] = runs[i];
        }
        REQUIRE(fill(heap, pages, kept) == most);
    }
    REQUIRE(pageheap_check(heap) == 0);
    for (unsigned i = 0; i < most; i++)
        REQUIRE(pageheap_free(heap, runs[i], pages) == 0);
    pageheap_trim(heap, 0);
    REQUIRE(meter_stats(heap).reserved_bytes == 0);
    REQUIRE(fill(heap, pages, 0) == most);
    REQUIRE(pageheap_destroy(heap) == 0);
}

static void limit_address_space(void)
{
    struct rlimit limit = { LIMIT_BYTES, RLIM_INFINITY };
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void whole_blocks(void)
{
    limit_address_space();
    fill_and_refill(512, 0);
}

static void parts_of_blocks(void)
{
    limit_address_space();
    fill_and_refill(100, 0);
}

static void several_blocks(void)
{
    limit_address_space();
    fill_and_refill(1536, 0);
}

static void small_regions(void)
{
    limit_address_space();
    fill_and_refill(256, 2 << 20);
}

/* At the limit, then freed from it: full service. */
static void lifted_limit(void)
{
    limit_address_space();
    pageheap *heap = pageheap_create(NULL);
    unsigned most = fill(heap, 512, 0);
    REQUIRE(pageheap_alloc(heap, 512, 0) == NULL);
    REQUIRE(pageheap_alloc(heap, 400000, 0) == NULL);
    struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
    REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
    void *huge = pageheap_alloc(heap, 400000, 0);
    REQUIRE(huge != NULL);
    REQUIRE(fill(heap, 512, most) == RUNS_MAX);
    REQUIRE(pageheap_free(heap, huge, 400000) == 0);
    REQUIRE(pageheap_destroy(heap) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CHILD(whole_blocks),  IN_CHILD(parts_of_blocks), IN_CHILD(several_blocks),
        IN_CHILD(small_regions), IN_CHILD(lifted_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
