/* SPDX-License-Identifier: MIT */
/* threads.c -- which front is mine.
 *
 * A thread that first uses a heap adopts a front that a thread now gone has left there, blocks and all, or
 * gets a new one.  A thread that ends empties its magazines and leaves its fronts behind; there are never
 * more of them than threads that used the heap at one time.
 *
 * A front whose heap is gone stays with its thread, for the next heap that this one uses.  It must not become
 * another thread's: the hot path says that it is inside before it asks whose front this is.
 *
 * Threads and heaps may end at the same moment.  `homes` decides for each front which of the two was first: a
 * thread that is takes a pin, for which destroy waits, and leaves the front to the heap; a destroy that is
 * says so in the front's heap_id, and brings the front home, or to its end if there is nobody at home.
 */
#include "heap/heap.h"

#include "map/meta.h"
#include "os/thread.h"

#define TABLE_ENTRIES_MIN 16

/* What a thread has for its next heaps.  A record of its own, which may outlive the thread: one whose thread
 * has ended unheard is lost, and not a pointer into that thread's memory. */
typedef struct ph_home {
    ph_front *spares;     /* homes */
    uint64_t away_fronts; /* homes: which have a heap, and come here when that is gone */
    bool is_left;         /* homes: the thread is gone; the last one to come frees the record */
} ph_home;

/* Fronts' homes and what is in them, for a few words at a time.  Only fork and destroy hold another lock. */
static ph_mutex homes;

static ph_front nobodys_front = { .frees_for = (uintptr_t)&nobodys_front, /* no heap lies there */
                                  .allocs_for = (uintptr_t)&nobodys_front };
static PH_THREAD_LOCAL ph_thread *thread_table;
PH_THREAD_LOCAL ph_thread_entry ph_thread_last = { 0, &nobodys_front };

static size_t table_bytes(uint64_t entries)
{
    return sizeof(ph_thread) + entries * sizeof(ph_thread_entry);
}

static void table_put(ph_thread *table, uint64_t heap_id, ph_front *front)
{
    uint64_t slot = heap_id & table->mask;
    while (table->entries[slot].heap_id != 0)
        slot = (slot + 1) & table->mask;
    table->entries[slot].heap_id = heap_id;
    table->entries[slot].front = front;
    table->count++;
}

static ph_front *table_get(const ph_thread *table, uint64_t heap_id)
{
    if (table == NULL)
        return NULL;
    for (uint64_t slot = heap_id & table->mask; table->entries[slot].heap_id != 0;
         slot = (slot + 1) & table->mask) {
        if (table->entries[slot].heap_id == heap_id)
            return table->entries[slot].front;
    }
    return NULL;
}

void ph_homes_lock(void)
{
    ph_mutex_lock(&homes);
}

void ph_homes_unlock(void)
{
    ph_mutex_unlock(&homes);
}

/* ---- heaps end -------------------------------------------------------------------------- */

void ph_fronts_disown(pageheap *heap)
{
    for (PH_EACH_FRONT(front, heap)) {
        ph_mutex_lock(&homes);
        ph_store_relaxed(&front->heap_id, PH_DEAD_HEAP_ID);
        ph_mutex_unlock(&homes);
    }
}

void ph_fronts_await_pins(pageheap *heap)
{
    for (unsigned round = 0; ph_load_acquire(&heap->pins) != 0; round++) /* pairs with ph_heap_unpin */
        ph_wait_round(round);
}

void ph_front_dismiss(ph_front *front)
{
    ph_front_close(front);
    ph_mutex_lock(&homes);
    ph_home *home = front->home;
    bool is_welcome = home != NULL && !home->is_left;
    bool is_last = home != NULL && --home->away_fronts == 0 && home->is_left;
    if (is_welcome) {
        front->next = home->spares;
        home->spares = front;
    }
    ph_mutex_unlock(&homes);
    if (!is_welcome)
        ph_meta_free(front, sizeof *front);
    if (is_last)
        ph_meta_free(home, sizeof *home);
}

/* ---- threads end ------------------------------------------------------------------------ */

/* The thread ends: empty the magazines and leave the front to whoever comes. */
static void leave_front(ph_front *front)
{
    ph_front_enter(front);
    ph_front_collect(front);
    ph_front_drain(front, 0);
    ph_large_drain(front, 0);
    ph_front_leave(front);
    ph_pool_leave_apart(front->heap, &front->apart);
    ph_mutex_lock(&front->lock);
    ph_store_relaxed(&front->has_owner, 0);
    ph_mutex_unlock(&front->lock);
}

