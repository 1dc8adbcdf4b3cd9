/* SPDX-License-Identifier: MIT */
/* stage.c -- see stage.h. */
#include "stage.h"

#include <errno.h>
#include <string.h>

#include "fake_os.h"
#include "os/os.h"

#define ERRNO_UNTOUCHED 4711
/* Of longer runs only some pages are looked at: there are thousands of cases, and touching takes time. */
#define PAGES_ALL_LOOKED_AT 64

void stage_open(stage *s, const pageheap_options *options)
{
    *s = (stage){ .next_pattern = 1, .options = *options };
    errno = ERRNO_UNTOUCHED;
    s->heap = pageheap_create(&s->options);
    REQUIRE(errno == (s->heap != NULL ? ERRNO_UNTOUCHED : ENOMEM));
    s->page_bytes = s->heap != NULL ? pageheap_page_bytes(s->heap) : 0;
}

/* ---- contents -------------------------------------------------------------------------- */

static size_t stride_of(size_t pages)
{
    return pages <= PAGES_ALL_LOOKED_AT ? 1 : pages / 12;
}

static uint64_t *word_in(const stage *s, const char *start, size_t page, unsigned spot)
{
    static const size_t eighths[] = { 0, 4, 7 };
    return (uint64_t *)(uintptr_t)(start + page * s->page_bytes + eighths[spot] * s->page_bytes / 8);
}

static void fill(const stage *s, const stage_run *run)
{
    for (size_t page = 0; page < run->pages; page += stride_of(run->pages)) {
        for (unsigned spot = 0; spot < 3; spot++)
            *word_in(s, run->start, page, spot) = run->pattern + page;
    }
}

static void require_intact(const stage *s, const stage_run *run, size_t pages)
{
    for (size_t page = 0; page < pages; page += stride_of(run->pages)) {
        for (unsigned spot = 0; spot < 3; spot++)
            REQUIRE(*word_in(s, run->start, page, spot) == run->pattern + page);
    }
}

static void require_zero(const stage *s, const char *start, size_t pages)
{
    for (size_t page = 0; page < pages; page += stride_of(pages)) {
        for (unsigned spot = 0; spot < 3; spot++)
            REQUIRE(*word_in(s, start, page, spot) == 0);
    }
}

/* ---- alloc ----------------------------------------------------------------------------- */

static int enter_run(stage *s, char *start, size_t pages, uint32_t flags)
{
    stage_run run = { start, pages, s->next_pattern++ << 32 };
    if (flags & PAGEHEAP_ZERO)
        require_zero(s, start, pages);
    REQUIRE(s->count < STAGE_RUNS_MAX);
    fill(s, &run);
    s->runs[s->count] = run;
    return (int)s->count++;
}

static int judge_alloc(stage *s, char *start, size_t pages, size_t align_bytes, uint32_t flags)
{
    if (start == NULL) {
        REQUIRE(errno == ENOMEM);
        s->refused++;
        return -1;
    }
    REQUIRE(errno == ERRNO_UNTOUCHED);
    REQUIRE((uintptr_t)start % align_bytes == 0);
    return enter_run(s, start, pages, flags);
}

int stage_alloc(stage *s, size_t pages, uint32_t flags)
{
    if (s->heap == NULL)
        return -1;
    errno = ERRNO_UNTOUCHED;
    return judge_alloc(s, pageheap_alloc(s->heap, pages, flags), pages, s->page_bytes, flags);
}

int stage_alloc_aligned(stage *s, size_t pages, size_t align_bytes, uint32_t flags)
{
    if (s->heap == NULL)
        return -1;
    errno = ERRNO_UNTOUCHED;
    char *start = pageheap_alloc_aligned(s->heap, pages, align_bytes, flags);
    return judge_alloc(s, start, pages, align_bytes, flags);
}

int stage_alloc_tagged(stage *s, size_t pages, uint32_t flags, const char *tag)
{
    if (s->heap == NULL)
        return -1;
    errno = ERRNO_UNTOUCHED;
    return judge_alloc(s, pageheap_alloc_tagged(s->heap, pages, flags, tag), pages, s->page_bytes, flags);
}

