/* SPDX-License-Identifier: MIT */
/* mir_heap.c -- MIR's executable memory, writable or executable by turns.
 *
 * MIR_init2 takes an allocator of code: map, unmap, protect.  Programs that call MIR_init get MIR's own, and
 * so do MIR's tests; the linker's --wrap=_MIR_init, the function behind both, gives them ours.
 *
 * MIR asks for PROT_WRITE_EXEC, copies, and asks for PROT_READ_EXEC.  What it copies comes from a buffer, and
 * nothing runs in the pages meanwhile, so they need not be executable: a heap whose pages flip serves it.  A
 * program in which one thread runs code of a context while another generates more of it needs the backend
 * _RWX (PAGEHEAP_CLIENT_BACKEND=rwx).
 */
#include "client.h"

#include <sys/mman.h> /* whose MAP_FAILED is what MIR compares with; its header says NULL */

#undef MAP_FAILED
#include <mir-code-alloc.h>

#define MAP_REFUSED ((void *)-1)

static void *map(size_t bytes, void *ctx)
{
    pageheap_exec_span span;
    (void)ctx;
    return client_take(bytes, NULL, &span) == 0 ? span.rx : MAP_REFUSED;
}

static int unmap(void *start, size_t bytes, void *ctx)
{
    (void)bytes, (void)ctx;
    return client_give(start) == 0 ? 0 : -1;
}

static int protect(void *start, size_t bytes, MIR_mem_protect_t protection, void *ctx)
{
    (void)ctx;
    if (protection == PROT_WRITE_EXEC)
        return client_begin_write(start, bytes) == 0 ? 0 : -1;
    if (client_end_write(start, bytes) != 0 || client_publish(start, bytes) != 0)
        return -1;
    return 0;
}

__attribute__((constructor)) static void start(void)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_FLIP;
    client_start(&options);
}

struct MIR_context;
struct MIR_alloc;
struct MIR_context *__real__MIR_init(struct MIR_alloc *alloc, MIR_code_alloc_t code_alloc);
struct MIR_context *__wrap__MIR_init(struct MIR_alloc *alloc, MIR_code_alloc_t code_alloc);

struct MIR_context *__wrap__MIR_init(struct MIR_alloc *alloc, MIR_code_alloc_t code_alloc)
{
    static struct MIR_code_alloc ours = { map, unmap, protect, NULL };
    return __real__MIR_init(alloc, code_alloc == NULL ? &ours : code_alloc);
}
