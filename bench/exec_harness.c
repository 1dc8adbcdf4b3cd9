/* SPDX-License-Identifier: MIT */
/* exec_harness.c -- see exec_harness.h. */
#include "exec_harness.h"

#include <assert.h>
#include <string.h>

int exec_table_create(struct exec_table *table, const struct exec_peer *peer, size_t capacity)
{
    *table = (struct exec_table){ .peer = peer, .capacity = capacity };
    table->spans = resident_array(capacity * sizeof *table->spans);
    return table->spans != NULL ? 0 : -1;
}

bool exec_table_add(struct exec_table *table, size_t bytes)
{
    if (table->count == table->capacity || !table->peer->alloc(bytes, &table->spans[table->count]))
        return false;
    table->count++;
    return true;
}

void exec_table_drop(struct exec_table *table, size_t index)
{
    struct exec_span dropped = table->spans[index];

    table->spans[index] = table->spans[--table->count];
    table->peer->release(&dropped);
}

bool exec_peer_can(const struct exec_peer *peer, size_t bytes, bool writes)
{
    return (peer->bytes_max == 0 || bytes <= peer->bytes_max) && (!writes || peer->publish != NULL);
}

#if defined(__x86_64__)

bool exec_function_make(uint16_t value, unsigned char ret_code[EXEC_FUNCTION_BYTES])
{
    /* mov eax, value; ret; and two traps */
    const unsigned char code[EXEC_FUNCTION_BYTES] = {
        0xb8, (unsigned char)value, (unsigned char)(value >> 8), 0, 0, 0xc3, 0xcc, 0xcc,
    };

    memcpy(ret_code, code, sizeof code);
    return true;
}

#elif defined(__aarch64__)

bool exec_function_make(uint16_t value, unsigned char ret_code[EXEC_FUNCTION_BYTES])
{
    /* mov w0, value; ret */
    const uint32_t code[] = { 0x52800000u | (uint32_t)value << 5, 0xd65f03c0u };

    memcpy(ret_code, code, sizeof code);
    return true;
}

#else

bool exec_function_make(uint16_t value, unsigned char ret_code[EXEC_FUNCTION_BYTES])
{
    (void)value;
    (void)ret_code;
    return false;
}

#endif

uint32_t exec_function_call(const void *rx)
{
    exec_function *function;

    /* As with dlsym: POSIX says the bytes are the same. */
    static_assert(sizeof function == sizeof rx, "a pointer to code is a pointer");
    memcpy(&function, &rx, sizeof function);
    return function();
}
