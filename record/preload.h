/* SPDX-License-Identifier: MIT */
/* preload.h -- inside the recorder that is loaded into the recorded program.
 *
 *     preload_malloc.c, preload_mmap.c   the interposed functions: what the program calls
 *     preload_runs.c, preload_maps.c     which addresses are recorded runs; decide what becomes an event
 *     preload_state.c                    what a process remembers, and its lock
 *     preload_spool.c                    appends events to the shared file
 *     preload_real.c                     the functions behind the interposed ones
 *
 * The recorder never calls malloc.  What it keeps for itself it maps with raw system calls.
 */
#ifndef PH_RECORD_PRELOAD_H
#define PH_RECORD_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RECORD_PAGE_BYTES 4096u
#define RECORD_EXPORT     __attribute__((visibility("default")))

/* ---- preload_real.c ------------------------------------------------------------------- */

struct real_functions {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void (*free)(void *);
};

/* The allocator that the program would have used; NULL while it is being looked up, because the look-up
 * itself allocates: those requests are served by bootstrap_alloc. */
const struct real_functions *real_functions(void);

/* Zeroed memory from a small static array, for the look-up only; NULL if it is used up. */
void *bootstrap_alloc(size_t bytes);
bool bootstrap_owns(const void *memory);
size_t bootstrap_bytes(const void *memory);

/* System calls that no interposed function sees.  They leave errno alone; MAP_FAILED on failure. */
void *raw_map(size_t bytes);
void raw_unmap(void *memory, size_t bytes);

/* ---- preload_spool.c ------------------------------------------------------------------ */

/* True if this process is being recorded. */
bool spool_is_open(void);
uint32_t spool_new_thread(void);
uint32_t spool_new_process(void);

/* Append an event.  Returns its number plus one, which names the run that an alloc made; 0 if it was lost. */
uint64_t spool_append_alloc(uint64_t pages, uint32_t thread);
void spool_append_free(uint64_t run, uint32_t thread);

/* ---- preload_state.c ------------------------------------------------------------------ */

/* Depth of calls into the allocator by this thread: what it does for itself is not the program's request,
 * and a signal handler that interrupts the recorder must not enter it again. */
extern __thread unsigned record_depth __attribute__((tls_model("initial-exec")));

/* An array in pages of its own, which a forked child finds empty.  Its lock is the state's. */
struct record_array {
    void *items;
    size_t capacity_bytes;
};

/* What this process has recorded so far.  A child made by fork finds every byte zero: the runs that it
 * inherits are its parent's.  A child made by vfork shares it, as it shares the memory. */
struct record_state {
    _Atomic uint32_t lock;
    uint32_t process;          /* number in the spool; 0: not set up */
    struct record_array table; /* preload_runs.c */
    size_t table_used;         /* runs in it */
    struct record_array maps;  /* preload_maps.c */
    size_t maps_used;          /* mappings in it */
};

/* Lock and return the state; NULL, and nothing is locked, if this process is not recorded. */
struct record_state *lock_state(void);
void unlock_state(struct record_state *state);

/* Append an event of this thread. */
uint64_t record_alloc(struct record_state *state, uint64_t pages);
void record_free(struct record_state *state, uint64_t run);

/* Make room: false, and nothing has changed, if the system refuses.  New bytes are zero; array_replace
 * leaves the old contents behind in *ret_old, for array_release. */
bool array_replace(struct record_array *array, size_t capacity_bytes, struct record_array *ret_old);
void array_release(struct record_array *array);

/* ---- preload_runs.c: the malloc family ------------------------------------------------ */

/* Pages of a request to the malloc family; 0 if it is below a page, which is not recorded. */
static inline uint64_t pages_of_request(size_t bytes)
{
    return bytes < RECORD_PAGE_BYTES ? 0 : (bytes - 1) / RECORD_PAGE_BYTES + 1;
}

struct taken_run {
    uint64_t run; /* as from spool_append_alloc; 0 if the address was not recorded */
    uint64_t pages;
};

void note_malloc(const void *memory, uint64_t pages);
void note_free(const void *memory);

/* Around a real realloc: taken before, since another thread may be given the old address at once, and put
 * back if it failed. */
struct taken_run take_run(const void *memory);
void put_run(const void *memory, struct taken_run taken);
void note_realloc(struct taken_run taken, const void *memory, uint64_t new_pages);

/* ---- preload_maps.c: mappings; the state is locked by the caller ----------------------- */

/* A new anonymous mapping.  One without access is address space, not memory: remembered, not recorded. */
void map_insert(struct record_state *state, uintptr_t start, size_t bytes, bool is_reserved);

/* A range that is no longer mapped, or no longer anonymous.  What is left of a run on either side of it
 * becomes a run of its own. */
void map_remove(struct record_state *state, uintptr_t start, size_t bytes);

/* A range that became accessible: the parts that were reserved are runs from now on. */
void map_commit(struct record_state *state, uintptr_t start, size_t bytes);

/* mremap: a whole run that changes its page count is a new run, then a free of the old. */
void map_move(struct record_state *state, uintptr_t start, size_t bytes, uintptr_t new_start,
              size_t new_bytes);

#endif
