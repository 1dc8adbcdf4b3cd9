/* SPDX-License-Identifier: MIT */
/* code_os.h -- what executable memory needs from the system beyond os.h, as a second table of calls.
 *
 * A range of address space may be, beside RESERVED and gone (os.h),
 *     RX, RW, RWX   what a page allows; all of them read zero until written
 * Two ranges may be views of one object: a file in memory, or shared memory without one.
 *
 * Every call returns 0 or a negative errno value and leaves errno alone.  Those that map put what they map in
 * the place of whatever was there; if such a call fails, that may be gone all the same.
 */
#ifndef PH_OS_CODE_OS_H
#define PH_OS_CODE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ph_access { PH_ACCESS_RX, PH_ACCESS_RW, PH_ACCESS_RWX };

typedef struct ph_code_os_calls {
    int (*reserve_at)(void *base, size_t bytes); /* gone -> RESERVED, just there: EEXIST if that is taken */
    int (*hide)(void *base, size_t bytes);       /* anything -> RESERVED; memory goes back */

    /* A file in memory.  A view made with a reopened descriptor can never be made writable. */
    int (*file_create)(int *ret_file);
    int (*file_resize)(int file, size_t bytes);
    int (*file_reopen)(int file, int *ret_reader);
    int (*file_map)(int file, void *base, size_t bytes, enum ph_access access);
    int (*file_close)(int file);

    int (*map_shared)(void *base, size_t bytes, enum ph_access access);
    int (*map_private)(void *base, size_t bytes, enum ph_access access);
    int (*duplicate)(void *from, void *to, size_t bytes); /* shared memory: a second view, as the first */
    int (*protect)(void *base, size_t bytes, enum ph_access access);
    int (*remove)(void *writable, size_t bytes);      /* shared memory goes back; reads zero in all views */
    int (*keep_from_child)(void *base, size_t bytes); /* not in the child of fork */
    int (*collapse)(void *base, size_t bytes);        /* huge pages now */
    int (*seal)(void *base, size_t bytes);            /* as it is for good */

    int (*memory_open)(int *ret_memory); /* this process's memory, as a file */
    int (*memory_write)(int memory, uintptr_t at, const void *from, size_t bytes);

    int (*sync_cores)(void); /* every running thread of the process fetches its instructions anew */
} ph_code_os_calls;

extern ph_code_os_calls ph_code_os;

/* Make sync_cores legal; once per process is enough.  0 or a negative errno. */
int ph_code_os_setup(void);

/* True if the process has only ever had this one thread, as far as the C library knows. */
bool ph_code_os_is_alone(void);

/* The number of this process, which is not its parent's. */
uint32_t ph_code_os_process(void);

/* The largest file that may be written, in bytes. */
uint64_t ph_code_os_file_limit(void);

/* The address at which the program begins to run. */
uintptr_t ph_code_os_entry(void);

/* The end of what brk has given so far. */
uintptr_t ph_code_os_break(void);

/* Instruction caches agree with what was written there. */
void ph_code_os_flush(uintptr_t base, size_t bytes);

#endif
