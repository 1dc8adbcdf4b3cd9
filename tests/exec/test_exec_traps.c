/* SPDX-License-Identifier: MIT */
/* test_exec_traps.c -- whoever jumps to memory that is nobody's is stopped at the very first instruction.
 *
 * Live spans are full of code that can be entered anywhere and returns, so a jump that finds old code comes
 * back.  Zeroed memory would run on x86, for a while and where the registers point to something writable, as
 * they do here: so the fault must lie at the address that was jumped to, not somewhere behind it.
 */
#include "exec_test.h"

#define SPANS 2000
#define JUMPS ((exec_is_long() ? 100000u : 10000u) / EXEC_SHARE)

typedef struct ground {
    pageheap_exec *heap;
    uint32_t backend;
    pageheap_exec_span spans[SPANS];
    bool is_live[SPANS], is_slide[SPANS]; /* slide: full of code that returns wherever it is entered */
    dice d;
} ground;

static size_t bytes_of(uint64_t random)
{
    return random % 200 == 0 ? BLOCK + random / 200 % 3 * PAGE
           : random % 2      ? 1 + random / 200 % 4000
                             : (1 + random / 200 % 4) * PAGE;
}

static void assert_trapped(void *target)
{
    int signal_number = fault_of(code_jump, target);
    if (signal_number == 0)
        fail_msg("%p: ran and came back", target);
    if (fault_pc - (uintptr_t)target > TRAP_PC_SLACK)
        fail_msg("%p: signal %d at %#zx", target, signal_number, (size_t)fault_pc);
}

static void assert_span_traps(ground *g, const pageheap_exec_span *span, unsigned jumps)
{
    for (unsigned n = 0; n < jumps; n++) {
        size_t at = n == 0 ? 0 : n == 1 ? span->bytes - CODE_STEP : dice_below(&g->d, span->bytes);
        assert_trapped((char *)span->rx + at / CODE_STEP * CODE_STEP);
    }
}

/* Ways for code to come into a span; each is one that a free must know of.  Whether all of it is code now. */
static bool fill(ground *g, const pageheap_exec_span *span, unsigned way)
{
    static unsigned char slide[2 * 2097152];
    assert_true(span->bytes <= sizeof slide);
    code_make_slide(slide, span->bytes);
    unsigned char *at = NULL;
    if (way % 3 == 1)
        at = pageheap_exec_begin_write(g->heap, span->rx, span->bytes);
    if (way % 3 == 2)
        at = span->rw; /* from the first byte on, and never published */
    if (at == NULL || (way % 3 == 2 && !exec_is_pair(g->backend))) {
        size_t part = way % 4 == 0 ? span->bytes / 2 / CODE_STEP * CODE_STEP : 0;
        assert_int_equal(
            pageheap_exec_write(g->heap, (char *)span->rx + part, slide + part, span->bytes - part), 0);
        return part == 0;
    }
    memcpy(at, slide, span->bytes);
    if (way % 3 == 1)
        assert_int_equal(pageheap_exec_end_write(g->heap, span->rx, span->bytes), 0);
    __builtin___clear_cache(span->rx, (char *)span->rx + span->bytes);
    return true;
}

static void take(ground *g, unsigned i)
{
    pageheap_exec_span *span = &g->spans[i];
    uint64_t random = dice_next(&g->d);
    assert_int_equal(pageheap_exec_alloc(g->heap, bytes_of(random), span), 0);
    if (i % 8 == 0)
        assert_span_traps(g, span, 3);
    g->is_slide[i] = fill(g, span, (unsigned)(random >> 50));
    g->is_live[i] = true;
}

/* Half of the live spans, some of them in two steps. */
static void give_some(ground *g)
{
    for (unsigned i = 0; i < SPANS; i++) {
        pageheap_exec_span *span = &g->spans[i];
        if (!g->is_live[i] || dice_below(&g->d, 2) == 0)
            continue;
        if (dice_below(&g->d, 4) == 0 && span->bytes > PAGE && span->bytes <= BLOCK) {
            assert_int_equal(pageheap_exec_shrink(g->heap, span->rx, span->bytes, PAGE), 0);
            pageheap_exec_span tail = { .rx = (char *)span->rx + PAGE, .bytes = span->bytes - PAGE };
            assert_span_traps(g, &tail, 3);
            assert_int_equal(pageheap_exec_free(g->heap, span->rx, PAGE), 0);
        } else if (dice_below(&g->d, 4) == 0 && span->bytes > 256 && span->bytes < PAGE) {
            assert_int_equal(pageheap_exec_shrink(g->heap, span->rx, span->bytes, 64), 0);
            pageheap_exec_span tail = { .rx = (char *)span->rx + 64, .bytes = span->bytes - 64 };
            assert_span_traps(g, &tail, 3);
            assert_int_equal(pageheap_exec_free(g->heap, span->rx, 64), 0);
        } else {
            assert_int_equal(pageheap_exec_free(g->heap, span->rx, span->bytes), 0);
        }
        g->is_live[i] = false;
    }
}

