/* SPDX-License-Identifier: MIT */
/* balance.c -- how much memory the heap may hold that nobody uses.
 *
 * The rule: what is resident never exceeds, by more than 1/64, the most that the program itself had live
 * within the last decay_ms.  So a program at a steady height is never bounced to the kernel and back, a
 * program that climbs does not pay for the holes it leaves behind, and after a fall the memory goes once
 * the height is forgotten.  The same rule bounds what threads may keep in their magazines.
 *
 * Only what was touched holds memory.  The heap cannot see that, but the kernel counts the process's first
 * touches: holes among live runs are given back, and kept runs put back to make such holes, no faster than
 * pages were faulted in.  A program that takes pages and does not touch them is left alone, and one that
 * does pays at most one more step for each fault.  Empty blocks need no such care: one call gives back 2 MiB.
 *
 * It is looked at when a front has grown by 1/128 of the heap, and at ticks: every 64th allocation of a
 * thread looks at the clock, and does the work if decay_ms / 8 have passed since anyone did.
 */
#include "heap/heap.h"

/* Memory that may stay beyond the share: a heap of less than a block need not be tidy.  Somewhat larger ones
 * get less, so that with it, the share and our own records they are at most 1/20 above their program. */
#define SLACK_PAGES     32
#define SLACK_PAGES_MIN 4
#define SLACK_SHARE     64
#define WHOLE_SHARE     20
#define RECORD_PAGES    18

/* What was looked for in vain is not looked for again sooner. */
#define PATIENCE_MS 10

static uint64_t live_of(const ph_front *front)
{
    return ph_load_relaxed(&front->used_pages) - ph_front_cached_pages(front) - ph_front_hot_pages(front);
}

/* Read while the others go on: a difference whose first part was read too early may be below zero. */
static uint64_t not_below_zero(uint64_t difference)
{
    return (int64_t)difference < 0 ? 0 : difference;
}

/* Who frees another thread's run counts its pages, and who collects it does too; in between they are used in
 * their block, and nobody's. */
static void add_front(const ph_front *front, ph_sums *sums)
{
    sums->live_pages += live_of(front);
    sums->uncollected_pages +=
        ph_load_relaxed(&front->outward_free_pages) - ph_load_relaxed(&front->collected_pages);
    sums->cached_pages += ph_front_cached_pages(front) + ph_load_relaxed(&front->large_cached_pages) +
                          ph_front_hot_pages(front);
    sums->unused_pages += ph_load_relaxed(&front->dirty_pages);
}

/* A maximum that a race may lose a sample of: it is a height remembered, not a count. */
static void raise_to(_Atomic uint64_t *highest, uint64_t value)
{
    if (value > ph_load_relaxed(highest))
        ph_store_relaxed(highest, value);
}

void ph_heap_sum(pageheap *heap, ph_sums *ret_sums)
{
    ph_sums sums = { .unused_pages = ph_load_relaxed(&heap->pool_dirty_pages) };
    add_front(&heap->special, &sums);
    for (PH_EACH_FRONT(front, heap))
        add_front(front, &sums);
    sums.live_pages = not_below_zero(sums.live_pages);
    /* The sum may be interrupted in its middle, and then misses one end of many runs: no height may come of
     * it that the heap never had, and no memory that it does not hold. */
    sums.uncollected_pages = ph_min_u64(not_below_zero(sums.uncollected_pages), sums.live_pages);
    sums.live_pages -= sums.uncollected_pages;
    sums.live_pages += ph_load_relaxed(&heap->large_live_pages);
    sums.unused_pages += sums.uncollected_pages;
    raise_to(&heap->peak_live_pages, sums.live_pages);
    raise_to(&heap->period_peak_pages, sums.live_pages);
    sums.peak_pages =
        ph_max_u64(ph_load_relaxed(&heap->period_peak_pages), ph_load_relaxed(&heap->last_peak_pages));
    *ret_sums = sums;
}

/* See how high the heap stands: when this front, with what no thread's front has, stands higher than since
 * the clock last moved, and with n fronts at each 32n-th tick of a thread.  The sum reads what other threads
 * write, and each of them then waits for its line to come back: with a look at every tick, two threads did
 * 1.4 times as much as one; with one at each 8n-th, 6 % less than now.  A heap that grows is looked at as it
 * grows. */
#define SAMPLE_TICKS 32

