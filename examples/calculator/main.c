/* SPDX-License-Identifier: MIT */
/* main.c -- formulas, their values, and the machine code that computed them.
 *
 *     calculator                             a few formulas at x = 3, y = 5
 *     calculator 3 5 '(x + 3) * y - 7 / x'   your own
 */
#include "calculator.h"
#include "emit.h"

#include "common.h"

static const char *const formulas[] = {
    "x", "x * y + 1", "(x + 3) * y - 7 / x", "-(x - y) / (x + y)", "1 / (1 + 1 / (1 + x))",
};

static void print_code(const calc_code *code)
{
    const unsigned char *bytes = code->span.rx;
    for (size_t i = 0; i < code->bytes; i++)
        printf("%s%02x", i % 24 == 0 ? "\n    " : " ", bytes[i]);
    printf("\n");
}

/* Compile, run, print, discard.  0, or 1 if it cannot be done or the two values differ. */
static int show(pageheap_exec *heap, const char *formula, double x, double y)
{
    calc_tree tree;
    calc_code code;
    const char *error = calc_parse(formula, &tree);
    if (error == NULL)
        error = calc_compile(heap, &tree, formula, &code);
    if (error != NULL) {
        printf("%s: %s\n", formula, error);
        return 1;
    }
    double value = code.run(x, y);
    double expected = calc_interpret(&tree, x, y);
    int same = memcmp(&value, &expected, sizeof value) == 0 || (value != value && expected != expected);
    printf("\n%s = %.15g%s\n", formula, value, same ? "" : ", which is WRONG");
    printf("    %zu bytes, run at %p, written at %p", code.bytes, code.span.rx,
           code.span.rw != NULL ? code.span.rw : code.span.rx);
    print_code(&code);
    calc_discard(heap, &code);
    return !same;
}

int main(int argc, char **argv)
{
    if (argc == 2 || argc == 3) {
        fprintf(stderr, "usage: %s [X Y FORMULA...]\n", argv[0]);
        return 2;
    }
    double x = argc > 3 ? strtod(argv[1], NULL) : 3;
    double y = argc > 3 ? strtod(argv[2], NULL) : 5;
    const char *const *first = argc > 3 ? (const char *const *)argv + 3 : formulas;
    int count = argc > 3 ? argc - 3 : (int)(sizeof formulas / sizeof formulas[0]);

    pageheap_exec *heap = pageheap_exec_create(NULL);
    if (heap == NULL) {
        perror("no executable memory here");
        return SKIPPED;
    }
    printf("Formulas compiled to %s code, at x = %g, y = %g; the heap's backend: %s\n", emit_processor, x, y,
           backend_name(backend_of(heap)));
    int failures = 0;
    for (int i = 0; i < count; i++)
        failures += show(heap, first[i], x, y);
    int writable = mappings_with("wx");
    printf("\nmappings that are writable and executable: %d\n", writable);
    return pageheap_exec_destroy(heap) != 0 || failures > 0 || writable > 0;
}
