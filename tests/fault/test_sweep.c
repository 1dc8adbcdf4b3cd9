/* SPDX-License-Identifier: MIT */
/* test_sweep.c -- whatever system call fails, and however, nothing is lost.
 *
 * Each scene is acted again and again: with the first call failing, with the second, ..., until a run has no
 * failure; with each errno; failing once and for ever; and with discards that fail half done.  Each run has a
 * process of its own, so that the heap's own records are asked for anew.  stage.h says what must hold during
 * a scene, `finish` what must hold after it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "fake_os.h"
#include "os/os.h"
#include "scenes.h"

#define CALLS_MAX    400 /* no scene makes as many calls */
#define CASE_SECONDS 20

/* Told by the processes that act. */
typedef struct tally {
    uint64_t cases;
    uint64_t faults_of_last_case;
    uint64_t once[FAKE_CALLS], for_ever[FAKE_CALLS];
} tally;
static tally *told;

#if PH_HAS_ASAN || PH_HAS_TSAN
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

static const int errors[] = { ENOMEM, EAGAIN, EINVAL, EPERM, EACCES };
#define ERRORS (sizeof errors / sizeof errors[0])

/* ---- one run, in its own process ------------------------------------------------------- */

/* With the system well again everything is served. */
static void require_service(stage *s)
{
    static const size_t lengths[] = { 1, 20, 100, 1536 };
    if (s->heap == NULL)
        stage_open(s, &s->options);
    s->refused = 0;
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint64_t pages = s->options.limit_bytes / 4096;
        if (pages != 0 && lengths[i] > pages / 3)
            break;
        REQUIRE(stage_alloc(s, lengths[i], PAGEHEAP_ZERO) >= 0);
        REQUIRE(stage_alloc(s, lengths[i], 0) >= 0);
        /* The pages that had guards and locks among them. */
        uint32_t flags = lengths[i] <= 100 ? PAGEHEAP_ZERO : 0; /* labelled runs are cleared page by page */
        REQUIRE(stage_alloc_tagged(s, lengths[i], flags, "service") >= 0);
        if (pages != 0)
            stage_free_some(s, 1);
    }
}

/* Nothing is held any more: all memory goes back, and no page but those behind stuck guards is in use. */
static void require_nothing_kept(stage *s)
{
    pageheap_stats stats = { .struct_bytes = sizeof stats };
    stage_free_some(s, 1);
    stage_check(s);
    pageheap_trim(s->heap, 0);
    REQUIRE(pageheap_check(s->heap) == 0);
    REQUIRE(pageheap_get_stats(s->heap, &stats) == 0);
    REQUIRE(stats.cached_bytes == 0);
    if (fake_os_faults_of(FAKE_UNLOCK) != 0)
        return; /* pages that stayed locked cannot be given back */
    REQUIRE(stats.unused_bytes == 0);
    if (stats.live_runs == 0) {
        REQUIRE(stats.in_use_bytes == 0);
        REQUIRE(stats.reserved_bytes == 0 || fake_os_faults_of(FAKE_UNMAP) != 0);
        REQUIRE(s->has_lost_heap || fake_os_left_resident_bytes() == 0);
    }
}

static void finish(stage *s)
{
    stage_check(s);
    stage_free_some(s, 2);
    stage_alloc(s, 200, PAGEHEAP_ZERO);
    stage_alloc(s, 5, PAGEHEAP_ZERO);
    stage_free_some(s, 1);
    stage_check(s);
    fake_os_plan((fake_plan){ 0 });
    require_service(s);
    stage_check(s);
    require_nothing_kept(s);
    REQUIRE(pageheap_destroy(s->heap) == 0);
    REQUIRE(fake_os_leaked_bytes() == 0);
    REQUIRE(s->has_lost_heap || fake_os_left_resident_bytes() == 0);
}

static void act(const scene *scene, fake_plan plan)
{
    static stage s;
    child_begin(CASE_SECONDS);
    fake_os_install();
    fake_os_plan(plan);
    scene->act(&s);
    finish(&s);
    told->cases++;
    told->faults_of_last_case = fake_os_faults();
    for (unsigned call = 0; call < FAKE_CALLS; call++)
        *(plan.for_ever ? &told->for_ever[call] : &told->once[call]) += fake_os_faults_of(call);
    _exit(0);
}

/* ---- all runs of a scene --------------------------------------------------------------- */

static void run_case(const scene *scene, fake_plan plan)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        act(scene, plan);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("%s: call %llu fails %s%s with %s: status %#x", scene->name,
                 (unsigned long long)plan.fail_at, plan.for_ever ? "for ever" : "once",
                 plan.half_discard ? ", half done," : "", strerror(plan.error), (unsigned)status);
}

/* Each call in turn; the scene is over when the call that should fail is never made. */
static void fail_each_call(const scene *scene, fake_plan plan)
{
    uint64_t call = 1;
    for (; call <= CALLS_MAX; call++) {
        plan.fail_at = call;
        if (IS_SANITIZED) /* one errno for each call instead of all */
            plan.error = errors[call % ERRORS];
        run_case(scene, plan);
        if (told->faults_of_last_case == 0)
            break;
    }
    assert_true(call <= CALLS_MAX);
}

static void sweep(const scene *scene)
{
    for (unsigned for_ever = 0; for_ever < 2; for_ever++) {
        fake_plan plan = { .for_ever = for_ever, .error = EINVAL };
        for (unsigned i = 0; i < (IS_SANITIZED ? 1 : ERRORS); i++) {
            plan.error = errors[i];
            fail_each_call(scene, plan);
        }
        plan.half_discard = true;
        plan.error = EINVAL;
        fail_each_call(scene, plan);
    }
}

static void every_call_fails(void **state)
{
    sweep(*state);
}

/* The scenes reach every kind of call, failing once and for ever: else the sweep would prove little. */
static void every_kind_was_reached(void **state)
{
    (void)state;
    for (unsigned call = 0; call < FAKE_CALLS; call++) {
        if (call == FAKE_FAULTS || call == FAKE_ADVISE + PH_ADVICE_HUGE)
            continue; /* the one cannot fail, the other has the call site of PH_ADVICE_NOHUGE */
        /* A forbidden page is what a guard falls back on when the call before has failed. */
        bool is_second_choice = call == FAKE_FORBID;
        if ((told->once[call] == 0 && !is_second_choice) || told->for_ever[call] == 0)
            fail_msg("call %u never failed", call);
    }
    print_message("%llu cases\n", (unsigned long long)told->cases);
    assert_true(IS_SANITIZED || told->cases >= 4000);
}

int main(void)
{
    struct CMUnitTest tests[64];
    size_t count = 0;
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED)
        return 1;
    for (unsigned i = 0; i < scene_count; i++) {
        struct CMUnitTest test = cmocka_unit_test_prestate(every_call_fails, (void *)(uintptr_t)&scenes[i]);
        test.name = scenes[i].name;
        tests[count++] = test;
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(every_kind_was_reached);
    return _cmocka_run_group_tests("sweep", tests, count, NULL, NULL);
}
