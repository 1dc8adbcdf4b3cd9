/* SPDX-License-Identifier: MIT */
/* options.c -- options: from the caller, from PAGEHEAP_CONF, by default; all judged by options.def. */
#include "api/options.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "base/units.h"
#include "os/os.h"

#define DECAY_MS_DEFAULT 700

/* ---- PAGEHEAP_CONF --------------------------------------------------------------------- */

/* A decimal number that ends where the entry does. */
static bool parse_number(const char *text, size_t length, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';
        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

static bool set_option(pageheap_options *options, const char *key, size_t key_length, uint64_t value)
{
#define OPTION(field, least, greatest)                                                                       \
    if (key_length == sizeof #field - 1 && memcmp(key, #field, key_length) == 0) {                           \
        options->field = (__typeof__(options->field))value;                                                  \
        return options->field == value;                                                                      \
    }
#include "api/options.def"
#undef OPTION
    return false;
}

int ph_options_parse(const char *text, pageheap_options *options)
{
    int result = 0;
    while (*text != 0) {
        size_t length = strcspn(text, ",");
        const char *colon = memchr(text, ':', length);
        uint64_t value;
        size_t key_length = colon == NULL ? 0 : (size_t)(colon - text);
        if (colon == NULL || !parse_number(colon + 1, length - key_length - 1, &value) ||
            !set_option(options, text, key_length, value))
            result = -EINVAL;
        text += length + (text[length] == ',');
    }
    return result;
}

/* ---- judging --------------------------------------------------------------------------- */

static bool in_range(uint64_t value, uint64_t least, uint64_t greatest)
{
    return value == 0 || (value >= least && value <= greatest);
}

static bool are_valid(const pageheap_options *options)
{
#define OPTION(field, least, greatest)                                                                       \
    if (!in_range(options->field, (least), (greatest)))                                                      \
        return false;
#include "api/options.def"
#undef OPTION
    if (options->reserved != 0)
        return false;
    if (options->reserve_bytes != 0 && !ph_is_power_of_two(options->reserve_bytes))
        return false;
    if (options->page_bytes == 0)
        return true;
    return ph_is_power_of_two(options->page_bytes) && options->page_bytes >= ph_os_facts_now.page_bytes;
}

int ph_options_copy(void *to, size_t to_bytes, const void *from, uint32_t from_bytes)
{
    const unsigned char *bytes = from;
    if (from_bytes < sizeof from_bytes)
        return -EINVAL;
    for (size_t i = to_bytes; i < from_bytes; i++) {
        if (bytes[i] != 0)
            return -EINVAL;
    }
    memcpy(to, from, from_bytes < to_bytes ? from_bytes : to_bytes);
    return 0;
}

static void fill_zeros(pageheap_options *options, const pageheap_options *from)
{
#define OPTION(field, least, greatest)                                                                       \
    if (options->field == 0)                                                                                 \
        options->field = from->field;
#include "api/options.def"
#undef OPTION
}

static void complain_once(void)
{
    static const char line[] = "pageheap: PAGEHEAP_CONF is malformed and was ignored\n";
    static atomic_flag is_said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&is_said))
        ph_os_complain(line, sizeof line - 1);
}

int ph_options_resolve(const pageheap_options *options, pageheap_options *ret_full)
{
    pageheap_options full = PAGEHEAP_OPTIONS_INIT;
    if (options != NULL) {
        int error = ph_options_copy(&full, sizeof full, options, options->struct_bytes);
        if (error != 0 || !are_valid(&full))
            return -EINVAL;
    }
    const char *text = ph_os_getenv("PAGEHEAP_CONF");
    if (text != NULL) {
        pageheap_options conf = PAGEHEAP_OPTIONS_INIT;
        if (ph_options_parse(text, &conf) == 0 && are_valid(&conf)) {
            fill_zeros(&full, &conf);
        } else {
            complain_once();
        }
    }
    if (full.decay_ms == 0)
        full.decay_ms = DECAY_MS_DEFAULT;
    *ret_full = full;
    return 0;
}
