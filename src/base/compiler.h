/* SPDX-License-Identifier: MIT */
/* compiler.h -- what C11 does not say and both gcc and clang do.  The only header with compiler tests. */
#ifndef PH_BASE_COMPILER_H
#define PH_BASE_COMPILER_H

#include <stdint.h>

#define PH_LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define PH_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define PH_NOINLINE            __attribute__((noinline))
#define PH_ALWAYS_INLINE       inline __attribute__((always_inline))
#define PH_ALIGNED(n)          __attribute__((aligned(n)))

/* A function that is called in every loop: it begins a cache line, beside the others, so that its speed does
 * not hang on what the linker has put before it or between them. */
#define PH_HOT __attribute__((hot)) PH_ALIGNED(PH_LINE_BYTES)

/* Initial-exec: one instruction from the thread pointer.  The library has 24 such bytes, which fit
 * the room that the C library keeps for dlopen. */
#define PH_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define PH_HAS_ASAN 1
#else
#define PH_HAS_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define PH_HAS_TSAN 1
#else
#define PH_HAS_TSAN 0
#endif

/* What compilers make several instructions of, in one where there is one.
 * Counters that only this thread writes: add; subtract; and count down by one, set `flag` to 0, and go to
 * `label` if nothing is left.
 * A word that others write: go to `label` unless it holds `value`; else as after a load that acquires. */
#if defined(__x86_64__) && !PH_HAS_TSAN
#define PH_ADD_TO_MEMORY(counter, n)   __asm__("addq %1, %0" : "+m"(*(counter)) : "er"(n) : "cc")
#define PH_SUB_FROM_MEMORY(counter, n) __asm__("subq %1, %0" : "+m"(*(counter)) : "er"(n) : "cc")
#define PH_COUNT_DOWN(counter, flag, label)                                                                  \
    __asm__ goto("subl $1, %0\n\tmovl $0, %1\n\tjle %l2"                                                     \
                 :                                                                                           \
                 : "m"(*(counter)), "m"(*(flag))                                                             \
                 : "cc", "memory"                                                                            \
                 : label)
#define PH_GO_UNLESS(word, value, label)                                                                     \
    __asm__ goto("cmpq %1, %0\n\tjne %l2" : : "m"(*(word)), "r"(value) : "cc", "memory" : label)
#else
#define PH_ADD_TO_MEMORY(counter, n)                                                                         \
    atomic_store_explicit((counter), atomic_load_explicit((counter), memory_order_relaxed) + (n),            \
                          memory_order_relaxed)
#define PH_SUB_FROM_MEMORY(counter, n)                                                                       \
    atomic_store_explicit((counter), atomic_load_explicit((counter), memory_order_relaxed) - (n),            \
                          memory_order_relaxed)
#define PH_COUNT_DOWN(counter, flag, label)                                                                  \
    do {                                                                                                     \
        int32_t left = atomic_load_explicit((counter), memory_order_relaxed) - 1;                            \
        atomic_store_explicit((counter), left, memory_order_relaxed);                                        \
        atomic_store_explicit((flag), 0, memory_order_release);                                              \
        if (left <= 0)                                                                                       \
            goto label;                                                                                      \
    } while (0)
#define PH_GO_UNLESS(word, value, label)                                                                     \
    do {                                                                                                     \
        if (atomic_load_explicit((word), memory_order_acquire) != (value))                                   \
            goto label;                                                                                      \
    } while (0)
#endif

/* Of a local word of 64 bits: set bit `number` % 64; clear it, and tell in `was_set` whether it was set; and
 * find the lowest bit of a word that is not 0, as a number of 64 bits. */
#if defined(__x86_64__)
#define PH_SET_BIT(word, number) __asm__("btsq %1, %0" : "+r"(word) : "r"((uint64_t)(number)) : "cc")
#define PH_CLEAR_BIT(word, number, was_set)                                                                  \
    __asm__("btrq %2, %0" : "+r"(word), "=@ccc"(was_set) : "r"((uint64_t)(number)))
