/* SPDX-License-Identifier: MIT */
/* names.c -- the treap: split, merge, and what is made of them. */
#include "names.h"

#include <stdlib.h>
#include <string.h>

void ph_tools_names_init(struct ph_tools_names *names)
{
    *names = (struct ph_tools_names){ .root = NULL, .dice = UINT64_C(0x9e3779b97f4a7c15) };
}

/* A linear congruential generator's upper half: nobody attacks the depth of a profiler's table. */
static uint32_t roll(struct ph_tools_names *names)
{
    names->dice = names->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(names->dice >> 32);
}

/* Cut a tree in what starts before `addr` and the rest. */
static void split(struct ph_tools_name *tree, uintptr_t addr, struct ph_tools_name **ret_low,
                  struct ph_tools_name **ret_high)
{
    while (tree != NULL) {
        if (tree->start < addr) {
            *ret_low = tree;
            ret_low = &tree->right;
            tree = tree->right;
        } else {
            *ret_high = tree;
            ret_high = &tree->left;
            tree = tree->left;
        }
    }
    *ret_low = NULL;
    *ret_high = NULL;
}

/* Join two trees, all of the first before all of the second. */
static struct ph_tools_name *merge(struct ph_tools_name *low, struct ph_tools_name *high)
{
    struct ph_tools_name *tree = NULL;
    struct ph_tools_name **link = &tree;
    while (low != NULL && high != NULL) {
        if (low->priority >= high->priority) {
            *link = low;
            link = &low->right;
            low = low->right;
        } else {
            *link = high;
            link = &high->left;
            high = high->left;
        }
    }
    *link = low != NULL ? low : high;
    return tree;
}

static size_t memory_of(const struct ph_tools_name *name)
{
    return sizeof(*name) + name->text_bytes + 1;
}

size_t ph_tools_text_copy(const char *text, char ret_text[ph_tools_text_max + 1])
{
    size_t text_bytes = 0;
    if (text == NULL || *text == '\0')
        text = "?";
    while (text_bytes < ph_tools_text_max && text[text_bytes] != '\0') {
        unsigned char c = (unsigned char)text[text_bytes];
        ret_text[text_bytes++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    ret_text[text_bytes] = '\0';
    return text_bytes;
}

struct ph_tools_name *ph_tools_names_add(struct ph_tools_names *names, uintptr_t start, size_t code_bytes,
                                         const char *text)
{
    char kept[ph_tools_text_max + 1];
    size_t text_bytes = ph_tools_text_copy(text, kept);
    struct ph_tools_name *name = malloc(sizeof(*name) + text_bytes + 1);
    if (name == NULL)
        return NULL;
    *name = (struct ph_tools_name){
        .start = start, .code_bytes = code_bytes, .priority = roll(names), .text_bytes = text_bytes
    };
    memcpy(name->text, kept, text_bytes + 1);

    struct ph_tools_name *low, *high;
    split(names->root, start, &low, &high);
    names->root = merge(merge(low, name), high);
    names->count++;
    names->memory_bytes += memory_of(name);
    return name;
}

/* The tree is taken down from the left: a right turn until there is no left child, then the root goes. */
void ph_tools_names_remove(struct ph_tools_names *names, uintptr_t first, uintptr_t end, ph_tools_name_fn *fn,
                           void *ctx)
{
    struct ph_tools_name *low, *middle, *high;
    split(names->root, first, &low, &high);
    split(high, end, &middle, &high);
    names->root = merge(low, high);
    while (middle != NULL) {
        struct ph_tools_name *gone = middle;
        if (gone->left != NULL) {
            middle = gone->left;
            gone->left = middle->right;
            middle->right = gone;
            continue;
        }
        middle = gone->right;
        names->count--;
        names->memory_bytes -= memory_of(gone);
        if (fn != NULL)
            fn(ctx, gone);
        free(gone);
    }
}

/* The first name that starts at `addr` or after it. */
static struct ph_tools_name *first_from(const struct ph_tools_names *names, uintptr_t addr)
{
    struct ph_tools_name *found = NULL;
    for (struct ph_tools_name *name = names->root; name != NULL;) {
        if (name->start >= addr)
            found = name;
        name = name->start >= addr ? name->left : name->right;
    }
    return found;
}

void ph_tools_names_each(const struct ph_tools_names *names, uintptr_t first, uintptr_t end,
                         ph_tools_name_fn *fn, void *ctx)
{
    struct ph_tools_name *name = first_from(names, first);
    while (name != NULL && name->start < end) {
        uintptr_t next = name->start + 1;
        fn(ctx, name);
        name = first_from(names, next);
    }
}

struct ph_tools_name *ph_tools_names_before(const struct ph_tools_names *names, uintptr_t addr)
{
    struct ph_tools_name *found = NULL;
    for (struct ph_tools_name *name = names->root; name != NULL;) {
        if (name->start < addr)
            found = name;
        name = name->start < addr ? name->right : name->left;
    }
    return found;
}
