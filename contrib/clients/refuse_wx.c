/* SPDX-License-Identifier: MIT */
/* refuse_wx.c -- run a command, and all that it starts, where a request for memory that is writable and
 * executable ends the process (SIGSYS).
 *
 *     refuse_wx COMMAND [ARGUMENT...]
 *
 * Looks at /proc/self/maps see moments; this leaves none unseen.  It is no wall against who wants to break
 * it: it watches mmap, mprotect and pkey_mprotect of this program's own kind alone.  To change memory from
 * writable to executable is allowed, unlike under MDWE.  Exit status 77 if the system has no such filters.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS_SKIPPED 77
#define WX             (PROT_WRITE | PROT_EXEC)

/* Where the third argument's low half lies in what the filter sees. */
#define PROTECTION_AT                                                                                        \
    (offsetof(struct seccomp_data, args) + 2 * sizeof(__u64) +                                               \
     (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(__u32) : 0))

int main(int argc, char **argv)
{
    static struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pkey_mprotect, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROTECTION_AT),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, WX),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WX, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = { sizeof steps / sizeof steps[0], steps };
    if (argc < 2)
        return 2;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1ul, 0ul, 0ul, 0ul) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return STATUS_SKIPPED;
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 2;
}