#define PH_FIND_LOWEST(word, ret_number) __asm__("rep bsfq %1, %0" : "=r"(ret_number) : "r"(word) : "cc")
#else
#define PH_SET_BIT(word, number) ((word) |= UINT64_C(1) << (number) % 64)
#define PH_CLEAR_BIT(word, number, was_set)                                                                  \
    do {                                                                                                     \
        (was_set) = ((word) >> (number) % 64 & 1) != 0;                                                      \
        (word) &= ~(UINT64_C(1) << (number) % 64);                                                           \
    } while (0)
#define PH_FIND_LOWEST(word, ret_number) ((ret_number) = (uint64_t)__builtin_ctzll(word))
#endif

/* Read eight neighbouring bytes into a word, the first one lowest.  Each is read whole, but not all need be
 * of the same time. */
#if PH_HAS_TSAN
#define PH_LOAD_EIGHT(bytes, ret_word)                                                                       \
    do {                                                                                                     \
        (ret_word) = 0;                                                                                      \
        for (unsigned at = 0; at < 8; at++)                                                                  \
            (ret_word) |= (uint64_t)atomic_load_explicit(&(bytes)[at], memory_order_relaxed) << 8 * at;      \
    } while (0)
#else
typedef uint64_t ph_eight_bytes __attribute__((aligned(1), may_alias));
#define PH_LOAD_EIGHT(bytes, ret_word) ((ret_word) = *(const volatile ph_eight_bytes *)(bytes))
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bitmaps are read by bytes and by words");

/* The compiler does not know any more how this local came about, and works out anew what it has made of it
 * before: so it does not, for the sake of a path that is rarely taken, keep that ready on another one. */
#define PH_FORGET(local) __asm__("" : "+r"(local))

/* Eight bytes that stop whoever runs into them.
 * x86     int3, one byte: a jump to any byte of it stops (Intel SDM, volume 2, "INT n/INTO/INT3/INT1")
 * arm64   brk #0, a word (Arm ARM, C6.2, "BRK")
 * else    zero, which is no instruction on RISC-V (Unprivileged ISA, 1.5) */
#if defined(__x86_64__) || defined(__i386__)
#define PH_TRAP_INSTRUCTIONS UINT64_C(0xcccccccccccccccc)
#elif defined(__aarch64__)
#define PH_TRAP_INSTRUCTIONS UINT64_C(0xd4200000d4200000)
#else
#define PH_TRAP_INSTRUCTIONS UINT64_C(0)
#endif

/* Eight bytes that are a function: return n, of 16 bits; 0 where none is known.
 * x86     mov eax, n; ret
 * arm64   mov w0, n; ret */
#if defined(__x86_64__) || defined(__i386__)
#define PH_RETURN_INSTRUCTIONS(n) (UINT64_C(0xccccc300000000b8) | (uint64_t)(n) << 8)
#elif defined(__aarch64__)
#define PH_RETURN_INSTRUCTIONS(n) (UINT64_C(0xd65f03c052800000) | (uint64_t)(n) << 5)
#else
#define PH_RETURN_INSTRUCTIONS(n) UINT64_C(0)
#endif

/* Two words in one store.  Who copies a struct reads two fields at once, and waits, for longer than all the
 * rest takes, if they were stored one by one a moment ago; who reads one of them does not mind. */
typedef uintptr_t ph_word_pair
    __attribute__((vector_size(2 * sizeof(uintptr_t)), aligned(sizeof(uintptr_t)), may_alias));
#define PH_STORE_PAIR(to, first, second) (*(ph_word_pair *)(to) = (ph_word_pair){ (first), (second) })

/* A cache line on every machine we run on; only speed depends on it. */
#define PH_LINE_BYTES 64

#if defined(__x86_64__) || defined(__i386__)
#define ph_cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define ph_cpu_relax() __asm__ volatile("yield" ::: "memory")
#else
#define ph_cpu_relax() __asm__ volatile("" ::: "memory")
#endif

#endif
