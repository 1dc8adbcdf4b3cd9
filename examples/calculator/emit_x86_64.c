/* SPDX-License-Identifier: MIT */
/* emit_x86_64.c -- x arrives in xmm0 and y in xmm1; the result leaves in xmm0; place N is xmm(2 + N). */
#include "emit.h"

#include <string.h>

enum { RAX = 0, XMM_X = 0, XMM_Y = 1, XMM_PLACE = 2 };                /* registers */
enum { PREFIX_66 = 0x66, PREFIX_F2 = 0xf2, NARROW = 0, WIDE = 0x08 }; /* prefixes, and a bit of REX */

const int emit_places = 14;
const char *const emit_processor = "x86-64";

/* An instruction from one register to another: prefix, REX, 0F, opcode, ModRM. */
static uint8_t *instruction(uint8_t *at, int prefix, int wide, int opcode, int to, int from)
{
    *at++ = (uint8_t)prefix;
    *at++ = (uint8_t)(0x40 | wide | (to >> 3) << 2 | from >> 3);
    *at++ = 0x0f;
    *at++ = (uint8_t)opcode;
    *at++ = (uint8_t)(0xc0 | (to & 7) << 3 | (from & 7));
    return at;
}

uint8_t *emit_number(uint8_t *at, int place, double value)
{
    *at++ = 0x48; /* movabs rax, value */
    *at++ = 0xb8;
    memcpy(at, &value, sizeof value);
    return instruction(at + sizeof value, PREFIX_66, WIDE, 0x6e, XMM_PLACE + place, RAX); /* movq */
}

uint8_t *emit_variable(uint8_t *at, int place, char variable)
{
    int from = variable == 'x' ? XMM_X : XMM_Y;
    return instruction(at, PREFIX_66, NARROW, 0x28, XMM_PLACE + place, from); /* movapd */
}

uint8_t *emit_operation(uint8_t *at, char kind, int place)
{
    int opcode = kind == '+' ? 0x58 : kind == '-' ? 0x5c : kind == '*' ? 0x59 : 0x5e; /* addsd ... divsd */
    return instruction(at, PREFIX_F2, NARROW, opcode, XMM_PLACE + place, XMM_PLACE + place + 1);
}

uint8_t *emit_return(uint8_t *at, int place)
{
    at = instruction(at, PREFIX_66, NARROW, 0x28, XMM_X, XMM_PLACE + place); /* movapd */
    *at++ = 0xc3;                                                            /* ret */
    return at;
}
