/* SPDX-License-Identifier: MIT */
/* emit_arm64.c -- x arrives in d0 and y in d1; the result leaves in d0; place N is d(16 + N). */
#include "emit.h"

#include <string.h>

enum { D_X = 0, D_Y = 1, D_PLACE = 16, X9 = 9 };

const int emit_places = 16;
const char *const emit_processor = "arm64";

/* Instructions are words, the lowest byte first whatever the order of data. */
static uint8_t *word(uint8_t *at, uint32_t opcode, int operand, int from, int to)
{
    uint32_t bits = opcode | (uint32_t)operand << 16 | (uint32_t)from << 5 | (uint32_t)to;
    for (int i = 0; i < 4; i++)
        *at++ = (uint8_t)(bits >> 8 * i);
    return at;
}

uint8_t *emit_number(uint8_t *at, int place, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int part = 0; part < 4; part++) {
        uint32_t opcode = part == 0 ? 0xd2800000 : 0xf2800000; /* movz, movk: 16 bits, at part * 16 */
        at = word(at, opcode | (uint32_t)part << 21, 0, (int)(bits >> 16 * part & 0xffff), X9);
    }
    return word(at, 0x9e670000, 0, X9, D_PLACE + place); /* fmov d, x */
}

uint8_t *emit_variable(uint8_t *at, int place, char variable)
{
    return word(at, 0x1e604000, 0, variable == 'x' ? D_X : D_Y, D_PLACE + place); /* fmov d, d */
}

uint8_t *emit_operation(uint8_t *at, char kind, int place)
{
    uint32_t opcode = kind == '+'   ? 0x1e602800  /* fadd */
                      : kind == '-' ? 0x1e603800  /* fsub */
                      : kind == '*' ? 0x1e600800  /* fmul */
                                    : 0x1e601800; /* fdiv */
    return word(at, opcode, D_PLACE + place + 1, D_PLACE + place, D_PLACE + place);
}

uint8_t *emit_return(uint8_t *at, int place)
{
    at = word(at, 0x1e604000, 0, D_PLACE + place, D_X); /* fmov d, d */
    return word(at, 0xd65f0000, 0, 30, 0);              /* ret */
}
