/* SPDX-License-Identifier: MIT */
/* os.h -- what we need from the system, as one table of calls.
 *
 * A range of address space is
 *     RESERVED   nothing may touch it; it costs no memory and no commit charge
 *     USED       readable and writable; reads zero until first written
 *     gone
 * and the calls below are the only steps between these.  Tests replace the table to make calls fail, to make
 * them slow and to turn the clock.
 *
 * Every call returns 0 or a negative errno value and leaves errno alone: errno belongs to our caller.
 * A call that failed may have done part of its work (madvise does); what a range then holds is unknown.
 */
#ifndef PH_OS_OS_H
#define PH_OS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ph_advice {
    PH_ADVICE_DISCARD,  /* USED -> USED, contents become zero, memory goes back */
    PH_ADVICE_HUGE,     /* huge pages wanted */
    PH_ADVICE_NOHUGE,   /* huge pages not wanted */
    PH_ADVICE_NODUMP,   /* left out of core dumps */
    PH_ADVICE_DODUMP,   /* in core dumps again */
    PH_ADVICE_GUARD,    /* any access faults; contents are lost; makes no new mapping */
    PH_ADVICE_UNGUARD,  /* undo that */
    PH_ADVICE_POPULATE, /* back with memory now */
};

typedef struct ph_os_calls {
    int (*reserve)(size_t bytes, void **ret_base);                  /* gone -> RESERVED, any address */
    int (*use)(void *base, size_t bytes);                           /* RESERVED -> USED */
    int (*map)(size_t bytes, void **ret_base);                      /* gone -> USED, any address */
    int (*unmap)(void *base, size_t bytes);                         /* RESERVED or USED -> gone */
    int (*forbid)(void *base, size_t bytes);                        /* USED -> RESERVED, contents kept */
    int (*advise)(void *base, size_t bytes, enum ph_advice advice); /* no step */
    int (*lock)(void *base, size_t bytes);                          /* keep in RAM */
    int (*unlock)(void *base, size_t bytes);
    uint64_t (*now_ms)(void); /* monotonic, coarse, cheap */
    uint64_t (*faults)(void); /* pages this process has first touched */
    int (*barrier)(void);     /* every running thread of the process has passed a full fence on return */
} ph_os_calls;

extern ph_os_calls ph_os;

/* What this system is; valid after ph_os_setup. */
typedef struct ph_os_facts {
    size_t page_bytes;
    unsigned page_log2;
    bool has_huge_pages; /* given without being asked for: one fault may then back 2 MiB */
    bool has_barrier;    /* if not, owners of a front pay for a fence at each entry */
} ph_os_facts;

extern ph_os_facts ph_os_facts_now;

/* Learn the facts, once per process; any thread, any number of times.  0 or a negative errno. */
int ph_os_setup(void);

/* Reserve `bytes` at a multiple of `align_bytes`: a larger reservation, trimmed. */
int ph_os_reserve_aligned(size_t bytes, size_t align_bytes, void **ret_base);

/* The value of an environment variable, NULL in secure execution. */
const char *ph_os_getenv(const char *name);

/* Write to stderr without stdio; errors are ignored. */
void ph_os_complain(const char *text, size_t length_bytes);

/* End the process. */
_Noreturn void ph_os_abort(void);

/* Clear memory. */
void ph_os_clear(void *base, size_t bytes);
void ph_os_copy(void *to, const void *from, size_t bytes);

/* Make memory unreadable or readable in the eyes of AddressSanitizer; nothing in other builds. */
void ph_os_poison(const void *base, size_t bytes);
void ph_os_unpoison(const void *base, size_t bytes);

#endif
