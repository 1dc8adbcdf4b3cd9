/* SPDX-License-Identifier: MIT */
/* poison.c -- tell AddressSanitizer which memory nobody holds. */
#include "os/os.h"

#include "base/compiler.h"

#if PH_HAS_ASAN
#include <sanitizer/asan_interface.h>

void ph_os_poison(const void *base, size_t bytes)
{
    __asan_poison_memory_region(base, bytes);
}

void ph_os_unpoison(const void *base, size_t bytes)
{
    __asan_unpoison_memory_region(base, bytes);
}
#else
void ph_os_poison(const void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
}

void ph_os_unpoison(const void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
}
#endif
