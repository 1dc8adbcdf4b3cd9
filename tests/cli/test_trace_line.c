/* SPDX-License-Identifier: MIT */
/* test_trace_line.c -- each line that a trace may hold, and each that it may not, with the reason. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/trace_line.h"
#include "unit/dice.h"

static void good_lines(void **state)
{
    struct trace_line line;

    (void)state;
    assert_null(trace_parse_line("a 1 2 3", 7, &line));
    assert_int_equal(line.kind, TRACE_LINE_ALLOC);
    assert_int_equal(line.id, 1);
    assert_int_equal(line.pages, 2);
    assert_int_equal(line.thread, 3);
    assert_null(trace_parse_line("f 18446744073709551615 4294967295", 33, &line));
    assert_int_equal(line.kind, TRACE_LINE_FREE);
    assert_true(line.id == UINT64_MAX);
    assert_true(line.thread == UINT32_MAX);
    assert_null(trace_parse_line("# anything\0at all", 17, &line));
    assert_int_equal(line.kind, TRACE_LINE_COMMENT);
    assert_null(trace_parse_line("#", 1, &line));
}

static void refused_lines(void **state)
{
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        { "", "the line is empty" },
        { " a 1 1 1", "an event must begin with 'a' or 'f'" },
        { "x 1 1 1", "an event must begin with 'a' or 'f'" },
        { "A 1 1 1", "an event must begin with 'a' or 'f'" },
        { "a", "a blank and ID must follow the letter" },
        { "alloc 1 1 1", "a blank and ID must follow the letter" },
        { "a\t1 1 1", "a blank and ID must follow the letter" },
        { "a ", "ID is not a decimal number" },
        { "a  1 1 1", "ID is not a decimal number" },
        { "a -1 1 1", "ID is not a decimal number" },
        { "a +1 1 1", "ID is not a decimal number" },
        { "a 0 1 1", "ID is zero" },
        { "a 0x1 1 1", "ID is zero" },
        { "a 18446744073709551616 1 1", "ID is larger than 18446744073709551615" },
        { "a 99999999999999999999999 1 1", "ID is larger than 18446744073709551615" },
        { "a 1", "a blank and PAGES must follow ID" },
        { "a 1x 1 1", "a blank and PAGES must follow ID" },
        { "a 1 x 1", "PAGES is not a decimal number" },
        { "a 1 -1 1", "PAGES is not a decimal number" },
        { "a 1 0 1", "PAGES is zero" },
        { "a 1 18446744073709551616 1", "PAGES is too large" },
        { "a 1 1", "a blank and THREAD are missing at the end" },
        { "f 1", "a blank and THREAD are missing at the end" },
        { "a 1 1.5 1", "a blank and THREAD are missing at the end" },
        { "f 1 ", "THREAD is not a decimal number" },
        { "f 1 main", "THREAD is not a decimal number" },
        { "f 1 4294967296", "THREAD is larger than 4294967295" },
        { "f 1 99999999999999999999", "THREAD is larger than 4294967295" },
        { "f 1 1 1", "something follows THREAD" },
        { "f 1 1 ", "something follows THREAD" },
        { "a 1 1 1\r", "the line ends in CR LF, not in LF alone" },
    };
    struct trace_line line;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *reason = trace_parse_line(cases[i].text, strlen(cases[i].text), &line);

        assert_non_null(reason);
        assert_string_equal(reason, cases[i].reason);
    }
    assert_non_null(trace_parse_line("a 1\0 1 1", 8, &line));
}

static void headers(void **state)
{
    static const char *const good[] = { "#pageheap-trace 1 page_size=4096", "#pageheap-trace 1 page_size=1",
                                        "#pageheap-trace 1 page_size=1073741824" };
    static const char *const refused[] = {
        "",
        "a 1 1 1",
        "#pageheap-trace",
        "#pageheap-trace 1",
        "#pageheap-trace 2 page_size=4096",
        "#pageheap-trace 1 page_size=",
        "#pageheap-trace 1 page_size=0",
        "#pageheap-trace 1 page_size=4095",
        "#pageheap-trace 1 page_size=-4096",
        "#pageheap-trace 1 page_size=2147483648",
        "#pageheap-trace 1 page_size=99999999999999999999999",
        "#pageheap-trace 1 page_size=4096 ",
        "#pageheap-trace 1 page_size=4096\r",
        " #pageheap-trace 1 page_size=4096",
    };
    uint64_t page_bytes = 0;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_null(trace_parse_header(good[i], strlen(good[i]), &page_bytes));
    assert_int_equal(page_bytes, 1073741824);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_non_null(trace_parse_header(refused[i], strlen(refused[i]), &page_bytes));
}

/* Each line lies at the very end of an allocation of its own size, so that a sanitizer or valgrind sees any
 * byte that is read behind it. */
static void random_lines(void **state)
{
    static const char letters[] = "af #0123456789 -\r\t\0x";
    dice d = dice_new();

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t bytes = dice_below(&d, 40);
        char *text = malloc(bytes + 1);
        struct trace_line line;
        uint64_t page_bytes;

        assert_non_null(text);
        for (size_t i = 1; i <= bytes; i++)
            text[i] = round % 4 == 0 ? (char)dice_next(&d) : letters[dice_below(&d, sizeof letters)];
        (void)trace_parse_header(text + 1, bytes, &page_bytes);
        if (trace_parse_line(text + 1, bytes, &line) == NULL && line.kind != TRACE_LINE_COMMENT)
            assert_true(line.id != 0);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines),
        cmocka_unit_test(refused_lines),
        cmocka_unit_test(headers),
        cmocka_unit_test(random_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
