/* SPDX-License-Identifier: MIT */
/* os_linux.c -- the table of os.h on Linux.
 *
 * Address space is reserved PROT_NONE: such a mapping is charged neither under strict overcommit nor to
 * RLIMIT_DATA, and mprotect makes it usable step by step.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/units.h"
#include "os/mutex.h"
#include "os/result.h"

/* Newer than the headers of Debian 12; the kernel says EINVAL where it does not know them. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define ADVICE_GUARD_INSTALL 102 /* Linux 6.13, include/uapi/asm-generic/mman-common.h */
#define ADVICE_GUARD_REMOVE  103

static int map_with(size_t bytes, int protection, int flags, void **ret_base)
{
    int saved = errno;
    void *base = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    int result = base == MAP_FAILED ? -errno : 0;
    errno = saved;
    if (result == 0)
        *ret_base = base;
    return result;
}

static int linux_reserve(size_t bytes, void **ret_base)
{
    return map_with(bytes, PROT_NONE, MAP_NORESERVE, ret_base);
}

static int linux_map(size_t bytes, void **ret_base)
{
    return map_with(bytes, PROT_READ | PROT_WRITE, 0, ret_base);
}

static int linux_use(void *base, size_t bytes)
{
    PH_RETURN_RESULT(mprotect(base, bytes, PROT_READ | PROT_WRITE) == 0);
}

static int linux_unmap(void *base, size_t bytes)
{
    ph_os_unpoison(base, bytes); /* whoever maps here next must not inherit our poison */
    PH_RETURN_RESULT(munmap(base, bytes) == 0);
}

static int linux_forbid(void *base, size_t bytes)
{
    PH_RETURN_RESULT(mprotect(base, bytes, PROT_NONE) == 0);
}

static int advice_number(enum ph_advice advice)
{
    switch (advice) {
    case PH_ADVICE_DISCARD:
        return MADV_DONTNEED;
    case PH_ADVICE_HUGE:
        return MADV_HUGEPAGE;
    case PH_ADVICE_NOHUGE:
        return MADV_NOHUGEPAGE;
    case PH_ADVICE_NODUMP:
        return MADV_DONTDUMP;
    case PH_ADVICE_DODUMP:
        return MADV_DODUMP;
    case PH_ADVICE_GUARD:
        return ADVICE_GUARD_INSTALL;
    case PH_ADVICE_UNGUARD:
        return ADVICE_GUARD_REMOVE;
    case PH_ADVICE_POPULATE:
        return MADV_POPULATE_WRITE;
    }
    return -1;
}

static int linux_advise(void *base, size_t bytes, enum ph_advice advice)
{
    PH_RETURN_RESULT(madvise(base, bytes, advice_number(advice)) == 0);
}

static int linux_lock(void *base, size_t bytes)
{
    PH_RETURN_RESULT(mlock(base, bytes) == 0);
}

static int linux_unlock(void *base, size_t bytes)
{
    PH_RETURN_RESULT(munlock(base, bytes) == 0);
}

static uint64_t linux_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Counted by the kernel for the whole process: our memory's faults and all others. */
static uint64_t linux_faults(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_minflt : 0;
}

static int linux_barrier(void)
{
    PH_RETURN_RESULT(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
}

ph_os_calls ph_os = {
    .reserve = linux_reserve,
    .use = linux_use,
    .map = linux_map,
    .unmap = linux_unmap,
    .forbid = linux_forbid,
    .advise = linux_advise,
    .lock = linux_lock,
    .unlock = linux_unlock,
    .now_ms = linux_now_ms,
    .faults = linux_faults,
    .barrier = linux_barrier,
};

ph_os_facts ph_os_facts_now;

static void fatal_line(const char *what, const char *file, int line)
{
    (void)line; /* the text of the fact is unique enough, and needs no number formatting */
    static const char head[] = "pageheap: internal fact does not hold: ";
    ph_os_complain(head, sizeof head - 1);
    ph_os_complain(what, strlen(what));
    ph_os_complain(" in ", 4);
    ph_os_complain(file, strlen(file));
    ph_os_complain("\n", 1);
    ph_os_abort();
}

/* The system's setting reads "[always] madvise never" or the like. */
static bool gives_huge_pages(void)
{
    char text[16] = "";
    int file = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 && strncmp(text, "[always]", 8) == 0;
}

/* 0, or a negative errno where the system's page is larger than any of ours. */
static int judge_page_size(void)
{
    return ph_os_facts_now.page_log2 <= PH_PAGE_LOG2_MAX ? 0 : -ENOSYS;
}

int ph_os_setup(void)
{
    static ph_mutex setup_lock;
    static _Atomic bool is_done; /* setup_lock to change */
    /* Once done, no lock: a child forked while another thread held it would wait for ever. */
    if (ph_load_acquire(&is_done)) /* pairs with the release below */
        return judge_page_size();
    ph_mutex_lock(&setup_lock);
    if (!ph_load_relaxed(&is_done)) {
        int saved = errno;
        ph_fatal = fatal_line;
        ph_os_facts_now.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
        ph_os_facts_now.page_log2 = ph_lowest_bit(ph_os_facts_now.page_bytes);
        ph_os_facts_now.has_huge_pages = gives_huge_pages();
        /* Registering makes the expedited call legal; a child of fork inherits it. */
        ph_os_facts_now.has_barrier =
            syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
        errno = saved;
        ph_store_release(&is_done, true);
    }
    ph_mutex_unlock(&setup_lock);
    return judge_page_size();
}

int ph_os_reserve_aligned(size_t bytes, size_t align_bytes, void **ret_base)
{
    void *base;
    int error = ph_os.reserve(bytes, &base);
    if (error != 0)
        return error;
    if (((uintptr_t)base & (align_bytes - 1)) == 0) {
        *ret_base = base;
        return 0;
    }
    /* The kernel aligns by chance only: ask for more and cut.  A cut that fails leaves address space
     * reserved, which costs nothing and which nobody will miss. */
    (void)ph_os.unmap(base, bytes);
    error = ph_os.reserve(bytes + align_bytes, &base);
    if (error != 0)
        return error;
    uintptr_t start = (uintptr_t)base;
    uintptr_t aligned = ph_align_up(start, align_bytes);
    if (aligned != start)
        (void)ph_os.unmap(base, aligned - start);
    if (start + align_bytes != aligned)
        (void)ph_os.unmap((void *)(aligned + bytes), start + align_bytes - aligned);
    *ret_base = (void *)aligned;
    return 0;
}

const char *ph_os_getenv(const char *name)
{
    return secure_getenv(name);
}

void ph_os_complain(const char *text, size_t length_bytes)
{
    int saved = errno;
    ssize_t written = write(STDERR_FILENO, text, length_bytes);
    (void)written;
    errno = saved;
}

_Noreturn void ph_os_abort(void)
{
    abort();
}

void ph_os_clear(void *base, size_t bytes)
{
    memset(base, 0, bytes);
}

void ph_os_copy(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
