/* SPDX-License-Identifier: MIT */
/* exec_test.h -- what the tests of executable heaps share: code that can be run, what the system says of this
 * process's mappings, faults that are caught.
 *
 * Nothing here knows more of the library than its headers say. */
#ifndef PH_TESTS_EXEC_TEST_H
#define PH_TESTS_EXEC_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"
#include "clock.h"
#include "pageheap/exec.h"
#include "setting.h"
#include "unit/dice.h"

#define PAGE  ((size_t)4096)
#define BLOCK ((size_t)2 << 20)

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||     \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define EXEC_SHARE 20u /* everything takes so much longer */
#else
#define EXEC_SHARE 1u
#endif

static inline bool exec_is_long(void)
{
    return setting("PAGEHEAP_TEST_LONG", 0) != 0;
}

/* ---- backends and heaps ---------------------------------------------------------------- */

static inline const char *exec_name_of(uint32_t backend)
{
    static const char *const names[PAGEHEAP_EXEC_BACKENDS] = { "best",    "memfd", "anon",
                                                               "private", "flip",  "rwx" };
    return backend < PAGEHEAP_EXEC_BACKENDS ? names[backend] : "?";
}

static inline bool exec_works(uint32_t backend)
{
    pageheap_exec_caps caps = { .struct_bytes = sizeof caps };
    return pageheap_exec_probe(PAGEHEAP_EXEC_TRY_RWX, &caps) == 0 && caps.errors[backend] == 0;
}

/* Backends whose memory is written by another address than it runs at. */
static inline bool exec_is_pair(uint32_t backend)
{
    return backend == PAGEHEAP_EXEC_MEMFD || backend == PAGEHEAP_EXEC_ANON;
}

static inline bool exec_enter(uint32_t backend)
{
    if (exec_works(backend))
        print_message("  %s\n", exec_name_of(backend)); /* what an assertion that fails was about */
    return exec_works(backend);
}

/* The body runs for each backend that works here, from the first to the last. */
#define EXEC_FOR_BACKENDS(backend, last)                                                                     \
    for (uint32_t backend = PAGEHEAP_EXEC_MEMFD; backend <= (last); backend++)                               \
        if (exec_enter(backend))

static inline pageheap_exec_options exec_options(uint32_t backend)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = backend;
    return options;
}

static inline pageheap_exec *exec_heap(uint32_t backend)
{
    pageheap_exec_options options = exec_options(backend);
    return pageheap_exec_create(&options);
}

/* One that ends so soon that a test can fill it. */
static inline pageheap_exec *exec_small_heap(uint32_t backend, uint64_t reserve_bytes)
{
    pageheap_exec_options options = exec_options(backend);
    options.reserve_bytes = reserve_bytes;
    return pageheap_exec_create(&options);
}

static inline pageheap_exec_stats exec_stats(pageheap_exec *heap)
{
    pageheap_exec_stats stats = { .struct_bytes = sizeof stats };
    if (pageheap_exec_get_stats(heap, &stats) != 0)
        abort();
    return stats;
}

/* What a refused call may not change.  Threads keep pieces ready, so the numbers are those of one moment. */
static inline bool exec_is_same(const pageheap_exec_stats *a, const pageheap_exec_stats *b)
{
    return a->reserved_bytes == b->reserved_bytes && a->mapped_bytes == b->mapped_bytes &&
           a->in_use_bytes == b->in_use_bytes && a->piece_bytes == b->piece_bytes &&
           a->mappings == b->mappings && a->resident_bytes == b->resident_bytes &&
           a->given_back_bytes == b->given_back_bytes;
}

/* ---- code ------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define CODE_BYTES    ((size_t)6)
#define CODE_STEP     ((size_t)1)    /* instructions begin at multiples of this */
#define TRAP_PC_SLACK ((uintptr_t)1) /* int3 is reported by the address behind it */

/* Code that returns `answer`. */
static inline void code_make(unsigned char *ret_code, uint32_t answer)
{
    ret_code[0] = 0xb8; /* mov eax, answer */
    memcpy(ret_code + 1, &answer, sizeof answer);
    ret_code[5] = 0xc3; /* ret */
}

/* Code that returns wherever it is entered. */
static inline void code_make_slide(unsigned char *ret_code, size_t bytes)
{
    memset(ret_code, 0x90, bytes); /* nop */
    ret_code[bytes - 1] = 0xc3;
}

static inline uintptr_t fault_pc_of(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

/* Call `target` with registers through which zeroed memory, taken for code, could write without a fault. */
static inline void code_jump(void *target)
{
    static _Thread_local char scratch[4096];
    void *rax = scratch + 2048, *rcx = rax, *rdx = rax, *rsi = rax, *rdi = rax;
    __asm__ volatile("lea -256(%%rsp), %%rsp\n\tcall *%[target]\n\tlea 256(%%rsp), %%rsp"
                     : "+a"(rax), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi)
                     : [target] "b"(target)
                     : "r8", "r9", "r10", "r11", "memory", "cc");
}
#else
#define CODE_BYTES    ((size_t)12)
#define CODE_STEP     ((size_t)4)
#define TRAP_PC_SLACK ((uintptr_t)0)

static inline void code_make(unsigned char *ret_code, uint32_t answer)
{
    uint32_t code[3] = { 0x52800000u | (answer & 0xffff) << 5, /* movz w0, low half */
                         0x72a00000u | (answer >> 16) << 5,    /* movk w0, high half, lsl 16 */
                         0xd65f03c0u };                        /* ret */
    memcpy(ret_code, code, sizeof code);
}

