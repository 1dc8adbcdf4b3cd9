/* SPDX-License-Identifier: MIT */
/* gdb_target.c -- a program for gdb_test.sh to debug: JIT code calls JIT code, and that a C function. */
#include <pageheap/exec_tools.h>

#include <stdio.h>
#include <string.h>

/* Code that keeps a frame pointer and calls its first argument with its second. */
#if defined(__x86_64__)
static const unsigned char code[] = {
    0x55,             /* push %rbp */
    0x48, 0x89, 0xe5, /* mov  %rsp, %rbp */
    0x48, 0x89, 0xf8, /* mov  %rdi, %rax */
    0x48, 0x89, 0xf7, /* mov  %rsi, %rdi */
    0x48, 0x89, 0xd6, /* mov  %rdx, %rsi */
    0xff, 0xd0,       /* call *%rax */
    0x5d,             /* pop  %rbp */
    0xc3              /* ret */
};
#elif defined(__aarch64__)
static const unsigned int code[] = {
    0xa9bf7bfd, /* stp x29, x30, [sp, #-16]! */
    0x910003fd, /* mov x29, sp */
    0xaa0003e8, /* mov x8, x0 */
    0xaa0103e0, /* mov x0, x1 */
    0xaa0203e1, /* mov x1, x2 */
    0xd63f0100, /* blr x8 */
    0xa8c17bfd, /* ldp x29, x30, [sp], #16 */
    0xd65f03c0  /* ret */
};
#else
static const unsigned char code[] = { 0 };
#endif

typedef void (*step)(void *first, void *second, void *third);

enum { crowd = 200, skipped = 77 };

void stop_here(const char *how);

/* The debugger has a breakpoint on this. */
void stop_here(const char *how)
{
    printf("stopped %s\n", how);
    fflush(stdout);
}

static pageheap_exec_span compile(pageheap_exec *heap, const char *name)
{
    pageheap_exec_span span = { .rx = NULL };
    if (pageheap_exec_alloc(heap, sizeof(code), &span) != 0 ||
        pageheap_exec_write(heap, span.rx, code, sizeof(code)) != 0 ||
        pageheap_exec_publish(heap, span.rx, sizeof(code)) != 0)
        return (pageheap_exec_span){ .rx = NULL };
    pageheap_exec_name(heap, span.rx, sizeof(code), name);
    return span;
}

static int run(pageheap_exec *heap, pageheap_exec_tools_gdb *gdb, const char *how)
{
    char text[64];
    pageheap_exec_span others[crowd];
    for (int i = 0; i < crowd; i++) {
        snprintf(text, sizeof(text), "jit_other_%d", i);
        others[i] = compile(heap, text);
    }
    /* The address of this one is the next one's, under another name. */
    pageheap_exec_span gone = compile(heap, "jit_gone");
    pageheap_exec_free(heap, gone.rx, gone.bytes);
    pageheap_exec_span outer = compile(heap, "jit_outer");
    pageheap_exec_span inner = compile(heap, "jit_inner<int>(char const*)");
    if (outer.rx == NULL || inner.rx == NULL)
        return 1;
    if (strcmp(how, "flushed") == 0)
        pageheap_exec_tools_gdb_flush(gdb);
    step first;
    void (*last)(const char *) = stop_here;
    void *middle, *end;
    memcpy(&first, &outer.rx, sizeof(first));
    memcpy(&middle, &inner.rx, sizeof(middle));
    memcpy(&end, &last, sizeof(end));
    first(middle, end, (void *)how);
    for (int i = 0; i < crowd; i++)
        pageheap_exec_free(heap, others[i].rx, others[i].bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (sizeof(code) == 1)
        return skipped;
    pageheap_exec_tools_gdb *gdb = pageheap_exec_tools_gdb_open();
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.hooks = pageheap_exec_tools_gdb_hooks(gdb);
    options.reserve_bytes = (uint64_t)8 << 20; /* GDB saves all of it in a core file */
    pageheap_exec *heap = pageheap_exec_create(&options);
    if (gdb == NULL || heap == NULL)
        return 1;
    int status = run(heap, gdb, argc > 1 ? argv[1] : "flushed");
    pageheap_exec_destroy(heap);
    pageheap_exec_tools_gdb_close(gdb);
    return status;
}
