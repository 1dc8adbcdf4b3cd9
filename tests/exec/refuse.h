/* SPDX-License-Identifier: MIT */
/* refuse.h -- a seccomp filter that lets system calls fail as on hosts that are stricter, or older.
 *
 * Rules are added one by one; refuse_install makes all of them hold, for good, in this process and its
 * children.
 */
#ifndef PH_TESTS_EXEC_REFUSE_H
#define PH_TESTS_EXEC_REFUSE_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "child.h"

#define REFUSE_RULES_MAX 64

typedef struct refusals {
    struct sock_filter code[2 + 5 * REFUSE_RULES_MAX];
    unsigned short length;
} refusals;

static inline void refuse_begin(refusals *r)
{
    r->length = 0;
    r->code[r->length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
}

/* The system call answers `error`, whatever its arguments. */
static inline void refuse_call(refusals *r, long number, int error)
{
    r->code[r->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1);
    r->code[r->length++] = (struct sock_filter)BPF_STMT(
        BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA));
}

/* The system call answers `error` if (its argument & mask) != 0 is `is_set`. */
static inline void refuse_bits(refusals *r, long number, unsigned arg, uint32_t mask, int is_set, int error)
{
    uint32_t low =
        (uint32_t)(offsetof(struct seccomp_data, args) + 8 * arg); /* little-endian machines only */
    r->code[r->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
    r->code[r->length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low);
    r->code[r->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, (uint8_t)!is_set,
                                                        (uint8_t)(is_set != 0));
    r->code[r->length++] = (struct sock_filter)BPF_STMT(
        BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA));
    r->code[r->length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
}

/* The system call answers `error` if its argument is `value`. */
static inline void refuse_value(refusals *r, long number, unsigned arg, uint32_t value, int error)
{
    uint32_t low = (uint32_t)(offsetof(struct seccomp_data, args) + 8 * arg);
    r->code[r->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
    r->code[r->length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low);
    r->code[r->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    r->code[r->length++] = (struct sock_filter)BPF_STMT(
        BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA));
    r->code[r->length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
}

static inline void refuse_install(refusals *r)
{
    r->code[r->length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { r->length, r->code };
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77); /* a system without filters */
}

#endif
