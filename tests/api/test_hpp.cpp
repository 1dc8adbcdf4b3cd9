/* SPDX-License-Identifier: MIT */
/* test_hpp.cpp -- pageheap.hpp: handles give back what they hold, once; the memory_resource serves the
 * standard's containers. */
#include <pageheap/pageheap.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory_resource>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                     \
            std::exit(1);                                                                                    \
        }                                                                                                    \
    } while (0)

static_assert(std::is_nothrow_move_constructible_v<ph::run> && !std::is_copy_constructible_v<ph::run>);
static_assert(std::is_nothrow_move_constructible_v<ph::heap> && !std::is_copy_constructible_v<ph::heap>);

static std::uint64_t in_use_bytes(const ph::heap &heap)
{
    pageheap_stats stats = {};
    stats.struct_bytes = sizeof(stats);
    CHECK(pageheap_get_stats(heap.get(), &stats) == 0);
    return stats.in_use_bytes;
}

static void a_run_is_given_back_at_the_end_of_its_scope()
{
    ph::heap heap;
    {
        ph::run run = heap.allocate(4, PAGEHEAP_ZERO, "scoped");
        CHECK(run && run.pages() == 4 && run.size_bytes() == 4 * heap.page_bytes());
        std::memset(run.data(), 1, run.size_bytes());
        CHECK(in_use_bytes(heap) == run.size_bytes());
    }
    CHECK(in_use_bytes(heap) == 0);
}

static void a_moved_run_is_given_back_once()
{
    ph::heap heap;
    ph::run first = heap.allocate(2);
    void *data = first.data();
    ph::run second = std::move(first);
    CHECK(!first && first.size_bytes() == 0 && second.data() == data);
    second = heap.allocate(3); // the two pages go back here
    CHECK(in_use_bytes(heap) == 3 * heap.page_bytes());
    second.reset();
    second.reset();
    CHECK(in_use_bytes(heap) == 0);
}

static void a_released_run_is_the_callers()
{
    ph::heap heap;
    ph::run run = heap.allocate(2);
    void *data = run.release();
    CHECK(!run && in_use_bytes(heap) == 2 * heap.page_bytes());
    ph::run again(heap.get(), data, 2);
    again.reset();
    CHECK(in_use_bytes(heap) == 0);
}

static void a_resized_run_keeps_its_contents()
{
    ph::heap heap;
    ph::run run = heap.allocate(1);
    std::memset(run.data(), 0x3c, heap.page_bytes());
    run.resize(50, PAGEHEAP_MAYMOVE);
    CHECK(run.pages() == 50);
    const unsigned char *bytes = static_cast<const unsigned char *>(run.data());
    for (std::size_t i = 0; i < heap.page_bytes(); i++) {
        CHECK(bytes[i] == 0x3c);
    }
}

static void alignment_is_met()
{
    ph::heap heap;
    ph::run run = heap.allocate_aligned(1, std::size_t{ 1 } << 21);
    CHECK(reinterpret_cast<std::uintptr_t>(run.data()) % (std::size_t{ 1 } << 21) == 0);
}

static void failures_throw()
{
    ph::heap heap;
    bool is_invalid = false;
    bool is_bad_alloc = false;
    try {
        (void)heap.allocate(0);
    } catch (const std::system_error &error) {
        is_invalid = error.code() == std::errc::invalid_argument;
    }
    try {
        (void)heap.allocate(PTRDIFF_MAX / heap.page_bytes());
    } catch (const std::bad_alloc &) {
        is_bad_alloc = true;
    }
    CHECK(is_invalid && is_bad_alloc);
}

static void bad_options_throw()
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    options.reserved = 1;
    bool is_invalid = false;
    try {
        ph::heap heap(options);
    } catch (const std::system_error &error) {
        is_invalid = error.code() == std::errc::invalid_argument;
    }
    CHECK(is_invalid);
}

static void containers_live_in_the_resource()
{
    ph::heap heap;
    ph::memory_resource pages(heap.get());
    {
        std::pmr::vector<int> numbers(&pages);
        numbers.resize(100000);
        std::iota(numbers.begin(), numbers.end(), 0);
        CHECK(numbers[99999] == 99999);
        pageheap_run found = {};
        CHECK(pageheap_find(numbers.data(), &found) == 0 && found.heap == heap.get());

        std::pmr::unsynchronized_pool_resource pool(&pages);
        std::pmr::map<std::pmr::string, int> words(&pool);
        for (int i = 0; i < 2000; i++) {
            words[std::pmr::string("a word longer than a short string ", &pool) + std::to_string(i).c_str()] =
                i;
        }
        CHECK(words.size() == 2000);
    }
    CHECK(in_use_bytes(heap) == 0);
}

static void the_resource_serves_odd_sizes_and_alignments()
{
    ph::heap heap;
    ph::memory_resource pages(heap.get());
    std::pmr::memory_resource &resource = pages;
    void *none = resource.allocate(0, 1);
    void *other = resource.allocate(0, 1);
    CHECK(none != other);
    resource.deallocate(none, 0, 1);
    resource.deallocate(other, 0, 1);
    void *wide = resource.allocate(100, 1 << 16);
    CHECK(reinterpret_cast<std::uintptr_t>(wide) % (1 << 16) == 0);
    resource.deallocate(wide, 100, 1 << 16);
    CHECK(in_use_bytes(heap) == 0);
}

static void resources_are_equal_over_one_heap()
{
    ph::heap heap;
    ph::heap another;
    ph::memory_resource left(heap.get());
    ph::memory_resource right(heap.get());
    ph::memory_resource apart(another.get());
    CHECK(left == right && !(left == apart) && !(left == *std::pmr::new_delete_resource()));
    ph::memory_resource process_wide;
    CHECK(process_wide.get() == pageheap_default());
}

int main()
{
    a_run_is_given_back_at_the_end_of_its_scope();
    a_moved_run_is_given_back_once();
    a_released_run_is_the_callers();
    a_resized_run_keeps_its_contents();
    alignment_is_met();
    failures_throw();
    bad_options_throw();
    containers_live_in_the_resource();
    the_resource_serves_odd_sizes_and_alignments();
    resources_are_equal_over_one_heap();
    std::puts("10 tests passed");
    return 0;
}