static void sample(pageheap *heap, ph_front *own)
{
    ph_sums sums;
    uint64_t fronts = ph_load_relaxed(&heap->front_count);
    uint64_t ticks = ph_load_relaxed(&own->ticked_calls) / PH_TICK_CALLS;
    uint64_t pages = not_below_zero(live_of(own)) + not_below_zero(live_of(&heap->special)) +
                     ph_load_relaxed(&heap->large_live_pages);
    if (pages > own->highest_pages)
        own->highest_pages = pages;
    else if (ticks % (SAMPLE_TICKS * fronts) != 0)
        return;
    ph_heap_sum(heap, &sums);
}

/* ---- the rule -------------------------------------------------------------------------- */

static uint64_t slack_pages(const pageheap *heap, uint64_t peak_pages)
{
    uint64_t share = peak_pages / SLACK_SHARE + RECORD_PAGES, whole = peak_pages / WHOLE_SHARE;
    if (peak_pages < heap->block_pages)
        return SLACK_PAGES;
    return whole < share + SLACK_PAGES_MIN ? SLACK_PAGES_MIN : ph_min_u64(whole - share, SLACK_PAGES);
}

static uint64_t allowed_pages(const pageheap *heap, const ph_sums *sums)
{
    uint64_t peak = sums->peak_pages;
    uint64_t allowed = peak + peak / SLACK_SHARE + slack_pages(heap, peak);
    if (heap->retain_pages != UINT64_MAX)
        allowed = ph_min_u64(allowed, sums->live_pages + heap->retain_pages);
    return allowed;
}

static uint64_t resident_pages(const ph_sums *sums)
{
    return sums->live_pages + sums->cached_pages + sums->unused_pages;
}

/* Put back what a front keeps beyond `keep_pages`, the long runs first. */
static void drain_front(ph_front *front, ph_front *own, uint64_t keep_pages)
{
    ph_front_hold(front, own);
    ph_front_collect(front);
    ph_large_drain(front, keep_pages);
    uint64_t large = ph_load_relaxed(&front->large_cached_pages);
    ph_front_drain(front, keep_pages > large ? keep_pages - large : 0);
    ph_front_release(front, own);
}

/* Only owners that are idle, or gone: one at work collects by itself, and would be stopped for nothing. */
static bool is_left_uncollected(ph_front *front, uint64_t now_ms)
{
    if (ph_remote_is_empty(&front->pending))
        return false;
    if (ph_load_relaxed(&front->has_owner) == 0)
        return true;
    uint64_t collected = ph_load_relaxed(&front->collected_pages);
    if (collected != front->seen_collected_pages) {
        front->seen_collected_pages = collected;
        front->seen_since_ms = now_ms;
        return false;
    }
    return now_ms >= front->seen_since_ms + PATIENCE_MS;
}

/* How many of the uncollected pages are this front's, nobody counts: at most what it has that looks live. */
static uint64_t idle_pages_of(ph_front *front, uint64_t uncollected_pages, uint64_t now_ms)
{
    uint64_t idle = ph_load_relaxed(&front->dirty_pages) + ph_front_cached_pages(front) +
                    ph_load_relaxed(&front->large_cached_pages);
    if (is_left_uncollected(front, now_ms))
        idle += ph_min_u64(uncollected_pages, not_below_zero(live_of(front)));
    return idle;
}

/* Other threads' fronts, those that hold much; stopping a thread costs it some microseconds. */
static uint64_t purge_others(pageheap *heap, ph_front *own, uint64_t pages, uint64_t worth_pages,
                             uint64_t uncollected_pages)
{
    uint64_t now_ms = ph_os.now_ms();
    uint64_t given = ph_front_purge(heap, &heap->special, own, pages);
    for (PH_EACH_FRONT(front, heap)) {
        if (given >= pages)
            break;
        if (front == own || idle_pages_of(front, uncollected_pages, now_ms) < worth_pages)
            continue;
        drain_front(front, own, 0);
        given += ph_front_purge(heap, front, own, pages - given);
        given += ph_pool_purge(heap, pages > given ? pages - given : 0);
    }
    return given;
}

/* ---- what faults allow ----------------------------------------------------------------- */

static bool faults_tell_little(const pageheap *heap)
{
    return heap->huge_pages == PAGEHEAP_HUGE_ALWAYS ||
           (heap->huge_pages == PAGEHEAP_HUGE_DEFAULT && ph_os_facts_now.has_huge_pages);
}

/* Pages of holes that may be given back now (purge_turn held). */
static uint64_t backed_pages(const pageheap *heap)
{
    if (faults_tell_little(heap))
        return UINT64_MAX;
    uint64_t faults = ph_os.faults() - heap->faults_base;
    return faults > heap->holes_given_pages ? faults - heap->holes_given_pages : 0;
}

