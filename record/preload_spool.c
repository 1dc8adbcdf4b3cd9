/* SPDX-License-Identifier: MIT */
/* preload_spool.c -- appends events to the file that all recorded processes share.
 *
 * The file is opened anew for each window and closed at once: a program that closes every descriptor, or
 * counts on the next free one, is not disturbed.
 */
#include "preload.h"
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum opening_state { SPOOL_NOT_TRIED, SPOOL_OPENING, SPOOL_TRIED };

static _Atomic int opening;
static struct spool_header *header; /* set once, by the first request */
static _Atomic(struct spool_event *) windows[SPOOL_MAX_WINDOWS];
static char path[PATH_MAX];

/* Shared memory of the file, or NULL.  Space is taken before it is mapped: a full disk must not turn into
 * SIGBUS in the recorded program. */
static void *map_file(uint64_t offset_bytes, size_t bytes)
{
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    long result = -1;
    int refusal = 0;

    if (file < 0)
        return NULL;
    if (syscall(SYS_fallocate, file, 0, (long)offset_bytes, (long)bytes) != 0)
        refusal = errno;
    /* A file system that cannot set space aside can still hold the file. */
    if (refusal == EOPNOTSUPP)
        refusal = ftruncate(file, (off_t)(offset_bytes + bytes)) != 0;
    if (refusal == 0)
        result = syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, (long)offset_bytes);
    (void)syscall(SYS_close, file);
    return result == -1 ? NULL : (void *)result; /* NOLINT(performance-no-int-to-ptr) */
}

static void open_spool(void)
{
    const char *name = getenv(SPOOL_PATH_VARIABLE);
    struct spool_header *mapped;

    if (name == NULL || strlen(name) >= sizeof path)
        return;
    memcpy(path, name, strlen(name) + 1);
    mapped = map_file(0, SPOOL_EVENTS_OFFSET);
    if (mapped != NULL && mapped->magic == SPOOL_MAGIC)
        header = mapped;
}

/* Opened by the first request, not by a constructor: constructors of other libraries run, and allocate,
 * before ours.  Threads that come while another is opening wait for it, or their requests would be lost. */
bool spool_is_open(void)
{
    int expected = SPOOL_NOT_TRIED;
    int saved_errno = errno;

    /* Acquire pairs with the release below: whoever sees TRIED sees the header. */
    if (atomic_load_explicit(&opening, memory_order_acquire) == SPOOL_TRIED)
        return header != NULL;
    /* The loader allocates before the C library has seen the environment;
     * that is no request of the program. */
    if (environ == NULL)
        return false;
    if (atomic_compare_exchange_strong(&opening, &expected, SPOOL_OPENING)) {
        open_spool();
        atomic_store_explicit(&opening, SPOOL_TRIED, memory_order_release);
    }
    while (atomic_load_explicit(&opening, memory_order_acquire) != SPOOL_TRIED)
        (void)syscall(SYS_sched_yield);
    errno = saved_errno;
    return header != NULL;
}

/* So that no thread has to wait in a program whose first request comes late. */
__attribute__((constructor)) static void open_early(void)
{
    (void)spool_is_open();
}

uint32_t spool_new_thread(void)
{
    return atomic_fetch_add(&header->next_thread, 1) + 1;
}

uint32_t spool_new_process(void)
{
    return atomic_fetch_add(&header->next_process, 1) + 1;
}

static struct spool_event *window_at(size_t index)
{
    struct spool_event *window, *expected = NULL;
    int saved_errno = errno;

    if (index >= SPOOL_MAX_WINDOWS)
        return NULL;
    window = atomic_load_explicit(&windows[index], memory_order_acquire);
    if (window != NULL)
        return window;
    window = map_file(SPOOL_EVENTS_OFFSET + (uint64_t)index * SPOOL_WINDOW_BYTES, SPOOL_WINDOW_BYTES);
    if (window != NULL && !atomic_compare_exchange_strong(&windows[index], &expected, window)) {
        raw_unmap(window, SPOOL_WINDOW_BYTES);
        window = expected;
    }
    errno = saved_errno;
    return window;
}

static uint64_t append(uint64_t run, uint64_t pages, uint32_t thread, uint32_t kind)
{
    uint64_t number = atomic_fetch_add(&header->next_event, 1);
    struct spool_event *window = window_at(number / SPOOL_WINDOW_EVENTS);
    struct spool_event *event;

    if (window == NULL) {
        atomic_fetch_add(&header->lost_events, 1);
        return 0;
    }
    event = &window[number % SPOOL_WINDOW_EVENTS];
    event->run = run;
    event->pages = pages;
    event->thread = thread;
    /* Release pairs with the reader's acquire: an event with a kind is a complete event. */
    atomic_store_explicit(&event->kind, kind, memory_order_release);
    return number + 1;
}

uint64_t spool_append_alloc(uint64_t pages, uint32_t thread)
{
    return append(0, pages, thread, SPOOL_ALLOC);
}

void spool_append_free(uint64_t run, uint32_t thread)
{
    if (run != 0)
        (void)append(run - 1, 0, thread, SPOOL_FREE);
}
