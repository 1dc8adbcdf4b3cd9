/* SPDX-License-Identifier: MIT */
/* emit.h -- what compile.c asks of a processor.
 *
 * Values are kept in places numbered from 0, each a floating-point register that a function need not save;
 * x and y stay where the caller put them.  Every function writes one or a few instructions at `at`, and
 * returns where the next go.  Nothing here depends on the address at which the code will run.
 */
#ifndef CALCULATOR_EMIT_H
#define CALCULATOR_EMIT_H

#include <stdint.h>

extern const int emit_places;            /* how many there are */
extern const char *const emit_processor; /* its name */

/* The longest of the sequences below, in bytes: movz, three movk and fmov on arm64. */
#define EMIT_BYTES_MAX 20

uint8_t *emit_number(uint8_t *at, int place, double value);
uint8_t *emit_variable(uint8_t *at, int place, char variable);
uint8_t *emit_operation(uint8_t *at, char kind, int place); /* place = place `kind` place + 1 */
uint8_t *emit_return(uint8_t *at, int place);

#endif