/* The front is its heap's alone from now on, and the heap stays until it is unpinned.  False: the heap is
 * being destroyed, or gone. */
static bool pin(ph_front *front, uint64_t heap_id)
{
    ph_mutex_lock(&homes);
    bool is_alive = ph_load_relaxed(&front->heap_id) == heap_id;
    if (is_alive) {
        front->home->away_fronts--;
        front->home = NULL;
        ph_fetch_add_relaxed(&front->heap->pins, 1);
    }
    ph_mutex_unlock(&homes);
    return is_alive;
}

static void free_spare_fronts(ph_front *spare)
{
    for (ph_front *next; spare != NULL; spare = next) {
        next = spare->next;
        ph_meta_free(spare, sizeof *spare);
    }
}

/* Nobody comes home any more but to be freed. */
static void leave_home(ph_home *home)
{
    ph_mutex_lock(&homes);
    ph_front *spares = home->spares;
    bool is_last = home->away_fronts == 0;
    home->is_left = true;
    ph_mutex_unlock(&homes);
    free_spare_fronts(spares);
    if (is_last)
        ph_meta_free(home, sizeof *home);
}

/* True if the entry's heap is alive, or was a moment ago.  Its front may serve another one since; the record
 * is this thread's, whosever heap it is for. */
static bool is_current(const ph_thread_entry *entry)
{
    return entry->heap_id != 0 && ph_load_relaxed(&entry->front->heap_id) == entry->heap_id;
}

static void leave_fronts(void *value)
{
    ph_thread *table = value;
    thread_table = NULL; /* a later destructor that allocates begins anew */
    ph_thread_last = (ph_thread_entry){ 0, &nobodys_front };
    /* All of them first: a front that served two heaps stands there twice, and once left it is another's. */
    for (uint64_t slot = 0; slot <= table->mask; slot++) {
        if (!is_current(&table->entries[slot]))
            table->entries[slot].front = NULL;
    }
    for (uint64_t slot = 0; slot <= table->mask; slot++) {
        ph_front *front = table->entries[slot].front;
        if (front == NULL || !pin(front, table->entries[slot].heap_id))
            continue;
        pageheap *heap = front->heap;
        leave_front(front);
        ph_heap_unpin(heap);
    }
    leave_home(table->home);
    ph_meta_free(table, table_bytes(table->mask + 1));
}

/* ---- a thread's table ------------------------------------------------------------------- */

static uint64_t count_current(const ph_thread *table)
{
    uint64_t count = 0;
    for (uint64_t slot = 0; table != NULL && slot <= table->mask; slot++)
        count += is_current(&table->entries[slot]);
    return count;
}

static ph_front *take_spares(ph_home *home)
{
    ph_mutex_lock(&homes);
    ph_front *spares = home->spares;
    home->spares = NULL;
    ph_mutex_unlock(&homes);
    return spares;
}

/* A table with room for one more entry; entries of heaps that are gone are left out. */
static ph_thread *table_with_room(void)
{
    ph_thread *old = thread_table;
    if (old != NULL && (old->count + 1) * 2 <= old->mask + 1)
        return old;
    uint64_t entries = TABLE_ENTRIES_MIN;
    uint64_t current = count_current(old);
    while (entries < (current + 1) * 4)
        entries *= 2;
    ph_thread *table = ph_meta_alloc(table_bytes(entries));
    ph_home *home = old != NULL ? old->home : ph_meta_alloc(sizeof *home);
    if (table == NULL || home == NULL || ph_thread_at_exit(leave_fronts, table) != 0) {
        if (old == NULL && home != NULL)
            ph_meta_free(home, sizeof *home);
        if (table != NULL)
            ph_meta_free(table, table_bytes(entries));
        return NULL;
    }
    table->mask = entries - 1;
    table->home = home;
    ph_front *spares = take_spares(home); /* first: of these no entry is current */
    for (uint64_t slot = 0; old != NULL && slot <= old->mask; slot++) {
        if (is_current(&old->entries[slot]))
            table_put(table, old->entries[slot].heap_id, old->entries[slot].front);
    }
    ph_thread_last = (ph_thread_entry){ 0, &nobodys_front }; /* it may be one of those */
    free_spare_fronts(spares);
    thread_table = table;
    if (old != NULL)
        ph_meta_free(old, table_bytes(old->mask + 1));
    return table;
}

