/* SPDX-License-Identifier: MIT */
/* pageheap.hpp -- pageheap for C++17: owning handles, and a std::pmr::memory_resource.
 *
 *     ph::heap heap;                                            // destroyed with everything in it
 *     ph::run run = heap.allocate(16, PAGEHEAP_ZERO);           // given back when it goes out of scope
 *
 *     ph::memory_resource pages(heap.get());
 *     std::pmr::unsynchronized_pool_resource pool(&pages);      // small objects, cut from our pages
 *     std::pmr::vector<int> numbers(&pool);
 *
 * Errors    What is NULL with errno in C throws: std::bad_alloc for ENOMEM, std::system_error for the rest.
 * Misuse    A destructor or deallocate() has no way to report a refusal, and a refusal there means that
 *           memory was freed behind its owner's back: std::terminate.
 */
#ifndef PAGEHEAP_PAGEHEAP_HPP
#define PAGEHEAP_PAGEHEAP_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory_resource>
#include <new>
#include <system_error>
#include <utility>

#include "pageheap.h"

namespace ph
{

namespace detail
{

[[noreturn]] inline void throw_errno(const char *what)
{
    if (errno == ENOMEM) {
        throw std::bad_alloc();
    }
    throw std::system_error(errno, std::generic_category(), what);
}

inline void require_accepted(int code) noexcept
{
    if (code != 0) {
        std::terminate();
    }
}

} // namespace detail

/* A run of pages and the duty to give it back.  Moves, does not copy; empty after a move. */
class run
{
  public:
    run() noexcept = default;

    /* Takes over a run that somebody else allocated. */
    run(::pageheap *heap, void *data, std::size_t pages) noexcept : heap_(heap), data_(data), pages_(pages) {}

    run(run &&other) noexcept
    {
        swap(other);
    }
    run &operator=(run &&other) noexcept
    {
        run(std::move(other)).swap(*this);
        return *this;
    }
    run(const run &) = delete;
    run &operator=(const run &) = delete;
    ~run()
    {
        reset();
    }

    void *data() const noexcept
    {
        return data_;
    }
    std::size_t pages() const noexcept
    {
        return pages_;
    }
    std::size_t size_bytes() const noexcept
    {
        return data_ ? pages_ * pageheap_page_bytes(heap_) : 0;
    }
    explicit operator bool() const noexcept
    {
        return data_ != nullptr;
    }

    /* Gives the run back now. */
    void reset() noexcept
    {
        if (data_) {
            detail::require_accepted(pageheap_free(heap_, data_, pages_));
        }
        data_ = nullptr;
        pages_ = 0;
    }

    /* Hands the run and the duty over to the caller. */
    [[nodiscard]] void *release() noexcept
    {
        pages_ = 0;
        return std::exchange(data_, nullptr);
    }

    /* Changes the size, contents kept; with PAGEHEAP_MAYMOVE possibly elsewhere.  As it was if it throws. */
    void resize(std::size_t new_pages, std::uint32_t flags = 0)
    {
        void *resized = pageheap_resize(heap_, data_, pages_, new_pages, flags);
        if (!resized) {
            detail::throw_errno("pageheap_resize");
        }
        data_ = resized;
        pages_ = new_pages;
    }

    void swap(run &other) noexcept
    {
        std::swap(heap_, other.heap_);
        std::swap(data_, other.data_);
        std::swap(pages_, other.pages_);
    }

  private:
    ::pageheap *heap_ = nullptr;
    void *data_ = nullptr;
    std::size_t pages_ = 0;
};

/* A heap of one's own.  Runs must not outlive it: it gives live ones back too. */
class heap
{
  public:
    heap() : heap_(pageheap_create(nullptr))
    {
        require_made();
    }
    explicit heap(const pageheap_options &options) : heap_(pageheap_create(&options))
    {
        require_made();
    }

    heap(heap &&other) noexcept : heap_(std::exchange(other.heap_, nullptr)) {}
    heap &operator=(heap &&other) noexcept
    {
        std::swap(heap_, other.heap_);
        return *this;
    }
    heap(const heap &) = delete;
    heap &operator=(const heap &) = delete;
    ~heap()
    {
        if (heap_) {
            detail::require_accepted(pageheap_destroy(heap_));
        }
    }

    ::pageheap *get() const noexcept
    {
        return heap_;
    }
    std::size_t page_bytes() const noexcept
    {
        return pageheap_page_bytes(heap_);
    }

    [[nodiscard]] run allocate(std::size_t pages, std::uint32_t flags = 0, const char *tag = nullptr)
    {
        void *data = pageheap_alloc_tagged(heap_, pages, flags, tag);
        if (!data) {
            detail::throw_errno("pageheap_alloc");
        }
        return run(heap_, data, pages);
    }

    [[nodiscard]] run allocate_aligned(std::size_t pages, std::size_t align_bytes, std::uint32_t flags = 0)
    {
        void *data = pageheap_alloc_aligned(heap_, pages, align_bytes, flags);
        if (!data) {
            detail::throw_errno("pageheap_alloc_aligned");
        }
        return run(heap_, data, pages);
    }

    std::size_t trim(std::size_t keep_bytes = 0) noexcept
    {
        return pageheap_trim(heap_, keep_bytes);
    }

  private:
    void require_made() const
    {
        if (!heap_) {
            detail::throw_errno("pageheap_create");
        }
    }

    ::pageheap *heap_;
};

/* A heap's pages as a std::pmr::memory_resource: for large objects, and below a pool for small ones.
 * Does not own the heap. */
class memory_resource final : public std::pmr::memory_resource
{
  public:
    memory_resource() : memory_resource(pageheap_default())
    {
        if (!heap_) {
            throw std::bad_alloc();
        }
    }
    explicit memory_resource(::pageheap *heap) noexcept : heap_(heap) {}

    ::pageheap *get() const noexcept
    {
        return heap_;
    }

  private:
    /* No bytes are a page all the same: each allocation needs an address of its own. */
    std::size_t pages_for(std::size_t bytes) const noexcept
    {
        std::size_t page_bytes = pageheap_page_bytes(heap_);
        return bytes == 0 ? 1 : bytes / page_bytes + (bytes % page_bytes != 0);
    }

    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        void *data = pageheap_alloc_aligned(heap_, pages_for(bytes), alignment, 0);
        if (!data) {
            throw std::bad_alloc();
        }
        return data;
    }

    void do_deallocate(void *data, std::size_t bytes, std::size_t) override
    {
        detail::require_accepted(pageheap_free(heap_, data, pages_for(bytes)));
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        auto *same = dynamic_cast<const memory_resource *>(&other);
        return same && same->heap_ == heap_;
    }

    ::pageheap *heap_;
};

} // namespace ph

#endif
