/* SPDX-License-Identifier: MIT */
/* fake_os.c -- see fake_os.h. */
#include "fake_os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "os/os.h"

#define RANGES_MAX 4096

typedef struct range {
    uintptr_t base, end;
} range;

typedef struct ranges {
    range at[RANGES_MAX];
    unsigned count;
} ranges;

static struct {
    ph_os_calls real;
    bool is_installed;
    fake_plan plan;
    atomic_bool is_paused;
    _Atomic uint64_t now_ms, looks;
    _Atomic uint64_t calls, discards;
    _Atomic uint64_t calls_of[FAKE_CALLS], faults_of[FAKE_CALLS];
    pthread_mutex_t lock; /* for the books */
    ranges reserved, forgiven;
    _Atomic int sleeping;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

void (*fake_os_on_call)(enum fake_call call);

static _Thread_local uint32_t slow_mask;
static _Thread_local unsigned slow_ms;

/* ---- books ----------------------------------------------------------------------------- */

static void add_range(ranges *list, uintptr_t base, uintptr_t end)
{
    if (base >= end)
        return;
    if (list->count == RANGES_MAX) {
        fprintf(stderr, "fake_os: more than %d ranges\n", RANGES_MAX);
        abort();
    }
    list->at[list->count++] = (range){ base, end };
}

static void cut_range(ranges *list, uintptr_t base, uintptr_t end)
{
    for (unsigned i = 0; i < list->count; i++) {
        range r = list->at[i];
        if (r.end <= base || end <= r.base)
            continue;
        list->at[i--] = list->at[--list->count];
        add_range(list, r.base, base < r.base ? r.base : base);
        add_range(list, end > r.end ? r.end : end, r.end);
    }
}

static void book(ranges *list, const void *base, size_t bytes, bool is_in)
{
    uintptr_t from = (uintptr_t)base;
    pthread_mutex_lock(&fake.lock);
    if (is_in)
        add_range(list, from, from + bytes);
    else
        cut_range(list, from, from + bytes);
    pthread_mutex_unlock(&fake.lock);
}

uint64_t fake_os_leaked_bytes(void)
{
    static ranges left;
    uint64_t bytes = 0;
    pthread_mutex_lock(&fake.lock);
    left = fake.reserved;
    for (unsigned i = 0; i < fake.forgiven.count; i++)
        cut_range(&left, fake.forgiven.at[i].base, fake.forgiven.at[i].end);
    for (unsigned i = 0; i < left.count; i++)
        bytes += left.at[i].end - left.at[i].base;
    pthread_mutex_unlock(&fake.lock);
    return bytes;
}

static uint64_t resident_bytes(range r)
{
    static unsigned char pages[4096];
    uint64_t resident = 0;
    size_t page_bytes = ph_os_facts_now.page_bytes;
    for (uintptr_t at = r.base; at < r.end; at += sizeof pages * page_bytes) {
        size_t bytes = r.end - at < sizeof pages * page_bytes ? r.end - at : sizeof pages * page_bytes;
        if (mincore((void *)at, bytes, pages) != 0)
            continue;
        for (size_t i = 0; i < bytes / page_bytes; i++)
            resident += (pages[i] & 1) * page_bytes;
    }
    return resident;
}

uint64_t fake_os_left_resident_bytes(void)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&fake.lock);
    for (unsigned i = 0; i < fake.reserved.count; i++)
        bytes += resident_bytes(fake.reserved.at[i]);
    pthread_mutex_unlock(&fake.lock);
    return bytes;
}

/* ---- the plan -------------------------------------------------------------------------- */

static void sleep_if_slow(enum fake_call call)
{
    if (!(slow_mask >> call & 1))
        return;
    slow_mask &= ~(UINT32_C(1) << call);
    struct timespec time = { slow_ms / 1000, (long)(slow_ms % 1000) * 1000000 };
    atomic_fetch_add(&fake.sleeping, 1);
    nanosleep(&time, NULL);
    atomic_fetch_sub(&fake.sleeping, 1);
}

/* Count the call.  0, or the negative errno that it shall return without having been made. */
static int judge(enum fake_call call)
{
    if (atomic_load(&fake.is_paused))
        return 0;
    uint64_t number = atomic_fetch_add(&fake.calls, 1) + 1;
    atomic_fetch_add(&fake.calls_of[call], 1);
    sleep_if_slow(call);
    if (fake_os_on_call != NULL)
        fake_os_on_call(call);
    if (fake.plan.half_discard) {
        if (call != FAKE_ADVISE + PH_ADVICE_DISCARD)
            return 0;
        number = atomic_fetch_add(&fake.discards, 1) + 1;
    }
    if (fake.plan.fail_at == 0 || number < fake.plan.fail_at)
        return 0;
    if (number > fake.plan.fail_at && !fake.plan.for_ever)
        return 0;
    atomic_fetch_add(&fake.faults_of[call], 1);
    return -fake.plan.error;
}

