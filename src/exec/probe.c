/* SPDX-License-Identifier: MIT */
/* probe.c -- which backends the system allows, found by trying each once. */
#include "exec/code.h"

#include "exec/probe.h"

#define TRY_PAGES_MAX 512 /* of a block */

/* What is known; `lock` to write, `is_known` released after the rest. */
static struct {
    ph_mutex lock;
    struct {
        int error; /* negative errno */
        bool has_guards;
        _Atomic bool is_known;
    } backends[PAGEHEAP_EXEC_BACKENDS];
    bool has_sync_core;
    _Atomic bool is_set_up;
} known;

/* Code is run, overwritten, and run again.  Who translates programs may miss what is written through another
 * address (QEMU before 8.1, Valgrind), and would then run what was there before. */
static int try_run(pageheap_exec *exec)
{
    int error = 0;
    for (int n = 1; n <= 2 && PH_RETURN_INSTRUCTIONS(1) != 0 && error == 0; n++) {
        uint64_t function = PH_RETURN_INSTRUCTIONS(n);
        error = ph_code_backend(exec)->write(exec, exec->rx_base, &function, sizeof function);
        ph_code_os_flush(exec->rx_base, sizeof function);
        if (error == 0 && ((int (*)(void))exec->rx_base)() != n)
            error = -EIO;
    }
    return error;
}

/* One block is mapped, written and read back. */
static int try_block(pageheap_exec *exec, bool *ret_guards)
{
    uintptr_t rx = exec->rx_base;
    int error = ph_code_backend(exec)->map(exec, rx, rx + exec->rw_delta);
    if (error == 0)
        error = ph_code_backend(exec)->write(exec, rx, ph_traps, sizeof ph_traps[0]);
    if (error == 0 && *(const volatile uint64_t *)rx != ph_traps[0])
        error = -EIO;
    if (error == 0)
        error = try_run(exec);
    if (error == 0)
        *ret_guards = ph_os.advise((void *)rx, (size_t)1 << exec->page_log2, PH_ADVICE_GUARD) == 0;
    return error;
}

static int try_backend(uint32_t backend, bool *ret_guards)
{
    uint16_t writers[TRY_PAGES_MAX] = { 0 };
    pageheap_exec exec = {
        .backend = backend, .page_log2 = ph_os_facts_now.page_log2, .writers = writers, .memory_file = -1
    };
    int error = 0;
    *ret_guards = false;
    if (backend == PAGEHEAP_EXEC_PRIVATE)
        error = ph_code_open_memory(&exec);
    if (error == 0)
        error = ph_code_reserve(&exec, 0, 0, PH_BLOCK_BYTES);
    if (error == 0) {
        error = try_block(&exec, ret_guards);
        ph_code_unreserve(&exec);
    }
    if (exec.memory_file >= 0)
        (void)ph_code_os.file_close(exec.memory_file);
    return error;
}

int ph_code_backend_error(uint32_t backend)
{
    if (!ph_load_acquire(&known.backends[backend].is_known)) { /* pairs with the release below */
        ph_mutex_lock(&known.lock);
        if (!ph_load_relaxed(&known.backends[backend].is_known)) {
            known.backends[backend].error = try_backend(backend, &known.backends[backend].has_guards);
            ph_store_release(&known.backends[backend].is_known, true);
        }
        ph_mutex_unlock(&known.lock);
    }
    return known.backends[backend].error;
}

bool ph_code_backend_has_guards(uint32_t backend)
{
    return ph_code_backend_error(backend) == 0 && known.backends[backend].has_guards;
}

uint32_t ph_code_best_backend(void)
{
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend <= PAGEHEAP_EXEC_FLIP; backend++) {
        if (ph_code_backend_error(backend) == 0)
            return backend;
    }
    return PAGEHEAP_EXEC_BEST;
}

bool ph_code_has_sync_core(void)
{
    return known.has_sync_core;
}

static void fill_traps(void)
{
    for (unsigned i = 0; i < PH_TRAP_WORDS; i++)
        ph_traps[i] = PH_TRAP_INSTRUCTIONS;
}

int ph_code_setup(void)
{
    int error = ph_os_setup();
    if (error != 0 || ph_load_acquire(&known.is_set_up)) /* pairs with the release below */
        return error;
    ph_mutex_lock(&known.lock);
    if (!ph_load_relaxed(&known.is_set_up)) {
        fill_traps();
        known.has_sync_core = ph_code_os_setup() == 0;
        ph_store_release(&known.is_set_up, true);
    }
    ph_mutex_unlock(&known.lock);
    return 0;
}

void ph_code_probe(bool try_rwx, pageheap_exec_caps *ret_caps)
{
    ret_caps->best = ph_code_best_backend();
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend <= PAGEHEAP_EXEC_FLIP; backend++)
        ret_caps->errors[backend] = -ph_code_backend_error(backend);
    ret_caps->errors[PAGEHEAP_EXEC_BEST] = ret_caps->best != PAGEHEAP_EXEC_BEST ? 0 : ENOTSUP;
    ret_caps->errors[PAGEHEAP_EXEC_RWX] = try_rwx ? -ph_code_backend_error(PAGEHEAP_EXEC_RWX) : ENOTSUP;
    ret_caps->has_guards =
        ph_code_backend_has_guards(PAGEHEAP_EXEC_MEMFD) || ph_code_backend_has_guards(PAGEHEAP_EXEC_ANON);
    ret_caps->has_sync_core = known.has_sync_core;
}
