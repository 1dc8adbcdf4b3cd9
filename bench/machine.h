/* SPDX-License-Identifier: MIT */
/* machine.h -- what a reader must know of the machine to judge the numbers. */
#ifndef PH_BENCH_MACHINE_H
#define PH_BENCH_MACHINE_H

#include <jansson.h>
#include <stdio.h>

#define MACHINE_TEXT_BYTES 256

struct machine {
    char cpu[MACHINE_TEXT_BYTES];        /* its model */
    char system[MACHINE_TEXT_BYTES];     /* name and release of the kernel */
    char huge_pages[MACHINE_TEXT_BYTES]; /* the system's setting, the one in force in brackets */
    char libc[MACHINE_TEXT_BYTES];
    long cpus;
    double load; /* over the last minute */
};

/* What cannot be found out is "unknown", or 0. */
void machine_describe(struct machine *ret_machine);

/* Two or three lines; the last warns if others are using the machine. */
void machine_print(const struct machine *machine, FILE *out);

json_t *machine_json(const struct machine *machine);

#endif