/* ---- the calls ------------------------------------------------------------------------- */

static int fake_reserve(size_t bytes, void **ret_base)
{
    int result = judge(FAKE_RESERVE);
    if (result == 0)
        result = fake.real.reserve(bytes, ret_base);
    if (result == 0)
        book(&fake.reserved, *ret_base, bytes, true);
    return result;
}

static int fake_use(void *base, size_t bytes)
{
    int result = judge(FAKE_USE);
    return result == 0 ? fake.real.use(base, bytes) : result;
}

static int fake_map(size_t bytes, void **ret_base)
{
    int result = judge(FAKE_MAP);
    return result == 0 ? fake.real.map(bytes, ret_base) : result;
}

static int fake_unmap(void *base, size_t bytes)
{
    int result = judge(FAKE_UNMAP);
    book(&fake.forgiven, base, bytes, result != 0);
    if (result != 0)
        return result;
    book(&fake.reserved, base, bytes, false); /* before another thread gets these addresses */
    return fake.real.unmap(base, bytes);
}

static int fake_forbid(void *base, size_t bytes)
{
    int result = judge(FAKE_FORBID);
    return result == 0 ? fake.real.forbid(base, bytes) : result;
}

static int fake_advise(void *base, size_t bytes, enum ph_advice advice)
{
    int result = judge(FAKE_ADVISE + advice);
    if (result == 0)
        return fake.real.advise(base, bytes, advice);
    size_t half = bytes / 2 / ph_os_facts_now.page_bytes * ph_os_facts_now.page_bytes;
    if (fake.plan.half_discard && half != 0)
        (void)fake.real.advise(base, half, advice);
    return result;
}

static int fake_lock(void *base, size_t bytes)
{
    int result = judge(FAKE_LOCK);
    return result == 0 ? fake.real.lock(base, bytes) : result;
}

static int fake_unlock(void *base, size_t bytes)
{
    int result = judge(FAKE_UNLOCK);
    return result == 0 ? fake.real.unlock(base, bytes) : result;
}

static uint64_t fake_now_ms(void)
{
    atomic_fetch_add(&fake.looks, 1);
    return atomic_load(&fake.now_ms);
}

static int fake_barrier(void)
{
    int result = judge(FAKE_BARRIER);
    return result == 0 ? fake.real.barrier() : result;
}

static uint64_t fake_faults(void)
{
    atomic_fetch_add(&fake.calls_of[FAKE_FAULTS], 1);
    return fake.real.faults();
}

/* ---- the controls ---------------------------------------------------------------------- */

void fake_os_install(void)
{
    if (fake.is_installed)
        return;
    (void)ph_os_setup();
    fake.real = ph_os;
    atomic_store(&fake.now_ms, 1000000);
    ph_os = (ph_os_calls){
        .reserve = fake_reserve,
        .use = fake_use,
        .map = fake_map,
        .unmap = fake_unmap,
        .forbid = fake_forbid,
        .advise = fake_advise,
        .lock = fake_lock,
        .unlock = fake_unlock,
        .now_ms = fake_now_ms,
        .faults = fake_faults,
        .barrier = fake_barrier,
    };
    fake.is_installed = true;
}

void fake_os_plan(fake_plan plan)
{
    fake.plan = plan;
    atomic_store(&fake.calls, 0);
    atomic_store(&fake.discards, 0);
}

void fake_os_pause(void)
{
    atomic_store(&fake.is_paused, true);
}

void fake_os_resume(void)
{
    atomic_store(&fake.is_paused, false);
}

void fake_os_turn_clock(uint64_t ms)
{
    atomic_fetch_add(&fake.now_ms, ms);
}

uint64_t fake_os_looks_at_clock(void)
{
    return atomic_load(&fake.looks);
}

uint64_t fake_os_calls(void)
{
    return atomic_load(&fake.calls) + fake_os_calls_of(FAKE_FAULTS);
}

uint64_t fake_os_calls_of(enum fake_call call)
{
    return atomic_load(&fake.calls_of[call]);
}

uint64_t fake_os_faults_of(enum fake_call call)
{
    return atomic_load(&fake.faults_of[call]);
}

uint64_t fake_os_faults(void)
{
    uint64_t faults = 0;
    for (unsigned call = 0; call < FAKE_CALLS; call++)
        faults += fake_os_faults_of(call);
    return faults;
}

void fake_os_slow_me(uint32_t call_mask, unsigned ms)
{
    slow_mask = call_mask;
    slow_ms = ms;
}

bool fake_os_is_sleeping(void)
{
    return atomic_load(&fake.sleeping) != 0;
}