void ph_heap_balance_after_fork(pageheap *heap)
{
    ph_sums sums;
    ph_heap_sum(heap, &sums);
    heap->faults_base = ph_os.faults() - resident_pages(&sums); /* wraps, and wraps back when subtracted */
    heap->holes_given_pages = 0;
}

/* ---- bringing the heap back under the rule (purge_turn held) --------------------------- */

/* The caller's own front: what others freed and kept runs become holes, holes go. */
static uint64_t purge_own(pageheap *heap, ph_front *own, uint64_t pages)
{
    ph_front_enter(own);
    ph_front_collect(own);
    ph_front_leave(own);
    uint64_t kept = ph_front_cached_pages(own) + ph_load_relaxed(&own->large_cached_pages);
    uint64_t unused = ph_load_relaxed(&own->dirty_pages);
    if (kept != 0 && unused < pages)
        drain_front(own, own, kept - ph_min_u64(kept, pages - unused));
    uint64_t given = ph_pool_purge(heap, pages);
    return given + ph_front_purge(heap, own, own, given < pages ? pages - given : 0);
}

static void restore_rule(pageheap *heap, ph_front *own, bool reach_others)
{
    ph_sums sums;
    ph_heap_sum(heap, &sums);
    uint64_t allowed = allowed_pages(heap, &sums);
    uint64_t resident = resident_pages(&sums);
    if (resident <= allowed)
        return;
    /* Go a little below, so that the next page does not bring us here again. */
    uint64_t excess = resident - allowed + allowed / (2 * SLACK_SHARE);
    uint64_t given = ph_pool_purge(heap, excess);
    uint64_t backed = backed_pages(heap);
    if (given >= excess)
        return;
    if (backed < SLACK_PAGES) {
        ph_store_relaxed(&heap->patient_until_ms, ph_os.now_ms() + PATIENCE_MS);
        return;
    }
    uint64_t wanted = ph_min_u64(excess - given, backed);
    uint64_t holes = own == NULL ? 0 : purge_own(heap, own, wanted);
    if (reach_others && holes < wanted)
        holes += purge_others(heap, own, wanted - holes, ph_max_u64(SLACK_PAGES, allowed / (2 * SLACK_SHARE)),
                              sums.uncollected_pages);
    heap->holes_given_pages += holes;
}

static uint64_t period_ms(const pageheap *heap)
{
    return heap->decay_ms / 2;
}

/* A period is over: what was the height in it counts for one more. */
static void turn_period(pageheap *heap, uint64_t now_ms)
{
    if (now_ms < ph_load_relaxed(&heap->period_start_ms) + period_ms(heap)) /* now_ms may be the older one */
        return;
    ph_store_relaxed(&heap->period_start_ms, now_ms);
    ph_store_relaxed(&heap->last_peak_pages, ph_load_relaxed(&heap->period_peak_pages));
    ph_store_relaxed(&heap->period_peak_pages, 0); /* the sum that follows begins it anew */
}

/* Whose magazines hold as much as a tick ago takes and frees in turn.  For others a hot run would be
 * branches that cannot be foreseen. */
static void note_looping(ph_front *own)
{
    own->is_looping = ph_front_cached_pages(own) == own->ticked_cached_pages;
    if (!own->is_looping)
        ph_front_cool(own);
    own->ticked_cached_pages = ph_front_cached_pages(own);
}

/* The front's part of a tick.  Magazines that are never full are not looked at elsewhere. */
static void tick_front(pageheap *heap, ph_front *own)
{
    ph_front_enter(own);
    ph_front_tick_done(own);
    note_looping(own);
    bool keeps_too_much = ph_front_cached_pages(own) > own->cache_limit_pages;
    ph_front_leave(own);
    if (keeps_too_much)
        ph_front_relimit(heap, own);
    sample(heap, own);
}

/* Who finds the clock where it was is in a hurry, and passes it by at so many ticks. */
#define BLIND_TICKS 3

static void note_clock(ph_front *own, uint64_t now_ms)
{
    own->blind_ticks = now_ms == own->clock_ms ? BLIND_TICKS : 0;
    if (now_ms != own->clock_ms)
        own->highest_pages = 0;
    own->clock_ms = now_ms;
}

void ph_heap_tick(pageheap *heap, ph_front *own)
{
    if (own->blind_ticks == 0) {
        ph_heap_look(heap, own);
        return;
    }
    own->blind_ticks--;
    tick_front(heap, own);
}

