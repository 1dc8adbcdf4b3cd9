/* SPDX-License-Identifier: MIT */
/* preload_real.c -- the functions behind the interposed ones,
 * and memory for the time before they are known. */
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BOOTSTRAP_BYTES  65536u
#define BOOTSTRAP_ALIGN  16u
#define BOOTSTRAP_PREFIX BOOTSTRAP_ALIGN /* holds the size, so that realloc can copy */

enum lookup { LOOKUP_NOT_DONE, LOOKUP_RUNNING, LOOKUP_DONE };

static struct real_functions functions;
static _Atomic int lookup_state;
static _Alignas(BOOTSTRAP_ALIGN) unsigned char bootstrap[BOOTSTRAP_BYTES];
static _Atomic size_t bootstrap_used_bytes;

/* dlsym returns an object pointer; copying the bits is how POSIX wants it turned into a function. */
static void look_up(void *function, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function, &symbol, sizeof symbol);
}

const struct real_functions *real_functions(void)
{
    int expected = LOOKUP_NOT_DONE;

    /* Acquire pairs with the release below: whoever sees DONE sees the pointers. */
    if (atomic_load_explicit(&lookup_state, memory_order_acquire) == LOOKUP_DONE)
        return &functions;
    if (!atomic_compare_exchange_strong(&lookup_state, &expected, LOOKUP_RUNNING))
        return NULL;
    look_up(&functions.malloc, "malloc");
    look_up(&functions.calloc, "calloc");
    look_up(&functions.realloc, "realloc");
    look_up(&functions.posix_memalign, "posix_memalign");
    look_up(&functions.aligned_alloc, "aligned_alloc");
    look_up(&functions.memalign, "memalign");
    look_up(&functions.valloc, "valloc");
    look_up(&functions.pvalloc, "pvalloc");
    look_up(&functions.free, "free");
    atomic_store_explicit(&lookup_state, LOOKUP_DONE, memory_order_release);
    return &functions;
}

/* The first allocation happens before any thread exists; looking up here keeps it that way even for a
 * program that allocates nothing before its first thread. */
__attribute__((constructor)) static void look_up_early(void)
{
    real_functions();
}

void *bootstrap_alloc(size_t bytes)
{
    size_t room_bytes, start;

    if (bytes > BOOTSTRAP_BYTES)
        return NULL;
    room_bytes = BOOTSTRAP_PREFIX + (bytes + BOOTSTRAP_ALIGN - 1) / BOOTSTRAP_ALIGN * BOOTSTRAP_ALIGN;
    start = atomic_fetch_add(&bootstrap_used_bytes, room_bytes);
    if (start + room_bytes > BOOTSTRAP_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(&bootstrap[start], &bytes, sizeof bytes);
    return &bootstrap[start + BOOTSTRAP_PREFIX];
}

bool bootstrap_owns(const void *memory)
{
    return (uintptr_t)memory - (uintptr_t)bootstrap < BOOTSTRAP_BYTES;
}

size_t bootstrap_bytes(const void *memory)
{
    size_t bytes;

    memcpy(&bytes, (const unsigned char *)memory - BOOTSTRAP_PREFIX, sizeof bytes);
    return bytes;
}

void *raw_map(size_t bytes)
{
    int saved_errno = errno;
    void *memory = MAP_FAILED;
    long result = syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

    if (result != -1)
        memory = (void *)result; /* NOLINT(performance-no-int-to-ptr): how the system names memory */
    errno = saved_errno;
    return memory;
}

void raw_unmap(void *memory, size_t bytes)
{
    int saved_errno = errno;

    (void)syscall(SYS_munmap, memory, bytes);
    errno = saved_errno;
}
