/* SPDX-License-Identifier: MIT */
/* heap.c -- heaps are made and destroyed; the registry knows them all. */
#include "heap/heap.h"

#include <errno.h>

#include "map/meta.h"
#include "os/thread.h"

#define HANDLER_ROUNDS 10000 /* of waits for another thread that registers them: about a second */

enum handler_state { NO_HANDLER, HANDLER_UNDER_WAY, HANDLER_IS_THERE };

/* Every live heap.  Ids are counted up and never used again, so a stale id names no heap. */
static struct {
    ph_mutex lock;
    pageheap *first;                 /* lock */
    uint64_t last_id;                /* lock */
    enum handler_state fork_handler; /* lock */
} registry;

void ph_registry_lock(void)
{
    ph_mutex_lock(&registry.lock);
}

void ph_registry_unlock(void)
{
    ph_mutex_unlock(&registry.lock);
}

pageheap *ph_heap_first(void)
{
    return registry.first;
}

void ph_heap_each(void (*fn)(pageheap *))
{
    for (pageheap *heap = registry.first; heap != NULL; heap = heap->next)
        fn(heap);
}

bool ph_heap_is_valid(const pageheap *heap)
{
    return heap != NULL && ph_load_relaxed(&heap->id) != PH_DEAD_HEAP_ID;
}

bool ph_heap_pin(pageheap *heap)
{
    ph_registry_lock();
    const pageheap *known = registry.first;
    while (known != NULL && known != heap)
        known = known->next;
    if (known != NULL)
        ph_fetch_add_relaxed(&heap->pins, 1);
    ph_registry_unlock();
    return known != NULL;
}

void ph_heap_unpin(pageheap *heap)
{
    ph_fetch_sub_release(&heap->pins, 1); /* pairs with the acquire in ph_fronts_await_pins */
}

/* ---- create ---------------------------------------------------------------------------- */

static uint64_t pages_of_bytes(const pageheap *heap, uint64_t bytes)
{
    return bytes == 0 ? UINT64_MAX : bytes >> heap->page_log2;
}

/* Options are valid: the api floor has seen to that. */
static void apply_options(pageheap *heap, const pageheap_options *options)
{
    uint32_t page_bytes =
        options->page_bytes != 0 ? options->page_bytes : (uint32_t)ph_os_facts_now.page_bytes;
    heap->page_log2 = ph_lowest_bit(page_bytes);
    heap->block_pages = 1u << (PH_BLOCK_LOG2 - heap->page_log2);
    heap->flags = options->flags;
    heap->decay_ms = options->decay_ms == PAGEHEAP_AT_ONCE ? 0 : options->decay_ms;
    heap->huge_pages = options->huge_pages;
    heap->limit_pages = pages_of_bytes(heap, options->limit_bytes);
    heap->retain_pages = pages_of_bytes(heap, options->retain_bytes);
    heap->reserve_bytes = options->reserve_bytes != 0 ? options->reserve_bytes : PH_REGION_BYTES_MAX;
}

/* What it was; if nobody has begun, the caller has now. */
static enum handler_state begin_handler(void)
{
    ph_registry_lock();
    enum handler_state before = registry.fork_handler;
    if (before == NO_HANDLER)
        registry.fork_handler = HANDLER_UNDER_WAY;
    ph_registry_unlock();
    return before;
}

static void end_handler(enum handler_state state)
{
    ph_registry_lock();
    registry.fork_handler = state;
    ph_registry_unlock();
}

/* The handlers must be there before the first heap is: a fork in between would leave it unhandled.
 * Registering them may allocate, and it may be us who serves that: so nothing is held, and that thread goes
 * on without.  Others wait for it, but not for ever: they may hold what it needs there, or be a child of a
 * fork that came first. */
static int register_fork_handler(void)
{
    static PH_THREAD_LOCAL bool is_at_it;
    enum handler_state before = begin_handler();
    for (unsigned round = 0; before == HANDLER_UNDER_WAY && !is_at_it; round++) {
        if (round == HANDLER_ROUNDS)
            end_handler(HANDLER_IS_THERE); /* or will be */
        ph_wait_round(round);
        before = begin_handler();
    }
    if (before != NO_HANDLER)
        return 0;
    is_at_it = true;
    int error = ph_fork_register();
    is_at_it = false;
    end_handler(error == 0 ? HANDLER_IS_THERE : NO_HANDLER);
    return error;
}

pageheap *ph_heap_create(const pageheap_options *options, const ph_backing *backing,
                         struct pageheap_exec *exec, int *ret_error)
{
    *ret_error = ph_os_setup();
    if (*ret_error == 0)
        *ret_error = register_fork_handler();
    if (*ret_error != 0)
        return NULL;
    pageheap *heap = ph_meta_alloc(sizeof *heap);
    if (heap == NULL) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    apply_options(heap, options);
    heap->backing = backing;
    heap->exec = exec;
    ph_special_front_init(heap);
    ph_special_init(heap);
    uint64_t now_ms = ph_os.now_ms();
    ph_store_relaxed(&heap->period_start_ms, now_ms);
    ph_store_relaxed(&heap->next_tick_ms, now_ms);
    heap->faults_base = ph_os.faults();
    ph_fetch_add_relaxed(&heap->metadata_bytes, sizeof *heap);
    ph_registry_lock();
    ph_store_relaxed(&heap->id, ++registry.last_id);
    heap->next = registry.first;
    registry.first = heap;
    ph_registry_unlock();
    return heap;
}

/* ---- destroy --------------------------------------------------------------------------- */

/* False: there is no such heap, or no more.  What is no heap is not looked into. */
static bool unlink_heap(pageheap *heap)
{
    ph_registry_lock();
    pageheap **link = &registry.first;
    while (*link != NULL && *link != heap)
        link = &(*link)->next;
    bool is_found = *link != NULL;
    if (is_found) {
        *link = heap->next;
        ph_store_relaxed(&heap->id, PH_DEAD_HEAP_ID);
        ph_fronts_disown(heap); /* before a fork may come: no child goes into a heap that is not there */
    }
    ph_registry_unlock();
    return is_found;
}

static void free_fronts(pageheap *heap)
{
    ph_front *front = ph_load_acquire(&heap->fronts);
    while (front != NULL) {
        ph_front *next = front->next;
        for (unsigned pages = 1; pages <= heap->block_pages; pages++)
            ph_front_strip(front, pages);
        ph_front_free_spares(front);
        ph_front_dismiss(front);
        front = next;
    }
}

/* Block records outlive the heap: they must not say that they hang on a stack that is gone. */
static void forget_pending(ph_front *front)
{
    ph_block *block = ph_remote_pop_all(&front->pending);
    while (block != NULL)
        block = ph_remote_take_down(block);
}

bool ph_heap_destroy(pageheap *heap)
{
    if (!unlink_heap(heap))
        return false;
    ph_fronts_await_pins(heap);
    for (PH_EACH_FRONT(front, heap))
        forget_pending(front);
    ph_regions_unmap_all(heap);
    ph_huge_unmap_all(heap);
    ph_special_end(heap);
    free_fronts(heap);
    ph_meta_free(heap, sizeof *heap);
    return true;
}

bool ph_heap_is_pages_of(const struct pageheap_exec *exec)
{
    bool is_found = false;
    ph_registry_lock();
    for (const pageheap *heap = registry.first; heap != NULL && !is_found; heap = heap->next)
        is_found = heap->exec == exec;
    ph_registry_unlock();
    return is_found;
}