static inline void code_make_slide(unsigned char *ret_code, size_t bytes)
{
    uint32_t nop = 0xd503201fu, ret = 0xd65f03c0u;
    for (size_t byte = 0; byte + 4 <= bytes; byte += 4)
        memcpy(ret_code + byte, byte + 8 > bytes ? &ret : &nop, 4);
}

static inline uintptr_t fault_pc_of(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.pc;
}

static inline void code_jump(void *target)
{
    ((void (*)(void))(uintptr_t)target)();
}
#endif

static inline uint32_t code_run(const void *rx)
{
    return ((uint32_t(*)(void))(uintptr_t)rx)();
}

/* A span's whole contents: code that returns `key`, and bytes behind it that follow from it.  Here those from
 * `offset` on, a multiple of 8. */
static inline void pattern_make(unsigned char *ret_bytes, size_t offset, size_t bytes, uint32_t key)
{
    unsigned char code[16];
    for (size_t byte = 0; byte < bytes; byte += 8) {
        uint64_t word = (offset + byte + 1) * 0x9e3779b97f4a7c15u + key * 0xd1b54a32d192ed03u;
        word = (word ^ word >> 29) * 0xbf58476d1ce4e5b9u;
        memcpy(ret_bytes + byte, &word, bytes - byte < 8 ? bytes - byte : 8);
    }
    code_make(code, key);
    for (size_t byte = offset; byte < CODE_BYTES && byte - offset < bytes; byte++)
        ret_bytes[byte - offset] = code[byte];
}

/* None of this calls malloc: the system may refuse it. */
static inline bool pattern_holds(const void *rx, size_t bytes, uint32_t key)
{
    unsigned char part[4096];
    for (size_t at = 0; at < bytes; at += sizeof part) {
        size_t length = bytes - at < sizeof part ? bytes - at : sizeof part;
        pattern_make(part, at, length, key);
        if (memcmp(part, (const char *)rx + at, length) != 0)
            return false;
    }
    return true;
}

/* Fill a whole live span with its key's pattern and publish it; 0, or the first code that was not 0. */
static inline int pattern_write(pageheap_exec *heap, const pageheap_exec_span *span, uint32_t key)
{
    unsigned char part[16384];
    int error = 0;
    for (size_t at = 0; at < span->bytes && error == 0; at += sizeof part) {
        size_t length = span->bytes - at < sizeof part ? span->bytes - at : sizeof part;
        pattern_make(part, at, length, key);
        error = pageheap_exec_write(heap, (char *)span->rx + at, part, length);
    }
    return error != 0 ? error : pageheap_exec_publish(heap, span->rx, span->bytes);
}

/* A span of `bytes` whose code returns `key`. */
static inline int pattern_alloc(pageheap_exec *heap, size_t bytes, uint32_t key, pageheap_exec_span *ret_span)
{
    int error = pageheap_exec_alloc(heap, bytes, ret_span);
    return error != 0 ? error : pattern_write(heap, ret_span, key);
}

/* ---- what the system says -------------------------------------------------------------- */

typedef struct map_line {
    uintptr_t lo, hi;
    char perms[5];
} map_line;

/* Read /proc/self/maps into lines[0..max); returns how many there are, of which `max` at most are told. */
static inline size_t maps_read(map_line *ret_lines, size_t max)
{
    size_t count = 0;
    char text[512];
    FILE *file = fopen("/proc/self/maps", "r");
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        char *end;
        map_line line = { .lo = strtoull(text, &end, 16) };
        line.hi = strtoull(end + 1, &end, 16);
        memcpy(line.perms, end + 1, 4);
        if (count < max)
            ret_lines[count] = line;
        count++;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static inline size_t maps_count(void)
{
    return maps_read(NULL, 0);
}

/* Lines that are writable and executable. */
static inline size_t maps_count_wx(void)
{
    static _Thread_local map_line lines[4096];
    size_t count = maps_read(lines, 4096), wx = 0;
    for (size_t i = 0; i < count && i < 4096; i++)
        wx += lines[i].perms[1] == 'w' && lines[i].perms[2] == 'x';
    return wx;
}

/* The line that holds an address, or one of no bytes. */
static inline map_line maps_at(const void *addr)
{
    static _Thread_local map_line lines[4096];
    size_t count = maps_read(lines, 4096);
    for (size_t i = 0; i < count && i < 4096; i++) {
        if (lines[i].lo <= (uintptr_t)addr && (uintptr_t)addr < lines[i].hi)
            return lines[i];
    }
    return (map_line){ .perms = "----" };
}

/* ---- faults ---------------------------------------------------------------------------- */

static _Thread_local sigjmp_buf fault_escape;
static _Thread_local volatile uintptr_t fault_pc; /* of the last fault */

static inline void fault_on_signal(int signal_number, siginfo_t *info, void *context)
{
    (void)info;
    fault_pc = fault_pc_of(context);
    siglongjmp(fault_escape, signal_number);
}

/* Catch what comes from here on, on a stack of its own.  The handler never returns, and so blocks nothing. */
static inline void fault_begin(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP };
    static char stack[65536];
    stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&other, NULL);
    struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    action.sa_sigaction = fault_on_signal;
    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
}

/* The signal that act(arg) ended with, 0 if it came to its end. */
static inline int fault_of(void (*act)(void *), void *arg)
{
    int signal_number = sigsetjmp(fault_escape, 0);
    if (signal_number == 0)
        act(arg);
    return signal_number;
}

static inline void fault_write(void *at)
{
    volatile unsigned char *byte = at;
    *byte = *byte;
}

static inline void fault_read(void *at)
{
    (void)*(volatile unsigned char *)at;
}

#endif
