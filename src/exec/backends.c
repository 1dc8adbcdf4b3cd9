/* SPDX-License-Identifier: MIT */
/* backends.c -- five ways to have memory that is written and run, and never both at one address but for the
 * last.  Which are allowed where, and what they cost: docs/design/exec.md.
 *
 * The two pairs map each block of 2 MiB as an object of its own, so no descriptor stays open, a block goes
 * back by unmapping it, and no file is larger than a block, whatever RLIMIT_FSIZE says.
 */
#include "exec/code.h"

/* The views are RESERVED again.  If the system cannot even do that, they are what they are: nobody uses them
 * before the next map, and destroy unmaps all. */
static void hide_both(pageheap_exec *exec, uintptr_t rx, uintptr_t rw)
{
    (void)ph_code_note(exec, ph_code_os.hide((void *)rx, PH_BLOCK_BYTES));
    (void)ph_code_note(exec, ph_code_os.hide((void *)rw, PH_BLOCK_BYTES));
}

/* ---- two views of a file in memory -------------------------------------------------------- */

/* The rx view is made with a descriptor that cannot write, so that mprotect cannot make it writable either;
 * without /proc it is made with the other. */
static int map_views(int file, uintptr_t rx, uintptr_t rw)
{
    int reader;
    if (ph_code_os_file_limit() < PH_BLOCK_BYTES)
        return -EFBIG; /* or the kernel would send SIGXFSZ */
    int error = ph_code_os.file_resize(file, PH_BLOCK_BYTES);
    if (error != 0)
        return error;
    bool has_reader = ph_code_os.file_reopen(file, &reader) == 0;
    error = ph_code_os.file_map(has_reader ? reader : file, (void *)rx, PH_BLOCK_BYTES, PH_ACCESS_RX);
    if (has_reader)
        (void)ph_code_os.file_close(reader);
    if (error == 0)
        error = ph_code_os.file_map(file, (void *)rw, PH_BLOCK_BYTES, PH_ACCESS_RW);
    return error;
}

static int map_anon(pageheap_exec *exec, uintptr_t rx, uintptr_t rw);

static int map_memfd(pageheap_exec *exec, uintptr_t rx, uintptr_t rw)
{
    int file;
    int error = ph_code_note(exec, ph_code_os.file_create(&file));
    if (error == 0) {
        error = ph_code_note(exec, map_views(file, rx, rw));
        (void)ph_code_os.file_close(file);
        if (error != 0)
            hide_both(exec, rx, rw);
    }
    /* Descriptors may have run out since: who did not ask for this pair gets the other. */
    return error != 0 && exec->is_best ? map_anon(exec, rx, rw) : error;
}

static int write_pair(pageheap_exec *exec, uintptr_t rx, const void *from, size_t bytes)
{
    ph_os_copy((void *)(rx + exec->rw_delta), from, bytes);
    return 0;
}

/* ---- two views of shared memory without a file -------------------------------------------- */

/* Executable first: where the system refuses to make writable memory executable (PR_SET_MDWE), it still lets
 * a second view of executable memory become writable. */
static int map_anon(pageheap_exec *exec, uintptr_t rx, uintptr_t rw)
{
    int error = ph_code_os.map_shared((void *)rx, PH_BLOCK_BYTES, PH_ACCESS_RX);
    if (error == 0)
        error = ph_code_os.duplicate((void *)rx, (void *)rw, PH_BLOCK_BYTES);
    if (error == 0)
        error = ph_code_os.protect((void *)rw, PH_BLOCK_BYTES, PH_ACCESS_RW);
    if (error != 0) {
        (void)ph_code_note(exec, error);
        hide_both(exec, rx, rw);
    }
    return error;
}

/* ---- private memory: one view ------------------------------------------------------------- */

static int map_private(pageheap_exec *exec, uintptr_t rx, uintptr_t rw)
{
    bool is_rwx = exec->backend == PAGEHEAP_EXEC_RWX;
    (void)rw;
    return ph_code_note(
        exec, ph_code_os.map_private((void *)rx, PH_BLOCK_BYTES, is_rwx ? PH_ACCESS_RWX : PH_ACCESS_RX));
}

int ph_code_open_memory(pageheap_exec *exec)
{
    int error = ph_code_os.memory_open(&exec->memory_file);
    if (error == 0)
        ph_store_release(&exec->memory_process, ph_code_os_process()); /* pairs with write_by_force */
    return error;
}

/* In a child of a fork the file shows the parent's memory until our handler has replaced it: others' handlers
 * come before that, and threads that they begin. */
static int write_by_force(pageheap_exec *exec, uintptr_t rx, const void *from, size_t bytes)
{
    if (ph_load_acquire(&exec->memory_process) != ph_code_os_process()) /* pairs with ph_code_open_memory */
        return ph_code_note(exec, -EACCES);
    return ph_code_note(exec, ph_code_os.memory_write(exec->memory_file, rx, from, bytes));
}

static int write_flipped(pageheap_exec *exec, uintptr_t rx, const void *from, size_t bytes)
{
    int error = ph_code_begin_write(exec, rx, bytes);
    if (error != 0)
        return error;
    ph_os_copy((void *)rx, from, bytes);
    return ph_code_end_write(exec, rx, bytes);
}

const ph_backend ph_backends[PAGEHEAP_EXEC_BACKENDS] = {
    [PAGEHEAP_EXEC_MEMFD] = { true, true, map_memfd, write_pair },
    [PAGEHEAP_EXEC_ANON] = { true, true, map_anon, write_pair },
    [PAGEHEAP_EXEC_PRIVATE] = { false, false, map_private, write_by_force },
    [PAGEHEAP_EXEC_FLIP] = { false, false, map_private, write_flipped },
    [PAGEHEAP_EXEC_RWX] = { false, false, map_private, write_pair },
};
