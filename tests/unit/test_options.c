/* SPDX-License-Identifier: MIT */
/* test_options.c -- options are read, judged and completed as their table says, from the caller and from
 * PAGEHEAP_CONF. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/options.h"
#include "os/os.h"

static pageheap_options none(void)
{
    pageheap_options options = PAGEHEAP_OPTIONS_INIT;
    return options;
}

/* ---- the text -------------------------------------------------------------------------- */

static void every_key_is_read(void **state)
{
    (void)state;
    pageheap_options options = none();
    assert_int_equal(ph_options_parse("decay_ms:100,limit_bytes:18446744073709551615,retain_bytes:7,"
                                      "reserve_bytes:2097152,huge_pages:2,page_bytes:65536,flags:1",
                                      &options),
                     0);
    assert_int_equal(options.decay_ms, 100);
    assert_int_equal(options.limit_bytes, UINT64_MAX);
    assert_int_equal(options.retain_bytes, 7);
    assert_int_equal(options.reserve_bytes, 2097152);
    assert_int_equal(options.huge_pages, 2);
    assert_int_equal(options.page_bytes, 65536);
    assert_int_equal(options.flags, 1);
}

static void empty_text_is_fine(void **state)
{
    (void)state;
    pageheap_options options = none();
    pageheap_options untouched = none();
    assert_int_equal(ph_options_parse("", &options), 0);
    assert_memory_equal(&options, &untouched, sizeof options);
}

static void malformed_entries_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "decay_ms",
        "decay_ms:",
        ":5",
        "decay_ms:-1",
        "decay_ms:1x",
        "decay_ms:0x10",
        "decay_ms: 5",
        "decay_ms:4294967296",              /* one too many for its field */
        "limit_bytes:18446744073709551616", /* one too many for any */
        "limit_bytes:99999999999999999999999",
        "decay:5",
        "decay_msx:5",
        "struct_bytes:8",
        "reserved:1",
        ",",
        "decay_ms:5,,limit_bytes:5",
        "decay_ms:5;limit_bytes:5",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pageheap_options options = none();
        if (ph_options_parse(texts[i], &options) != -EINVAL)
            fail_msg("accepted: %s", texts[i]);
    }
}

static void entries_around_a_bad_one_are_read(void **state)
{
    (void)state;
    pageheap_options options = none();
    assert_int_equal(ph_options_parse("decay_ms:3,nonsense:1,retain_bytes:9", &options), -EINVAL);
    assert_int_equal(options.decay_ms, 3);
    assert_int_equal(options.retain_bytes, 9);
}

/* ---- judging --------------------------------------------------------------------------- */

static int resolve(const pageheap_options *options, pageheap_options *ret_full)
{
    assert_int_equal(ph_os_setup(), 0);
    return ph_options_resolve(options, ret_full);
}

static void defaults_are_filled_in(void **state)
{
    (void)state;
    pageheap_options full;
    assert_int_equal(resolve(NULL, &full), 0);
    assert_true(full.decay_ms > 0);
    assert_int_equal(full.limit_bytes, 0);
}

static void assert_refused(pageheap_options options)
{
    pageheap_options full;
    assert_int_equal(resolve(&options, &full), -EINVAL);
    errno = 0;
    assert_null(pageheap_create(&options));
    assert_int_equal(errno, EINVAL);
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    pageheap_options options = none();
    options.struct_bytes = 0;
    assert_refused(options);
    options = none();
    options.flags = 2;
    assert_refused(options);
    options = none();
    options.page_bytes = 4095;
    assert_refused(options);
    options.page_bytes = 12288;
    assert_refused(options);
    options.page_bytes = 131072;
    assert_refused(options);
    options = none();
    options.reserve_bytes = 1 << 20;
    assert_refused(options);
    options.reserve_bytes = 3 << 20;
    assert_refused(options);
    options.reserve_bytes = UINT64_C(2) << 30;
    assert_refused(options);
    options = none();
    options.huge_pages = 3;
    assert_refused(options);
    options = none();
    options.reserved = 1;
    assert_refused(options);
}

/* A caller of a later version brings a longer struct, of an earlier one a shorter. */
static void other_sizes_of_the_struct(void **state)
{
    (void)state;
    struct {
        pageheap_options known;
        uint64_t unknown;
    } later = { none(), 0 };
    pageheap_options full;
    later.known.struct_bytes = sizeof later;
    later.known.decay_ms = 5;
    assert_int_equal(resolve(&later.known, &full), 0);
    assert_int_equal(full.decay_ms, 5);
    later.unknown = 1;
    assert_int_equal(resolve(&later.known, &full), -EINVAL);

    pageheap_options earlier = none();
    earlier.struct_bytes = offsetof(pageheap_options, limit_bytes);
    earlier.decay_ms = 5;
    earlier.huge_pages = 99; /* beyond the end: not read */
    assert_int_equal(resolve(&earlier, &full), 0);
    assert_int_equal(full.decay_ms, 5);
    assert_int_equal(full.huge_pages, 0);
}

/* ---- the variable ---------------------------------------------------------------------- */

static int forget_variable(void **state)
{
    (void)state;
    return unsetenv("PAGEHEAP_CONF");
}

static void variable_fills_what_the_caller_left(void **state)
{
    (void)state;
    pageheap_options mine = none();
    pageheap_options full;
    mine.decay_ms = 5;
    setenv("PAGEHEAP_CONF", "decay_ms:100,retain_bytes:4096", 1);
    assert_int_equal(resolve(&mine, &full), 0);
    assert_int_equal(full.decay_ms, 5);
    assert_int_equal(full.retain_bytes, 4096);
    assert_int_equal(resolve(NULL, &full), 0);
    assert_int_equal(full.decay_ms, 100);
}

/* A mistyped variable must not stop a program, and nothing of it counts. */
static void bad_variable_is_ignored(void **state)
{
    (void)state;
    pageheap_options plain, full;
    assert_int_equal(resolve(NULL, &plain), 0);
    setenv("PAGEHEAP_CONF", "retain_bytes:4096,decay_ms:soon", 1);
    assert_int_equal(resolve(NULL, &full), 0);
    assert_memory_equal(&full, &plain, sizeof full);
    setenv("PAGEHEAP_CONF", "retain_bytes:4096,reserve_bytes:5", 1);
    assert_int_equal(resolve(NULL, &full), 0);
    assert_memory_equal(&full, &plain, sizeof full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(empty_text_is_fine),
        cmocka_unit_test(malformed_entries_are_refused),
        cmocka_unit_test(entries_around_a_bad_one_are_read),
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(other_sizes_of_the_struct),
        cmocka_unit_test_teardown(variable_fills_what_the_caller_left, forget_variable),
        cmocka_unit_test_teardown(bad_variable_is_ignored, forget_variable),
    };
    unsetenv("PAGEHEAP_CONF");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
