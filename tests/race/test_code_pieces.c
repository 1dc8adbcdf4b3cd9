/* SPDX-License-Identifier: MIT */
/* test_code_pieces.c -- slabs that close while another thread is about to tell of a piece in them; what a
 * slab's place was before; what a thread keeps that frees only spans it has written; and a heap that goes
 * while the thread that used it last turns to another. */
#include "crew.h"
#include "exec/pieces.h"

#define PIECE_BYTES 2048
#define PIECES      64 /* four slabs' */
#define PAGE_BYTES  4096
#define PAGES       4000

static ph_pieces *pieces_of(pageheap_exec *heap)
{
    return ph_front_mine(heap->heap)->pieces;
}

/* What a thread does that read who owns the slab before the slab was closed, and went on after. */
static void hang_up_late(ph_pieces *pieces, ph_slab *slab)
{
    assert_int_equal(atomic_exchange(&slab->block.pending, 1), 0);
    ph_store_relaxed(&slab->block.pending_next, ph_load_relaxed(&pieces->pending));
    ph_store_release(&pieces->pending, &slab->block);
}

static void late_notices_of_closed_slabs_change_nothing(void **state)
{
    (void)state;
    pageheap_exec_span spans[PIECES], pages, again;
    pageheap_exec *heap = pageheap_exec_create(NULL);
    assert_non_null(heap);
    for (unsigned i = 0; i < PIECES; i++)
        assert_int_equal(pageheap_exec_alloc(heap, PIECE_BYTES, &spans[i]), 0);
    ph_slab *slab = ph_slab_at(heap, (uintptr_t)spans[PIECES / 2].rx);
    for (unsigned i = 1; i < PIECES; i++)
        assert_int_equal(pageheap_exec_free(heap, spans[i].rx, PIECE_BYTES), 0);
    (void)pageheap_exec_trim(heap, 0);
    assert_null(ph_load_relaxed(&slab->owner));

    /* Its place is somebody's, and no slab. */
    uintptr_t end = slab->rx + ((uintptr_t)1 << heap->slab_log2);
    assert_int_equal(pageheap_exec_alloc_within(heap, end - slab->rx, (void *)slab->rx, (void *)end, &pages),
                     0);
    hang_up_late(pieces_of(heap), slab);
    for (unsigned i = 1; i < PIECES; i++) {
        assert_int_equal(pageheap_exec_alloc(heap, PIECE_BYTES, &again), 0);
        assert_false((uintptr_t)again.rx >= slab->rx && (uintptr_t)again.rx < end);
    }
    assert_int_equal(ph_load_relaxed(&slab->block.pending), 0);
    assert_int_equal(pageheap_exec_check(heap), 0);
    assert_int_equal(pageheap_exec_free(heap, pages.rx, pages.bytes), 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

static void pieces_are_not_fresh_where_pages_were_published(void **state)
{
    (void)state;
    pageheap_exec_span whole, piece;
    pageheap_exec *heap = pageheap_exec_create(NULL);
    assert_non_null(heap);
    assert_int_equal(pageheap_exec_alloc(heap, PH_BLOCK_BYTES, &whole), 0);
    assert_int_equal(pageheap_exec_publish(heap, whole.rx, whole.bytes), 0);
    assert_int_equal(pageheap_exec_free(heap, whole.rx, whole.bytes), 0);
    (void)pageheap_exec_trim(heap, PH_BLOCK_BYTES); /* what is kept goes to the blocks, and stays there */
    assert_int_equal(pageheap_exec_alloc(heap, PIECE_BYTES, &piece), 0);
    assert_true((uintptr_t)piece.rx - (uintptr_t)whole.rx < PH_BLOCK_BYTES);
    assert_int_equal(piece.flags & PAGEHEAP_EXEC_FRESH, 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

static void frees_of_written_pages_mind_the_limit_of_what_is_kept(void **state)
{
    (void)state;
    static pageheap_exec_span spans[PAGES];
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.decay_ms = PAGEHEAP_NEVER;
    pageheap_exec *heap = pageheap_exec_create(&options);
    assert_non_null(heap);
    for (unsigned i = 0; i < PAGES; i++) {
        assert_int_equal(pageheap_exec_alloc(heap, PAGE_BYTES, &spans[i]), 0);
        assert_int_equal(pageheap_exec_write(heap, spans[i].rx, "\xc3", 1), 0);
    }
    const ph_front *front = ph_front_mine(heap->heap);
    for (unsigned i = 0; i < PAGES; i++) {
        assert_int_equal(pageheap_exec_free(heap, spans[i].rx, PAGE_BYTES), 0);
        assert_true(ph_front_cached_pages(front) <= front->cache_limit_pages);
    }
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

static struct {
    pageheap_exec *going, *staying;
    atomic_uint step; /* odd: the thread uses `going`; even: it does not any more */
} turn;
#define TURNS 100

static bool pairs(pageheap_exec *heap)
{
    pageheap_exec_span span;
    return pageheap_exec_alloc(heap, 64, &span) == 0 && pageheap_exec_free(heap, span.rx, 64) == 0;
}

static void await_step(unsigned step)
{
    for (unsigned round = 0; atomic_load(&turn.step) != step; round++)
        crew_wait(round);
}

static void *use_and_turn_away(void *of)
{
    for (unsigned i = 0; i < TURNS; i++) {
        await_step(2 * i + 1);
        EXPECT(pairs(turn.going));
        atomic_store(&turn.step, 2 * i + 2);
        EXPECT(pairs(turn.staying));
    }
    return of;
}

/* Its front is the one that this thread used last: it looks at the doors, and at nothing else of that. */
static void a_heap_may_go_whose_last_user_turns_away(void **state)
{
    (void)state;
    pthread_t thread;
    atomic_store(&crew_wrongs, 0);
    turn.staying = pageheap_exec_create(NULL);
    assert_non_null(turn.staying);
    assert_int_equal(pthread_create(&thread, NULL, use_and_turn_away, NULL), 0);
    for (unsigned i = 0; i < TURNS; i++) {
        turn.going = pageheap_exec_create(NULL);
        assert_non_null(turn.going);
        atomic_store(&turn.step, 2 * i + 1);
        await_step(2 * i + 2);
        assert_int_equal(pageheap_exec_destroy(turn.going), 0);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pageheap_exec_destroy(turn.staying), 0);
    assert_int_equal(atomic_load(&crew_wrongs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_notices_of_closed_slabs_change_nothing),
        cmocka_unit_test(pieces_are_not_fresh_where_pages_were_published),
        cmocka_unit_test(frees_of_written_pages_mind_the_limit_of_what_is_kept),
        cmocka_unit_test(a_heap_may_go_whose_last_user_turns_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