void stage_alloc_many(stage *s, size_t pages, uint32_t flags, size_t count)
{
    void *runs[64];
    if (s->heap == NULL)
        return;
    REQUIRE(count <= 64);
    errno = ERRNO_UNTOUCHED;
    size_t done = pageheap_alloc_many(s->heap, pages, flags, runs, count);
    REQUIRE(done <= count && errno == (done < count ? ENOMEM : ERRNO_UNTOUCHED));
    s->refused += done < count;
    for (size_t i = 0; i < done; i++)
        enter_run(s, runs[i], pages, flags);
}

/* ---- free and the rest ----------------------------------------------------------------- */

void stage_free(stage *s, unsigned index)
{
    stage_run run = s->runs[index];
    require_intact(s, &run, run.pages);
    errno = ERRNO_UNTOUCHED;
    int code = run.pattern >> 32 & 1 ? pageheap_free(s->heap, run.start, run.pages)
                                     : pageheap_free_unsized(s->heap, run.start);
    REQUIRE(code == 0);
    REQUIRE(errno == ERRNO_UNTOUCHED);
    s->runs[index] = s->runs[--s->count];
}

void stage_free_some(stage *s, unsigned step)
{
    for (unsigned index = s->count; index-- > 0;) {
        if (index % step == 0)
            stage_free(s, index);
    }
}

void stage_resize(stage *s, unsigned index, size_t new_pages, uint32_t flags)
{
    if (index >= s->count)
        return;
    stage_run *run = &s->runs[index];
    errno = ERRNO_UNTOUCHED;
    char *start = pageheap_resize(s->heap, run->start, run->pages, new_pages, flags);
    if (start == NULL) {
        REQUIRE(errno == ENOMEM);
        require_intact(s, run, run->pages);
        s->refused++;
        return;
    }
    REQUIRE(errno == ERRNO_UNTOUCHED);
    size_t kept = run->pages < new_pages ? run->pages : new_pages;
    run->start = start;
    require_intact(s, run, kept);
    if ((flags & PAGEHEAP_ZERO) && new_pages > kept)
        require_zero(s, start + kept * s->page_bytes, new_pages - kept);
    run->pages = new_pages;
    fill(s, run);
}

void stage_discard(stage *s, unsigned index, size_t first, size_t pages)
{
    if (index >= s->count)
        return;
    stage_run *run = &s->runs[index];
    errno = ERRNO_UNTOUCHED;
    REQUIRE(pageheap_discard(s->heap, run->start + first * s->page_bytes, pages) == 0);
    REQUIRE(errno == ERRNO_UNTOUCHED);
    require_zero(s, run->start + first * s->page_bytes, pages);
    fill(s, run);
}

void stage_split_and_join(stage *s, unsigned index)
{
    if (index >= s->count)
        return;
    const stage_run *run = &s->runs[index];
    char *tail = run->start + s->page_bytes;
    REQUIRE(pageheap_split(s->heap, run->start, run->pages, 1) == 0);
    REQUIRE(pageheap_join(s->heap, run->start, 1, tail, run->pages - 1) == 0);
    require_intact(s, run, run->pages);
}

void stage_check(stage *s)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    if (s->heap == NULL)
        return;
    fake_os_pause();
    uint64_t live_pages = 0;
    for (unsigned i = 0; i < s->count; i++) {
        require_intact(s, &s->runs[i], s->runs[i].pages);
        live_pages += s->runs[i].pages;
    }
    REQUIRE(pageheap_check(s->heap) == 0);
    REQUIRE(pageheap_get_stats(s->heap, &stats) == 0);
    /* A run whose guards could not be undone stays taken until the heap is destroyed. */
    uint64_t stuck = fake_os_faults_of(FAKE_ADVISE + PH_ADVICE_UNGUARD) + fake_os_faults_of(FAKE_USE);
    REQUIRE(stats.live_runs >= s->count);
    REQUIRE(stats.live_runs <= s->count + stuck);
    REQUIRE(stats.in_use_bytes >= live_pages * s->page_bytes);
    REQUIRE(stats.in_use_bytes <= stats.committed_bytes);
    fake_os_resume();
}
