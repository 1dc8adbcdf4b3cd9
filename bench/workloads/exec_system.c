/* SPDX-License-Identifier: MIT */
/* exec_system.c -- what the system sees of code memory: mappings, resident memory, calls. */
#include "../exec_harness.h"
#include "../mappings.h"
#include "../syscount.h"
#include "../workload.h"

#include <math.h>

/* A page of functions, as every span is filled with that is written at all. */
static bool make_page(unsigned char code[PEER_PAGE_BYTES])
{
    for (size_t at = 0; at < PEER_PAGE_BYTES; at += EXEC_FUNCTION_BYTES) {
        if (!exec_function_make(0, code + at))
            return false;
    }
    return true;
}

static bool add_published(struct exec_table *table, const unsigned char *code, size_t bytes)
{
    return exec_table_add(table, PEER_PAGE_BYTES) &&
           table->peer->publish(&table->spans[table->count - 1], code, bytes);
}

/* ---- mappings ---------------------------------------------------------------------------- */

/* Take twice as many one-page spans as are to live, and publish every second.  False if memory ran out. */
static bool fill_mappings(struct exec_table *table)
{
    static unsigned char code[PEER_PAGE_BYTES];

    if (!make_page(code))
        return false;
    while (table->count < table->capacity) {
        if (!add_published(table, code, EXEC_FUNCTION_BYTES) || !exec_table_add(table, PEER_PAGE_BYTES))
            return false;
    }
    return true;
}

/* Lines of /proc/self/maps that one-page spans with a function in each add, before those between them are
 * freed or after, whichever is more.  When another's memory runs out, the lines that were reached by then. */
int workload_exec_mappings(const struct workload_run *run, double *ret_values)
{
    const struct exec_peer *peer = exec_peer_of(run->peer);
    struct exec_table table;
    size_t before;
    bool is_full;

    if (!exec_peer_can(peer, PEER_PAGE_BYTES, true))
        return 0;
    if (exec_table_create(&table, peer, 2 * run->workload->live_runs) != 0)
        return -1;
    before = mappings_count();
    is_full = fill_mappings(&table);
    if (!is_full && peer->peer.role != PEER_OTHER)
        return -1;
    ret_values[0] = (double)mappings_count() - (double)before;
    for (size_t i = 1; is_full && i < table.count; i += 2)
        peer->release(&table.spans[i]);
    ret_values[0] = fmax(ret_values[0], (double)mappings_count() - (double)before);
    return 0;
}

/* ---- resident memory --------------------------------------------------------------------- */

#define KEPT_TENTHS 1

/* Resident over live memory after most of the spans were freed in random order, then trimmed. */
int workload_exec_resident(const struct workload_run *run, double *ret_values)
{
    static unsigned char code[PEER_PAGE_BYTES];
    const struct exec_peer *peer = exec_peer_of(run->peer);
    struct rng rng = rng_seeded(run->seed);
    struct exec_table table;
    size_t kept = run->workload->live_runs / 10 * KEPT_TENTHS;
    size_t before_bytes;

    if (!exec_peer_can(peer, PEER_PAGE_BYTES, true) || !make_page(code))
        return 0;
    if (exec_table_create(&table, peer, run->workload->live_runs) != 0)
        return -1;
    (void)mappings_resident_bytes(); /* its own buffers */
    before_bytes = mappings_resident_bytes();
    while (table.count < table.capacity) {
        if (!add_published(&table, code, sizeof code))
            return -1;
    }
    while (table.count > kept)
        exec_table_drop(&table, rng_below(&rng, table.count));
    if (peer->peer.trim != NULL)
        peer->peer.trim();
    ret_values[0] =
        ((double)mappings_resident_bytes() - (double)before_bytes) / (double)(kept * PEER_PAGE_BYTES);
    return before_bytes != 0 ? 0 : -1;
}

/* ---- system calls ------------------------------------------------------------------------ */

#define BYTES_MIN     64
#define WARM_PAIRS    8
#define COUNTED_PAIRS 16

static bool run_pairs(const struct exec_peer *peer, size_t bytes, size_t pairs)
{
    for (size_t i = 0; i < pairs; i++) {
        struct exec_span span;

        if (!peer->alloc(bytes, &span))
            return false;
        peer->release(&span);
    }
    return true;
}

/* System calls per pair of alloc and free, of the size for which they are most. */
int workload_exec_system_calls(const struct workload_run *run, double *ret_values)
{
    const struct exec_peer *peer = exec_peer_of(run->peer);
    double most = 0;

    if (syscount_start() != 0)
        return 0;
    for (size_t bytes = BYTES_MIN; bytes <= run->workload->bytes_max; bytes *= 2) {
        uint64_t before_calls;

        if (!exec_peer_can(peer, bytes, false))
            break;
        if (!run_pairs(peer, bytes, WARM_PAIRS))
            return -1;
        before_calls = syscount_now();
        if (!run_pairs(peer, bytes, COUNTED_PAIRS))
            return -1;
        most = fmax(most, (double)(syscount_now() - before_calls) / COUNTED_PAIRS);
    }
    syscount_stop();
    ret_values[0] = most;
    return 0;
}
