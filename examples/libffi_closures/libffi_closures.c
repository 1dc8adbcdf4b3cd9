/* SPDX-License-Identifier: MIT */
/* libffi_closures.c -- C function pointers made at run time by an unmodified libffi, and no page is writable
 * and executable.
 *
 * A closure is a function pointer that carries data: a few instructions, and behind them what they need to
 * find the handler and its data.  libffi's own ffi_closure_alloc gets memory for them that is, with most
 * builds of it, writable and executable at once.  ffi_prep_closure_loc takes the two addresses apart: where
 * the closure is written, and where it runs.  That is exactly a span.
 */
#include "common.h"

#include <ffi.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLOSURES 1000

typedef int plus_function(int);

/* What every closure runs: its data is a number, which it adds to its argument. */
static void plus(ffi_cif *cif, void *ret, void **arguments, void *data)
{
    (void)cif;
    *(ffi_sarg *)ret = *(int *)arguments[0] + *(const int *)data;
}

/* The type of plus_function, as libffi wants it told. */
static ffi_cif *plus_type(void)
{
    static ffi_cif cif;
    static ffi_type *arguments[] = { &ffi_type_sint };
    REQUIRE(ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 1, &ffi_type_sint, arguments) == FFI_OK);
    return &cif;
}

/* ---- libffi's own way, for comparison ----------------------------------------------------- */

/* One closure made as libffi's manual says, in a process of its own; prints what that maps. */
static void stock_closure(void)
{
    static int number = 40;
    void *code = NULL;
    ffi_closure *closure = ffi_closure_alloc(sizeof *closure, &code);
    if (closure == NULL) {
        printf("ffi_closure_alloc:  the system refuses what it asks for\n");
        return;
    }
    REQUIRE(ffi_prep_closure_loc(closure, plus_type(), plus, &number, code) == FFI_OK);
    REQUIRE(((plus_function *)code)(2) == 42);
    printf("ffi_closure_alloc:  1 closure, %d mappings writable and executable\n", mappings_with("wx"));
    ffi_closure_free(closure);
}

static void stock_closure_in_child(void)
{
    fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        stock_closure();
        exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- ours ----------------------------------------------------------------------------------- */

static plus_function *make_closure(pageheap_exec *heap, pageheap_exec_span *span, int *number)
{
    REQUIRE(pageheap_exec_alloc(heap, sizeof(ffi_closure), span) == 0);
    ffi_closure *closure = span->rw;
    memset(closure, 0, sizeof *closure); /* or libffi takes what lies there for a trampoline of its own */
    REQUIRE(ffi_prep_closure_loc(closure, plus_type(), plus, number, span->rx) == FFI_OK);
    REQUIRE(pageheap_exec_publish(heap, span->rx, sizeof *closure) == 0);
    return (plus_function *)span->rx;
}

static int try_closures(pageheap_exec *heap)
{
    static pageheap_exec_span spans[CLOSURES];
    static plus_function *functions[CLOSURES];
    static int numbers[CLOSURES];
    for (int i = 0; i < CLOSURES; i++) {
        numbers[i] = 1000 * i;
        functions[i] = make_closure(heap, &spans[i], &numbers[i]);
    }
    for (int i = 0; i < CLOSURES; i++)
        REQUIRE(functions[i](i) == 1001 * i);
    int writable = mappings_with("wx");
    printf("pageheap_exec:  %d closures of %zu bytes, all called, %d mappings writable and executable\n",
           CLOSURES, sizeof(ffi_closure), writable);
    for (int i = 0; i < CLOSURES; i++)
        REQUIRE(pageheap_exec_free(heap, spans[i].rx, sizeof(ffi_closure)) == 0);
    REQUIRE(pageheap_exec_free(heap, spans[0].rx, sizeof(ffi_closure)) != 0);
    return writable;
}

int main(void)
{
    stock_closure_in_child();
    pageheap_exec *heap = pageheap_exec_create(NULL);
    if (heap == NULL) {
        perror("no executable memory here");
        return SKIPPED;
    }
    uint32_t backend = backend_of(heap);
    if (backend != PAGEHEAP_EXEC_MEMFD && backend != PAGEHEAP_EXEC_ANON) {
        printf("the best backend here is %s, which has no second view to write closures through\n",
               backend_name(backend));
        return SKIPPED;
    }
    REQUIRE(try_closures(heap) == 0);
    REQUIRE(pageheap_exec_check(heap) == 0);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
    return 0;
}
