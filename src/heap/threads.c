/* SPDX-License-Identifier: MIT */
/* threads.c -- which front is mine.
 *
 * A thread that first uses a heap adopts a front that a thread now gone has left there, blocks and all, or
 * gets a new one.  A thread that ends empties its magazines and leaves its fronts behind; there are never
 * more of them than threads that used the heap at one time.
 *
 * A front whose heap is gone stays with its thread, for the next heap that this one uses.  It must not become
 * another thread's: the hot path says that it is inside before it asks whose front this is.
 */
#include "heap/heap.h"

#include "map/meta.h"
#include "os/thread.h"

#define TABLE_ENTRIES_MIN 16

/* What a thread has for its next heaps.  A record of its own: one whose thread has ended unheard is lost, and
 * not a pointer into that thread's memory. */
typedef struct ph_home {
    ph_front *spares; /* registry */
} ph_home;

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

void ph_front_dismiss(ph_front *front)
{
    ph_front_close(front);
    ph_registry_lock();
    ph_home *home = front->home;
    if (home != NULL) {
        front->next = home->spares;
        home->spares = front;
    }
    ph_registry_unlock();
    if (home == NULL)
        ph_meta_free(front, sizeof *front);
}

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

/* Who destroys their heaps frees them (registry held). */
static void let_go_of_homes(ph_thread *table)
{
    for (uint64_t slot = 0; slot <= table->mask; slot++) {
        if (table->entries[slot].front != NULL)
            table->entries[slot].front->home = NULL;
    }
}

static void free_spare_fronts(ph_front *spare)
{
    for (ph_front *next; spare != NULL; spare = next) {
        next = spare->next;
        ph_meta_free(spare, sizeof *spare);
    }
}

static uint64_t count_alive(const ph_thread *table)
{
    uint64_t count = 0;
    ph_registry_lock();
    for (uint64_t slot = 0; table != NULL && slot <= table->mask; slot++)
        count += ph_heap_id_is_alive(table->entries[slot].heap_id);
    ph_registry_unlock();
    return count;
}

static void leave_fronts(void *value)
{
    ph_thread *table = value;
    thread_table = NULL; /* a later destructor that allocates begins anew */
    ph_thread_last = (ph_thread_entry){ 0, &nobodys_front };
    ph_registry_lock(); /* no heap is destroyed meanwhile */
    /* All of them first: a front that served two heaps stands there twice, and once left it is another's. */
    let_go_of_homes(table);
    for (uint64_t slot = 0; slot <= table->mask; slot++) {
        if (ph_heap_id_is_alive(table->entries[slot].heap_id))
            leave_front(table->entries[slot].front);
    }
    ph_front *spare = table->home->spares;
    ph_registry_unlock();
    free_spare_fronts(spare);
    ph_meta_free(table->home, sizeof *table->home);
    ph_meta_free(table, table_bytes(table->mask + 1));
}

/* A table with room for one more entry; entries of heaps that are gone are left out. */
static ph_thread *table_with_room(void)
{
    ph_thread *old = thread_table;
    if (old != NULL && (old->count + 1) * 2 <= old->mask + 1)
        return old;
    uint64_t entries = TABLE_ENTRIES_MIN;
    uint64_t alive = count_alive(old);
    while (entries < (alive + 1) * 4)
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
    ph_registry_lock();
    if (old != NULL)
        let_go_of_homes(old); /* those that are left out may not be home yet */
    for (uint64_t slot = 0; old != NULL && slot <= old->mask; slot++) {
        if (!ph_heap_id_is_alive(old->entries[slot].heap_id))
            continue;
        old->entries[slot].front->home = home;
        table_put(table, old->entries[slot].heap_id, old->entries[slot].front);
    }
    ph_front *spares = home->spares;
    home->spares = NULL;
    ph_registry_unlock();
    ph_thread_last = (ph_thread_entry){ 0, &nobodys_front }; /* it may be one of those */
    free_spare_fronts(spares);
    thread_table = table;
    if (old != NULL)
        ph_meta_free(old, table_bytes(old->mask + 1));
    return table;
}

/* With fronts_lock held: a front without an owner becomes ours. */
static ph_front *adopt(pageheap *heap, ph_home *home)
{
    for (PH_EACH_FRONT(front, heap)) {
        if (ph_load_relaxed(&front->has_owner) != 0)
            continue;
        ph_mutex_lock(&front->lock);
        ph_store_relaxed(&front->has_owner, 1);
        ph_mutex_unlock(&front->lock);
        front->home = home;
        return front;
    }
    return NULL;
}

/* All zero: one that the thread has left, or a new record. */
static ph_front *front_from_home(ph_home *home)
{
    ph_registry_lock();
    ph_front *front = home->spares;
    if (front != NULL)
        home->spares = front->next;
    ph_registry_unlock();
    if (front == NULL)
        return ph_meta_alloc(sizeof *front);
    ph_os_clear(front, sizeof *front);
    return front;
}

static void front_init(ph_front *front, pageheap *heap)
{
    front->heap = heap;
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
    ph_store_relaxed(&front->calls_left, PH_TICK_CALLS);
}

static ph_front *front_for_thread(pageheap *heap, ph_home *home)
{
    ph_mutex_lock(&heap->fronts_lock);
    ph_front *front = adopt(heap, home);
    ph_mutex_unlock(&heap->fronts_lock);
    if (front != NULL)
        return front;
    front = front_from_home(home);
    if (front == NULL)
        return NULL;
    front_init(front, heap);
    front->home = home;
    ph_store_relaxed(&front->has_owner, 1);
    ph_mutex_lock(&heap->fronts_lock);
    front->next = ph_load_relaxed(&heap->fronts);
    ph_store_release(&heap->fronts, front); /* pairs with the acquire of all who walk the list */
    ph_mutex_unlock(&heap->fronts_lock);
    ph_fetch_add_relaxed(&heap->front_count, 1);
    ph_fetch_add_relaxed(&heap->metadata_bytes, sizeof *front);
    return front;
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
    if (front != NULL)
        table_put(table, id, front);
    return front;
}

void ph_fronts_after_fork(pageheap *heap)
{
    const ph_front *mine = table_get(thread_table, ph_load_relaxed(&heap->id));
    ph_pool_after_fork(heap);
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