/* With fronts_lock held: a front without an owner becomes ours. */
static ph_front *adopt(pageheap *heap)
{
    for (PH_EACH_FRONT(front, heap)) {
        if (ph_load_relaxed(&front->has_owner) != 0)
            continue;
        ph_mutex_lock(&front->lock);
        ph_store_relaxed(&front->has_owner, 1);
        ph_mutex_unlock(&front->lock);
        return front;
    }
    return NULL;
}

/* All zero: one that the thread has left, or a new record. */
static ph_front *front_from_home(ph_home *home)
{
    ph_mutex_lock(&homes);
    ph_front *front = home->spares;
    if (front != NULL)
        home->spares = front->next;
    ph_mutex_unlock(&homes);
    if (front == NULL)
        return ph_meta_alloc(sizeof *front);
    ph_os_clear(front, sizeof *front);
    return front;
}

static void front_init(ph_front *front, pageheap *heap)
{
    front->heap = heap;
    front->hot_key = (uintptr_t)heap + (heap->backing->asks_for_hot ? 0 : PH_HOT_KEY_AWAY);
    ph_store_relaxed(&front->heap_id, ph_load_relaxed(&heap->id));
    front->page_log2 = heap->page_log2;
    front->block_pages = heap->block_pages;
    front->mixed_is_clean = heap->backing->mixed_is_clean;
    front->cache_limit_pages = 64;
    uint32_t attention = ph_os_facts_now.has_barrier ? 0 : PH_FENCED;
    attention |= heap->page_log2 == PH_PAGE_LOG2_MIN ? 0 : PH_ODD_PAGES;
    ph_store_relaxed(&front->attention, attention);
    ph_front_close(front);
    if (attention == 0)
        ph_front_open(front);
    for (unsigned pages = 0; pages <= PH_BLOCK_PAGES_MAX; pages++)
        front->tops[pages] = PH_NO_RUNS;
    ph_front_forget_hot(front);
    front->near_window = &ph_nobodys_window;
    ph_store_relaxed(&front->calls_left, PH_TICK_CALLS);
}

static ph_front *front_for_thread(pageheap *heap, ph_home *home)
{
    ph_mutex_lock(&heap->fronts_lock);
    ph_front *front = adopt(heap);
    ph_mutex_unlock(&heap->fronts_lock);
    if (front != NULL)
        return front;
    front = front_from_home(home);
    if (front == NULL)
        return NULL;
    front_init(front, heap);
    ph_store_relaxed(&front->has_owner, 1);
    ph_mutex_lock(&heap->fronts_lock);
    front->next = ph_load_relaxed(&heap->fronts);
    ph_store_release(&heap->fronts, front); /* pairs with the acquire of all who walk the list */
    ph_mutex_unlock(&heap->fronts_lock);
    ph_fetch_add_relaxed(&heap->front_count, 1);
    ph_fetch_add_relaxed(&heap->metadata_bytes, sizeof *front);
    return front;
}

static void set_home(ph_front *front, ph_home *home)
{
    ph_mutex_lock(&homes);
    front->home = home;
    home->away_fronts++;
    ph_mutex_unlock(&homes);
}

ph_front *ph_front_mine_slow(pageheap *heap)
{
    uint64_t id = ph_load_relaxed(&heap->id);
    ph_front *front = table_get(thread_table, id);
    if (front != NULL) {
        ph_thread_last = (ph_thread_entry){ id, front };
        return front;
    }
    ph_thread *table = table_with_room();
    if (table == NULL)
        return NULL;
    front = front_for_thread(heap, table->home);
    if (front == NULL)
        return NULL;
    set_home(front, table->home);
    table_put(table, id, front);
    return front;
}

void ph_fronts_after_fork(pageheap *heap)
{
    const ph_front *mine = table_get(thread_table, ph_load_relaxed(&heap->id));
    ph_pool_after_fork(heap);
    ph_store_relaxed(&heap->pins, 0); /* whose threads are no more */
    for (PH_EACH_FRONT(front, heap)) {
        ph_store_relaxed(&front->has_owner, front == mine);
        front->apart = (ph_apart){ .region_serial = 0 };
        if (front != mine)
            front->home = NULL; /* what other threads had there is lost */
        /* Its thread may have been on the way in, about to see that the front is held. */
        ph_store_relaxed(&front->busy, 0);
    }
}

void ph_special_front_init(pageheap *heap)
{
    front_init(&heap->special, heap);
}