void ph_heap_look(pageheap *heap, ph_front *own)
{
    uint64_t now_ms = ph_os.now_ms();
    if (own != NULL) {
        note_clock(own, now_ms);
        tick_front(heap, own);
    }
    uint64_t due_ms = ph_load_relaxed(&heap->next_tick_ms);
    if (now_ms < due_ms)
        return;
    uint32_t decay_ms = heap->decay_ms == PAGEHEAP_NEVER ? 1000 : heap->decay_ms;
    if (!ph_cas_acq_rel(&heap->next_tick_ms, &due_ms, now_ms + decay_ms / 8))
        return; /* another thread does it; the order carries nothing */
    ph_heap_make_private(heap, now_ms);
    if (heap->decay_ms == PAGEHEAP_NEVER || !ph_mutex_try_lock(&heap->purge_turn))
        return;
    turn_period(heap, now_ms);
    restore_rule(heap, own, true);
    ph_mutex_unlock(&heap->purge_turn);
}

void ph_heap_grown(pageheap *heap, ph_front *own)
{
    ph_store_relaxed(&own->grown_pages, 0);
    if (heap->decay_ms == PAGEHEAP_NEVER || ph_os.now_ms() < ph_load_relaxed(&heap->patient_until_ms)) {
        ph_sums sums;
        ph_heap_sum(heap, &sums);
        return;
    }
    if (!ph_mutex_try_lock(&heap->purge_turn))
        return;
    restore_rule(heap, own, false);
    ph_mutex_unlock(&heap->purge_turn);
}

/* How much all threads may keep ready, in heights of the heap.  Kept runs that were touched are held down by
 * the rule, kept runs that were not touched cost nothing but addresses.  But nothing else holds them down in
 * a heap that leaves the rule to its trims. */
static uint64_t kept_heights(const pageheap *heap)
{
    return heap->decay_ms == PAGEHEAP_NEVER ? 1 : 4;
}

/* Have room for what the others leave of that, and for what the heap has come down from its height. */
void ph_front_relimit(pageheap *heap, ph_front *own)
{
    ph_sums sums;
    ph_heap_sum(heap, &sums);
    uint64_t kept = ph_front_cached_pages(own) + ph_load_relaxed(&own->large_cached_pages);
    uint64_t fallen = sums.peak_pages > sums.live_pages ? sums.peak_pages - sums.live_pages : 0;
    uint64_t all = fallen + kept_heights(heap) * sums.peak_pages + SLACK_PAGES;
    uint64_t others = sums.cached_pages > kept ? sums.cached_pages - kept : 0;
    uint64_t mine = ph_max_u64(all > others ? all - others : 0, SLACK_PAGES);
    mine = ph_min_u64(mine, PH_TALLY_FREE / 2); /* what the tally has room for */
    own->cache_limit_pages = mine;
    if (kept > mine)
        drain_front(own, own, mine - mine / 4);
}

uint64_t ph_heap_trim(pageheap *heap, uint64_t keep_pages)
{
    ph_front *own = ph_front_mine(heap);
    ph_sums sums;
    ph_heap_drain_all(heap);
    ph_mutex_lock(&heap->purge_turn);
    ph_heap_sum(heap, &sums);
    uint64_t excess = sums.unused_pages > keep_pages ? sums.unused_pages - keep_pages : 0;
    uint64_t given = ph_pool_purge(heap, excess);
    given += ph_front_purge(heap, &heap->special, own, given < excess ? excess - given : 0);
    for (PH_EACH_FRONT(front, heap)) {
        if (given >= excess)
            break;
        given += ph_front_purge(heap, front, own, excess - given);
    }
    if (keep_pages == 0) {
        ph_pool_shrink(heap);
        ph_huge_shrink(heap);
    }
    ph_mutex_unlock(&heap->purge_turn);
    return given;
}

void ph_heap_drain_all(pageheap *heap)
{
    ph_fronts_lock_all(heap);
    for (PH_EACH_FRONT(front, heap)) {
        ph_front_collect(front);
        ph_front_drain(front, 0);
        ph_large_drain(front, 0);
        ph_front_shed_empty(front);
    }
    ph_fronts_unlock_all(heap);
    ph_front_lock(&heap->special);
    ph_front_shed_empty(&heap->special);
    ph_front_unlock(&heap->special);
}

bool ph_heap_charge(pageheap *heap, uint64_t pages)
{
    if (heap->limit_pages == UINT64_MAX)
        return true;
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        uint64_t charged = ph_load_relaxed(&heap->charged_pages);
        while (charged + pages <= heap->limit_pages && charged + pages >= charged) {
            if (ph_cas_acq_rel(&heap->charged_pages, &charged, charged + pages)) /* a count, no more */
                return true;
        }
        if (attempt == 0)
            ph_heap_drain_all(heap); /* what threads keep counts, but is not in the way */
    }
    return false;
}
