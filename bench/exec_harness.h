/* SPDX-License-Identifier: MIT */
/* exec_harness.h -- what the workloads on code memory are made of: tables of live spans, and functions
 * to write into them. */
#ifndef PH_BENCH_EXEC_HARNESS_H
#define PH_BENCH_EXEC_HARNESS_H

#include "exec_peer.h"
#include "harness.h"

/* ---- live spans ------------------------------------------------------------------------ */

/* A table of spans that are live; its memory is resident from the start. */
struct exec_table {
    const struct exec_peer *peer;
    struct exec_span *spans;
    size_t count;
    size_t capacity;
};

/* 0, or -1 without memory. */
int exec_table_create(struct exec_table *table, const struct exec_peer *peer, size_t capacity);

/* Take a span into the table; false if memory or room ran out. */
bool exec_table_add(struct exec_table *table, size_t bytes);

/* Give the span at `index` back; the last one takes its place. */
void exec_table_drop(struct exec_table *table, size_t index);

/* False if the peer has no spans of this size, or a row that writes code is not for it. */
bool exec_peer_can(const struct exec_peer *peer, size_t bytes, bool writes);

/* ---- functions ------------------------------------------------------------------------- */

#define EXEC_FUNCTION_BYTES 8

typedef uint32_t exec_function(void);

/* Write a function that returns `value`, of which 16 bits count, to `ret_code`.  False on a processor whose
 * instructions are not known here. */
bool exec_function_make(uint16_t value, unsigned char ret_code[EXEC_FUNCTION_BYTES]);

/* What the function at `rx` returns. */
uint32_t exec_function_call(const void *rx);

#endif
