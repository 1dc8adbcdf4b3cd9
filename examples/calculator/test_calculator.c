/* SPDX-License-Identifier: MIT */
/* test_calculator.c -- random formulas: code and interpreter agree on their values, in every backend that
 * works here, while code comes and goes; and who runs code that is gone is stopped.
 *
 *     test_calculator [BACKEND...]           memfd, flip, ...; none means all
 */
#include <setjmp.h>
#include <signal.h>

#include "calculator.h"
#include "emit.h"

#include "common.h"

#define FORMULAS     3000 /* in each backend */
#define LIVE         100  /* functions that exist at the same time */
#define FORMULA_ROOM 1024
#define JUMPS        100 /* into each function that is gone */

typedef struct formula {
    calc_tree tree;
    calc_code code;
    char text[FORMULA_ROOM];
} formula;

static uint64_t random_state = 20260711;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

/* Append a random formula to `text`, nested `depth` times at most. */
static void append_formula(char *text, int depth)
{
    static const char *const leaves[] = { "x", "y", "0", "1", "2.5", "1e300", "0.001", "12345", "-x", "-7" };
    static const char *const signs[] = { " + ", " - ", " * ", " / " };
    if (depth == 0 || random_below(4) == 0) {
        strcat(text, leaves[random_below(sizeof leaves / sizeof leaves[0])]);
        return;
    }
    strcat(text, random_below(5) == 0 ? "-(" : "(");
    append_formula(text, depth - 1);
    strcat(text, signs[random_below(4)]);
    append_formula(text, depth - 1);
    strcat(text, ")");
}

static void make(pageheap_exec *heap, formula *f)
{
    f->text[0] = '\0';
    append_formula(f->text, 1 + (int)random_below(5)); /* 2^5 leaves at most, of 9 letters, with signs */
    REQUIRE(strlen(f->text) < FORMULA_ROOM);
    REQUIRE(calc_parse(f->text, &f->tree) == NULL);
    const char *error = calc_compile(heap, &f->tree, f->text, &f->code);
    if (error != NULL)
        fprintf(stderr, "%s: %s\n", f->text, error);
    REQUIRE(error == NULL);
}

static void compare(const formula *f)
{
    static const double values[] = { 0.0, -0.0, 1.0, -3.5, 1e200, 1e-200, 1234567.0 };
    for (int i = 0; i < 4; i++) {
        double x = values[random_below(7)];
        double y = values[random_below(7)];
        double got = f->code.run(x, y);
        double want = calc_interpret(&f->tree, x, y);
        if (memcmp(&got, &want, sizeof got) == 0 || (got != got && want != want))
            continue;
        fprintf(stderr, "%s at x = %g, y = %g: %.17g instead of %.17g\n", f->text, x, y, got, want);
        exit(1);
    }
}

static int refuse_span(void *ctx, const pageheap_exec_span *span)
{
    (void)ctx;
    (void)span;
    return 1;
}

static sigjmp_buf landing;

static void land(int signal_number)
{
    siglongjmp(landing, signal_number);
}

static int is_stopped(const void *code)
{
    calc_function *run;
    memcpy(&run, &code, sizeof run);
    if (sigsetjmp(landing, 1) != 0)
        return 1;
    (void)run(1, 2);
    return 0;
}

/* Give the formula back, and go on running it, from anywhere inside. */
static void test_discarded(pageheap_exec *heap, formula *f)
{
    const char *start = f->code.span.rx;
    uint32_t steps = (uint32_t)(f->code.span.bytes / 4); /* arm64's instructions are 4 bytes long */
    calc_discard(heap, &f->code);
    for (int i = 0; i < JUMPS; i++)
        REQUIRE(is_stopped(start + (size_t)random_below(steps) * 4));
}

static void test_backend(uint32_t backend)
{
    static formula formulas[LIVE];
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = backend;
    pageheap_exec *heap = pageheap_exec_create(&options);
    REQUIRE(heap != NULL);
    memset(formulas, 0, sizeof formulas);
    for (int i = 0; i < FORMULAS; i++) {
        formula *f = &formulas[random_below(LIVE)];
        if (f->code.run != NULL) {
            compare(f); /* what it was when it was made, it must be still */
            calc_discard(heap, &f->code);
        }
        make(heap, f);
        compare(f);
    }
    if (backend != PAGEHEAP_EXEC_RWX)
        REQUIRE(mappings_with("wx") == 0);
    REQUIRE(pageheap_exec_check(heap) == 0);
    for (int i = 0; i < LIVE; i++)
        if (formulas[i].code.run != NULL)
            test_discarded(heap, &formulas[i]);
    REQUIRE(pageheap_exec_each(heap, refuse_span, NULL) == 0);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
}

static void test_errors(void)
{
    static const char *const wrong[] = { "", "x +", "(x", "x)", "x y", "3 $ 4", "z" };
    calc_tree tree;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        REQUIRE(calc_parse(wrong[i], &tree) != NULL);
    char deep[1000];
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    REQUIRE(calc_parse(deep, &tree) != NULL);
    for (size_t i = 0; i + 1 < sizeof deep; i++)
        deep[i] = i % 2 == 0 ? 'x' : '*';
    REQUIRE(calc_parse(deep, &tree) != NULL);
    REQUIRE(calc_parse(" -(x+1) * y ", &tree) == NULL);
    REQUIRE(calc_interpret(&tree, 2, 3) == -9);
}

/* True if the command line names this backend, or none. */
static int is_wanted(uint32_t backend, char **names)
{
    int any = 0;
    for (; *names != NULL; names++, any = 1) {
        if (strcmp(*names, backend_name(backend)) == 0)
            return 1;
    }
    return !any;
}

int main(int argc, char **argv)
{
    const int faults[] = { SIGTRAP, SIGILL, SIGSEGV, SIGBUS };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        REQUIRE(signal(faults[i], land) != SIG_ERR);
    test_errors();
    pageheap_exec_caps caps;
    caps.struct_bytes = sizeof caps;
    REQUIRE(pageheap_exec_probe(PAGEHEAP_EXEC_TRY_RWX, &caps) == 0);
    printf("%s: best backend %s; instructions of all processors can be brought up to date: %s\n",
           emit_processor, backend_name(caps.best), caps.has_sync_core ? "yes" : "no");
    int tested = 0;
    for (uint32_t backend = PAGEHEAP_EXEC_BEST; backend < PAGEHEAP_EXEC_BACKENDS; backend++) {
        if (argc > 0 && !is_wanted(backend, argv + 1))
            continue;
        if (backend == PAGEHEAP_EXEC_BEST ? caps.best == PAGEHEAP_EXEC_BEST : caps.errors[backend] != 0) {
            printf("%-8s does not work here: %s\n", backend_name(backend), strerror(caps.errors[backend]));
            continue;
        }
        test_backend(backend);
        printf("%-8s %d formulas, all values right\n", backend_name(backend), FORMULAS);
        fflush(stdout);
        tested++;
    }
    return tested > 0 ? 0 : SKIPPED;
}
