/* SPDX-License-Identifier: MIT */
/* test_trace.c -- whole traces: what is loaded, where and why others are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "cli/idmap.h"
#include "cli/trace.h"
#include "unit/dice.h"

#define HEADER "#pageheap-trace 1 page_size=4096\n"

static char path[] = "test_trace-XXXXXX";

static void write_file(const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static int load_text(const char *text, struct trace *ret_trace, struct trace_error *ret_error)
{
    write_file(text, strlen(text));
    return trace_load(path, TRACE_SLOTS_REUSED, ret_trace, ret_error);
}

static void counts_and_slots(void **state)
{
    struct trace_error error;
    struct trace trace;

    (void)state;
    assert_int_equal(
        load_text(HEADER "a 7 2 1\n# a comment\na 9 3 5\nf 7 5\nf 100 1\na 8 10 1\nf 8 1", &trace, &error),
        0);
    assert_int_equal(trace.info.event_count, 5);
    assert_int_equal(trace.info.alloc_count, 3);
    assert_int_equal(trace.info.free_count, 2);
    assert_int_equal(trace.info.orphan_count, 1);
    assert_int_equal(trace.info.slot_count, 2);
    assert_int_equal(trace.info.thread_count, 2);
    assert_int_equal(trace.info.peak_live_pages, 13);
    assert_int_equal(trace.info.peak_live_runs, 2);
    assert_int_equal(trace.info.end_live_pages, 3);
    assert_int_equal(trace.info.end_live_runs, 1);
    assert_int_equal(trace.events[2].slot, trace.events[0].slot);
    assert_int_equal(trace.events[2].pages, -2);
    assert_int_equal(trace.events[3].slot, trace.events[0].slot);
    assert_int_equal(trace.events[1].thread, 1);
}

static void unique_slots(void **state)
{
    struct trace_error error;
    struct trace trace;

    (void)state;
    write_file(HEADER "a 1 1 1\nf 1 1\na 2 1 1\n", sizeof HEADER "a 1 1 1\nf 1 1\na 2 1 1\n" - 1);
    assert_int_equal(trace_load_aside(path, TRACE_SLOTS_UNIQUE, &trace, &error), 0);
    assert_int_equal(trace.info.slot_count, 2);
    assert_int_equal(trace.events[2].slot, 1);
}

static void other_page_sizes(void **state)
{
    struct trace_error error;
    struct trace trace;

    (void)state;
    assert_int_equal(load_text("#pageheap-trace 1 page_size=65536\na 1 3 1\n", &trace, &error), 0);
    assert_int_equal(trace.events[0].pages, 48);
    assert_int_equal(load_text("#pageheap-trace 1 page_size=512\na 1 9 1\n", &trace, &error), 0);
    assert_int_equal(trace.events[0].pages, 2);
}

static void no_events(void **state)
{
    struct trace_error error;
    struct trace trace;

    (void)state;
    assert_int_equal(load_text(HEADER, &trace, &error), 0);
    assert_int_equal(trace.info.event_count, 0);
    assert_int_equal(load_text("#pageheap-trace 1 page_size=4096", &trace, &error), 0);
}

static void refused_files(void **state)
{
    static const struct {
        const char *text;
        uint64_t line;
        const char *reason;
    } cases[] = {
        { "", 1, "the file is empty" },
        { "a 1 1 1\n", 1, "not a trace: the first line must be '#pageheap-trace 1 page_size=BYTES'" },
        { HEADER "a 1 1 1\n\nf 1 1\n", 3, "the line is empty" },
        { HEADER "a 1 1 1\na 1 2 1\n", 3, "ID was used by an earlier alloc" },
        { HEADER "a 1 1 1\nf 1 1\na 1 2 1\n", 4, "ID was used by an earlier alloc" },
        { HEADER "a 1 1 1\nf 1 1\n# x\nf 1 1\n", 5, "ID was freed before" },
        { HEADER "f 1 1\nf 1 1\n", 3, "ID was freed before" },
        { HEADER "f 1 1\na 1 1 1\n", 3, "ID was freed before this alloc" },
        { HEADER "a 1 4503599627370496 1\n", 2, "PAGES is too large" },
        { "#pageheap-trace 1 page_size=1073741824\na 1 8589934592 1\n", 2, "PAGES is too large" },
        { HEADER "a 1 1125899906842624 1\na 2 1125899906842624 1\n", 3,
          "more memory is live than can have addresses" },
        { HEADER "a 1 1 1\na 2", 3, "a blank and PAGES must follow ID" },
    };
    struct trace_error error;
    struct trace trace;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load_text(cases[i].text, &trace, &error), -1);
        assert_int_equal(error.line, cases[i].line);
        assert_string_equal(error.reason, cases[i].reason);
    }
    assert_int_equal(trace_load("no such file", TRACE_SLOTS_REUSED, &trace, &error), -1);
    assert_int_equal(error.line, 0);
    assert_string_equal(error.reason, "No such file or directory");
    assert_int_equal(trace_load_aside("/", TRACE_SLOTS_REUSED, &trace, &error), -1);
}

static void long_lines(void **state)
{
    size_t bytes = sizeof HEADER + 200000;
    char *text = malloc(bytes);
    struct trace_error error;
    struct trace trace;

    (void)state;
    assert_non_null(text);
    memset(text, '#', bytes);
    memcpy(text, HEADER, sizeof HEADER - 1);
    text[sizeof HEADER + 60000] = '\n';
    write_file(text, sizeof HEADER + 60001);
    assert_int_equal(trace_load(path, TRACE_SLOTS_REUSED, &trace, &error), 0);
    write_file(text, bytes);
    assert_int_equal(trace_load(path, TRACE_SLOTS_REUSED, &trace, &error), -1);
    assert_int_equal(error.line, 3);
    assert_string_equal(error.reason, "the line is longer than 65536 bytes");
    free(text);
}

/* To the byte, with and without a line feed, and wherever in the file the line lies. */
static void longest_lines(void **state)
{
    static char text[sizeof HEADER + 3 * 65540];
    struct trace_error error;
    struct trace trace;

    (void)state;
    for (size_t bytes = 65535; bytes <= 65538; bytes++) {
        for (size_t before = 0; before < 3; before++) {
            size_t end = sizeof HEADER - 1;
            int expected = bytes <= 65536 ? 0 : -1;

            memcpy(text, HEADER, end);
            for (size_t i = 0; i < before; i++, end += 30001) {
                memset(&text[end], '#', 30000);
                text[end + 30000] = '\n';
            }
            memset(&text[end], '#', bytes);
            text[end + bytes] = '\n';
            write_file(text, end + bytes);
            assert_int_equal(trace_load(path, TRACE_SLOTS_REUSED, &trace, &error), expected);
            write_file(text, end + bytes + 1);
            assert_int_equal(trace_load(path, TRACE_SLOTS_REUSED, &trace, &error), expected);
        }
    }
}

