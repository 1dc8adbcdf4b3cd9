/* SPDX-License-Identifier: MIT */
/* test_name_table.c -- the table of names, against an array that is too simple to be wrong. */
#include "scene.h"

#include "exec_tools/names.h"

enum { place_count = 512, steps = 20000 };

/* What should be there: by address, the length, or 0 for no name. */
static size_t expected[place_count];

static uint32_t dice_state;

static uint32_t roll(uint32_t bound)
{
    dice_state = dice_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)dice_state * bound) >> 32);
}

struct walk {
    uintptr_t next;
    uint64_t count;
};

static void compare(void *ctx, struct ph_tools_name *name)
{
    struct walk *walk = ctx;
    while (walk->next < name->start)
        assert_int_equal(expected[walk->next++], 0);
    assert_int_equal(walk->next, name->start);
    assert_int_equal(expected[name->start], name->code_bytes);
    assert_int_equal(strlen(name->text), name->text_bytes);
    walk->next++;
    walk->count++;
}

static uint32_t depth_of(const struct ph_tools_name *name)
{
    uint32_t depth = 0;
    if (name == NULL)
        return 0;
    if (name->left != NULL) {
        assert_true(name->left->start < name->start);
        assert_true(name->left->priority <= name->priority);
        depth = depth_of(name->left);
    }
    if (name->right != NULL) {
        assert_true(name->right->start > name->start);
        assert_true(name->right->priority <= name->priority);
        uint32_t right_depth = depth_of(name->right);
        depth = depth > right_depth ? depth : right_depth;
    }
    return depth + 1;
}

static void check(const struct ph_tools_names *names)
{
    struct walk walk = { 0, 0 };
    ph_tools_names_each(names, 0, place_count, compare, &walk);
    while (walk.next < place_count)
        assert_int_equal(expected[walk.next++], 0);
    assert_int_equal(walk.count, names->count);
    depth_of(names->root);
}

static void count_gone(void *ctx, struct ph_tools_name *name)
{
    assert_int_equal(expected[name->start], name->code_bytes);
    expected[name->start] = 0;
    ++*(uint64_t *)ctx;
}

static void random_steps_agree_with_an_array(void **state)
{
    (void)state;
    struct ph_tools_names names;
    ph_tools_names_init(&names);
    memset(expected, 0, sizeof(expected));
    dice_state = 20;
    for (int step = 0; step < steps; step++) {
        uint32_t place = roll(place_count);
        if (roll(8) != 0 && expected[place] == 0) {
            expected[place] = 1 + roll(1000);
            assert_non_null(ph_tools_names_add(&names, place, expected[place], "name"));
        } else {
            uint32_t end = place + roll(16);
            uint64_t gone = 0, count_before = names.count;
            ph_tools_names_remove(&names, place, end, count_gone, &gone);
            assert_int_equal(names.count, count_before - gone);
        }
        const struct ph_tools_name *before = ph_tools_names_before(&names, place);
        uint32_t below = place;
        while (below > 0 && expected[below - 1] == 0)
            below--;
        if (below == 0)
            assert_null(before);
        else
            assert_int_equal(before->start, below - 1);
        if (step % 64 == 0)
            check(&names);
    }
    ph_tools_names_remove(&names, 0, UINTPTR_MAX, NULL, NULL);
    assert_null(names.root);
    assert_int_equal(names.count, 0);
    assert_int_equal(names.memory_bytes, 0);
}

/* A compiler's addresses rise, which is the worst order for a tree without dice. */
static void rising_addresses_make_no_deep_tree(void **state)
{
    (void)state;
    struct ph_tools_names names;
    ph_tools_names_init(&names);
    for (uintptr_t i = 0; i < 100000; i++)
        assert_non_null(ph_tools_names_add(&names, i, 1, ""));
    assert_true(depth_of(names.root) < 80);
    ph_tools_names_remove(&names, 0, 100000, NULL, NULL);
    assert_null(names.root);
}

static void texts_are_kept_in_one_line(void **state)
{
    (void)state;
    char text[ph_tools_text_max + 1];
    assert_int_equal(ph_tools_text_copy("a\r\nb\x01", text), 5);
    assert_string_equal(text, "a??b?");
    ph_tools_text_copy(NULL, text);
    assert_string_equal(text, "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_steps_agree_with_an_array),
        cmocka_unit_test(rising_addresses_make_no_deep_tree),
        cmocka_unit_test(texts_are_kept_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