/* Jumps to what was freed, and to what lies between and around the spans. */
static void assert_ground_traps(ground *g, unsigned jumps)
{
    for (unsigned n = 0; n < jumps; n++) {
        pageheap_exec_span *span = &g->spans[dice_below(&g->d, SPANS)], found;
        char *target = (char *)span->rx + dice_below(&g->d, span->bytes);
        if (n % 4 == 0)
            target = (char *)((uintptr_t)span->rx & ~(BLOCK - 1)) + dice_below(&g->d, BLOCK);
        target -= (uintptr_t)target % CODE_STEP;
        if (pageheap_exec_find(g->heap, target, &found) != 0)
            assert_trapped(target);
    }
}

static void in_child(void *of)
{
    ground *g = of;
    pageheap_exec_span span;
    fault_begin();
    for (unsigned n = 0; n < 300; n++) {
        pageheap_exec_span *at = &g->spans[dice_below(&g->d, SPANS)], found;
        char *target = (char *)at->rx + dice_below(&g->d, at->bytes);
        target -= (uintptr_t)target % CODE_STEP;
        if (pageheap_exec_find(g->heap, target, &found) == 0)
            continue;
        REQUIRE(fault_of(code_jump, target) != 0);
        REQUIRE(fault_pc - (uintptr_t)target <= TRAP_PC_SLACK);
    }
    /* Fresh ones, of pages that nobody used before the fork, too. */
    for (unsigned n = 0; n < 20 && pageheap_exec_alloc(g->heap, (size_t)3000 << n % 6, &span) == 0; n++) {
        REQUIRE(fault_of(code_jump, (char *)span.rx + 1000) != 0);
        REQUIRE(fault_pc - (uintptr_t)span.rx - 1000 <= TRAP_PC_SLACK);
    }
}

static void jump_everywhere(uint32_t backend, uint32_t flags)
{
    static ground g;
    pageheap_exec_options options = exec_options(backend);
    options.flags = flags;
    options.fork_policy = exec_is_pair(backend) ? PAGEHEAP_EXEC_FORK_PRIVATE : PAGEHEAP_EXEC_FORK_DENY;
    memset(&g, 0, sizeof g);
    g.heap = pageheap_exec_create(&options);
    g.backend = backend;
    g.d = dice_new();
    assert_non_null(g.heap);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < SPANS / EXEC_SHARE; i++) {
            if (!g.is_live[i])
                take(&g, i);
        }
        for (unsigned i = SPANS / EXEC_SHARE; i < SPANS; i++)
            g.spans[i] = g.spans[i % (SPANS / EXEC_SHARE)];
        give_some(&g);
        assert_ground_traps(&g, JUMPS / 6);
        if (round > 0)
            pageheap_exec_trim(g.heap, round == 1 ? BLOCK : 0);
        assert_ground_traps(&g, JUMPS / 6);
        child_judge(child_status(in_child, &g, 20), "jumps in a child");
    }
    for (unsigned i = 0; i < SPANS; i++)
        assert_true(!g.is_live[i] || !g.is_slide[i] || fault_of(code_jump, g.spans[i].rx) == 0);
    assert_int_equal(pageheap_exec_check(g.heap), 0);
    assert_int_equal(pageheap_exec_destroy(g.heap), 0);
}

static void nobodys_memory_traps(void **state)
{
    (void)state;
    fault_begin();
    EXEC_FOR_BACKENDS(backend, PAGEHEAP_EXEC_RWX)
    {
        jump_everywhere(backend, 0);
        if (exec_is_pair(backend) || exec_is_long())
            jump_everywhere(backend, PAGEHEAP_EXEC_HUGE);
    }
}

/* The test itself: what it calls a trap is one, and what it calls code is none. */
static void jumps_tell_the_difference(void **state)
{
    (void)state;
    fault_begin();
    pageheap_exec *heap = pageheap_exec_create(NULL);
    pageheap_exec_span span;
    static unsigned char zeros[4096];
    assert_non_null(heap);
    assert_int_equal(pageheap_exec_alloc(heap, 2 * PAGE, &span), 0);
    assert_int_equal(pageheap_exec_write(heap, span.rx, zeros, PAGE), 0);
    int signal_number = fault_of(code_jump, span.rx);
    assert_true(signal_number != 0); /* by arriving at the second page, or at once where zero is no code */
    assert_true(CODE_STEP != 1 || fault_pc - (uintptr_t)span.rx > TRAP_PC_SLACK);
    code_make_slide(zeros, PAGE);
    assert_int_equal(pageheap_exec_write(heap, span.rx, zeros, PAGE), 0);
    assert_int_equal(pageheap_exec_publish(heap, span.rx, PAGE), 0);
    for (size_t at = 0; at < PAGE; at += 8)
        assert_int_equal(fault_of(code_jump, (char *)span.rx + at), 0);
    assert_int_equal(pageheap_exec_destroy(heap), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps_tell_the_difference),
        cmocka_unit_test(nobodys_memory_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