static void compressed(void **state)
{
    static const char text[] = HEADER "a 1 1 1\na 2 5 1\nf 1 1\n";
    char packed[512];
    size_t bytes = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3);
    struct trace_error error;
    struct trace trace;

    (void)state;
    assert_false(ZSTD_isError(bytes));
    write_file(packed, bytes);
    assert_int_equal(trace_load(path, TRACE_SLOTS_REUSED, &trace, &error), 0);
    assert_int_equal(trace.info.event_count, 3);
    write_file(packed, bytes - 5);
    assert_int_equal(trace_load(path, TRACE_SLOTS_REUSED, &trace, &error), -1);
    assert_string_equal(error.reason, "the compressed data ends early");
    packed[bytes / 2] = (char)(packed[bytes / 2] ^ 0x55);
    packed[bytes / 2 + 1] = (char)(packed[bytes / 2 + 1] ^ 0x55);
    write_file(packed, bytes);
    (void)trace_load(path, TRACE_SLOTS_REUSED, &trace,
                     &error); /* may be refused in many ways; may not crash */
}

/* Whatever the bytes are, the answer is yes or no. */
static void random_files(void **state)
{
    static const char letters[] = "af 0123456789\n\n# ";
    static const char header[] = HEADER;
    char text[600];
    dice d = dice_new();

    (void)state;
    for (int round = 0; round < 300; round++) {
        size_t bytes = dice_below(&d, sizeof text - sizeof header);
        struct trace_error error;
        struct trace trace;

        memcpy(text, header, sizeof header - 1);
        for (size_t i = 0; i < bytes; i++)
            text[sizeof header - 1 + i] =
                round % 3 == 0 ? (char)dice_next(&d) : letters[dice_below(&d, sizeof letters - 1)];
        if (round % 5 == 0)
            text[0] = (char)dice_next(&d);
        write_file(text, sizeof header - 1 + bytes);
        if (trace_load(path, TRACE_SLOTS_REUSED, &trace, &error) != 0)
            assert_true(error.reason[0] != '\0');
    }
}

static void ids_of_all_kinds(void **state)
{
    struct idmap map = { 0 };
    const uint64_t steps[] = {
        1, 16, 4096, UINT64_C(1) << 20, UINT64_C(1) << 40, UINT64_C(0x9e3779b97f4a7c15)
    };

    (void)state;
    for (size_t kind = 0; kind < sizeof steps / sizeof steps[0]; kind++) {
        for (uint64_t i = 1; i <= 20000; i++) {
            struct idmap_entry *entry = idmap_get(&map, i * steps[kind]);

            assert_non_null(entry);
            entry->value = (uint32_t)i;
        }
        for (uint64_t i = 1; i <= 20000; i++)
            assert_int_equal(idmap_get(&map, i * steps[kind])->value, i);
        assert_int_equal(map.count, 20000);
        idmap_clear(&map);
    }
}

static int make_file(void **state)
{
    int file = mkstemp(path);

    (void)state;
    return file < 0 ? -1 : close(file);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_slots), cmocka_unit_test(unique_slots),
        cmocka_unit_test(other_page_sizes), cmocka_unit_test(no_events),
        cmocka_unit_test(refused_files),    cmocka_unit_test(long_lines),
        cmocka_unit_test(longest_lines),    cmocka_unit_test(compressed),
        cmocka_unit_test(random_files),     cmocka_unit_test(ids_of_all_kinds),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
