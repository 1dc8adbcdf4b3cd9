/* SPDX-License-Identifier: MIT */
/* code_os_linux.c -- the table of code_os.h on Linux. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/code_os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/result.h"

/* Newer than the headers of Debian 12; the kernel says EINVAL or ENOSYS where it does not know them. */
#define FILE_NOEXEC_SEAL 8u  /* MFD_NOEXEC_SEAL, Linux 6.3: allowed whatever vm.memfd_noexec says */
#define ADVICE_COLLAPSE  25  /* MADV_COLLAPSE, Linux 6.1 */
#define CALL_MSEAL       462 /* Linux 6.10 */

static int protection_of(enum ph_access access)
{
    switch (access) {
    case PH_ACCESS_RX:
        return PROT_READ | PROT_EXEC;
    case PH_ACCESS_RW:
        return PROT_READ | PROT_WRITE;
    case PH_ACCESS_RWX:
        return PROT_READ | PROT_WRITE | PROT_EXEC;
    }
    return PROT_NONE;
}

static int map_fixed(void *base, size_t bytes, int protection, int flags, int file)
{
    PH_RETURN_RESULT(mmap(base, bytes, protection, MAP_FIXED | flags, file, 0) != MAP_FAILED);
}

/* A kernel that does not know MAP_FIXED_NOREPLACE (before 4.17) takes the address for a wish. */
static int linux_reserve_at(void *base, size_t bytes)
{
    int saved = errno;
    void *got = mmap(base, bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    int result = got == MAP_FAILED ? -errno : 0;
    if (result == 0 && got != base) {
        munmap(got, bytes);
        result = -EEXIST;
    }
    errno = saved;
    return result;
}

static int linux_hide(void *base, size_t bytes)
{
    return map_fixed(base, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

static int linux_file_create(int *ret_file)
{
    int saved = errno;
    int file = memfd_create("pageheap-code", MFD_CLOEXEC | FILE_NOEXEC_SEAL);
    if (file < 0 && errno == EINVAL)
        file = memfd_create("pageheap-code", MFD_CLOEXEC);
    int result = file < 0 ? -errno : 0;
    errno = saved;
    if (result == 0)
        *ret_file = file;
    return result;
}

static int linux_file_resize(int file, size_t bytes)
{
    PH_RETURN_RESULT(ftruncate(file, (off_t)bytes) == 0);
}

static int open_at(const char *path, int flags, int *ret_file)
{
    int saved = errno;
    int file = open(path, flags | O_CLOEXEC);
    int result = file < 0 ? -errno : 0;
    errno = saved;
    if (result == 0)
        *ret_file = file;
    return result;
}

static int linux_file_reopen(int file, int *ret_reader)
{
    char path[] = "/proc/self/fd/0000000000";
    char *end = path + sizeof path - 1;
    char *digit = end;
    unsigned number = (unsigned)file;
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    char *to = path + sizeof "/proc/self/fd/" - 1;
    while (digit < end)
        *to++ = *digit++;
    *to = 0;
    return open_at(path, O_RDONLY, ret_reader);
}

static int linux_file_map(int file, void *base, size_t bytes, enum ph_access access)
{
    return map_fixed(base, bytes, protection_of(access), MAP_SHARED | MAP_NORESERVE, file);
}

static int linux_file_close(int file)
{
    PH_RETURN_RESULT(close(file) == 0);
}

static int linux_map_shared(void *base, size_t bytes, enum ph_access access)
{
    return map_fixed(base, bytes, protection_of(access), MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

static int linux_map_private(void *base, size_t bytes, enum ph_access access)
{
    return map_fixed(base, bytes, protection_of(access), MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int linux_duplicate(void *from, void *to, size_t bytes)
{
    PH_RETURN_RESULT(mremap(from, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED);
}

static int linux_protect(void *base, size_t bytes, enum ph_access access)
{
    PH_RETURN_RESULT(mprotect(base, bytes, protection_of(access)) == 0);
}

static int linux_remove(void *writable, size_t bytes)
{
    PH_RETURN_RESULT(madvise(writable, bytes, MADV_REMOVE) == 0);
}

static int linux_keep_from_child(void *base, size_t bytes)
{
    PH_RETURN_RESULT(madvise(base, bytes, MADV_DONTFORK) == 0);
}

static int linux_collapse(void *base, size_t bytes)
{
    PH_RETURN_RESULT(madvise(base, bytes, ADVICE_COLLAPSE) == 0);
}

static int linux_seal(void *base, size_t bytes)
{
    PH_RETURN_RESULT(syscall(CALL_MSEAL, base, bytes, 0) == 0);
}

static int linux_memory_open(int *ret_memory)
{
    return open_at("/proc/self/mem", O_RDWR, ret_memory);
}

/* The kernel writes whatever the pages allow: it is asked on our own behalf (FOLL_FORCE).  It may stop at any
 * page; it makes progress or says why not. */
static int linux_memory_write(int memory, uintptr_t at, const void *from, size_t bytes)
{
    int saved = errno;
    int result = 0;
    const char *next = from;
    while (bytes != 0 && result == 0) {
        ssize_t written = pwrite(memory, next, bytes, (off_t)at);
        if (written > 0) {
            next += written;
            at += (uintptr_t)written;
            bytes -= (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            result = written == 0 ? -EIO : -errno;
        }
    }
    errno = saved;
    return result;
}

static int linux_sync_cores(void)
{
    PH_RETURN_RESULT(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0);
}

ph_code_os_calls ph_code_os = {
    .reserve_at = linux_reserve_at,
    .hide = linux_hide,
    .file_create = linux_file_create,
    .file_resize = linux_file_resize,
    .file_reopen = linux_file_reopen,
    .file_map = linux_file_map,
    .file_close = linux_file_close,
    .map_shared = linux_map_shared,
    .map_private = linux_map_private,
    .duplicate = linux_duplicate,
    .protect = linux_protect,
    .remove = linux_remove,
    .keep_from_child = linux_keep_from_child,
    .collapse = linux_collapse,
    .seal = linux_seal,
    .memory_open = linux_memory_open,
    .memory_write = linux_memory_write,
    .sync_cores = linux_sync_cores,
};

int ph_code_os_setup(void)
{
    PH_RETURN_RESULT(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0);
}

/* glibc's, from 2.32 on: <sys/single_threaded.h>. */
extern char __libc_single_threaded __attribute__((weak));

bool ph_code_os_is_alone(void)
{
    return &__libc_single_threaded != NULL && __libc_single_threaded != 0;
}

uint32_t ph_code_os_process(void)
{
    return (uint32_t)getpid();
}

uint64_t ph_code_os_file_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? (uint64_t)limit.rlim_cur : UINT64_MAX;
}

uintptr_t ph_code_os_entry(void)
{
    return (uintptr_t)getauxval(AT_ENTRY);
}

uintptr_t ph_code_os_break(void)
{
    return (uintptr_t)sbrk(0);
}

void ph_code_os_flush(uintptr_t base, size_t bytes)
{
    __builtin___clear_cache((char *)base, (char *)(base + bytes));
}
