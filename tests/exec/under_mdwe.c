/* SPDX-License-Identifier: MIT */
/* under_mdwe.c -- run a command that may not make memory executable which was writable, nor map it both: what
 * systemd calls MemoryDenyWriteExecute.
 *
 *     under_mdwe COMMAND [ARGUMENT...]
 *
 * Exit status 77 if the kernel has no such thing (before Linux 6.3).
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SET_MDWE         65 /* PR_SET_MDWE; the headers of Debian 12 are older */
#define MDWE_REFUSE_EXEC 1ul
#define STATUS_SKIPPED   77

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (prctl(SET_MDWE, MDWE_REFUSE_EXEC, 0ul, 0ul, 0ul) != 0)
        return STATUS_SKIPPED;
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 2;
}
