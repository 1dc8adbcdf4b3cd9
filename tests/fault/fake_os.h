/* SPDX-License-Identifier: MIT */
/* fake_os.h -- the table of system calls, with faults, delays, counters and a clock that tests turn.
 *
 * Every call is counted and numbered in the order made; the plan says which of them fail and how.  Address
 * space is booked: what was reserved and not unmapped at the end is a leak, unless an unmap of just that
 * range was made to fail.
 */
#ifndef PH_TESTS_FAKE_OS_H
#define PH_TESTS_FAKE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_call {
    FAKE_RESERVE,
    FAKE_USE,
    FAKE_MAP,
    FAKE_UNMAP,
    FAKE_FORBID,
    FAKE_LOCK,
    FAKE_UNLOCK,
    FAKE_BARRIER,
    FAKE_FAULTS, /* cannot fail, and is not numbered */
    FAKE_ADVISE, /* + enum ph_advice */
    FAKE_CALLS = FAKE_ADVISE + 8,
};

/* What is to go wrong. */
typedef struct fake_plan {
    uint64_t fail_at;  /* number of the call that fails, from 1; 0: none */
    bool for_ever;     /* and all after it */
    bool half_discard; /* count discards alone; the one that fails has done the first half of its work */
    int error;         /* a positive errno value */
} fake_plan;

/* Put the wrappers into the table, for the rest of the process; with them, a clock that only
 * fake_os_turn_clock moves. */
void fake_os_install(void);

void fake_os_plan(fake_plan plan);
/* Let calls through, uncounted, until resumed. */
void fake_os_pause(void);
void fake_os_resume(void);

void fake_os_turn_clock(uint64_t ms);
uint64_t fake_os_looks_at_clock(void);

uint64_t fake_os_calls(void);                    /* all but the clock */
uint64_t fake_os_calls_of(enum fake_call call);  /* of one kind */
uint64_t fake_os_faults_of(enum fake_call call); /* that were made to fail */
uint64_t fake_os_faults(void);

/* If set, called in the middle of each call that can fail, but not while paused. */
extern void (*fake_os_on_call)(enum fake_call call);

/* The next call of each kind in the mask (bit: enum fake_call) made by the calling thread takes this long. */
void fake_os_slow_me(uint32_t call_mask, unsigned ms);
/* True while such a call sleeps. */
bool fake_os_is_sleeping(void);

/* Bytes reserved and never given back although nothing failed in giving them back; and the bytes of RAM in
 * whatever was left behind because an unmap was made to fail. */
uint64_t fake_os_leaked_bytes(void);
uint64_t fake_os_left_resident_bytes(void);

#endif
