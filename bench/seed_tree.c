/* SPDX-License-Identifier: MIT */
/* seed_tree.c -- see seed_tree.h.  Recursion is as deep as the tree is high:
 * under 50 for any memory there is. */
#include "seed_tree.h"

#include <stddef.h>

static int height_of(const struct seed_node *node)
{
    return node != NULL ? node->height : 0;
}

static void update_height(struct seed_node *node)
{
    int left = height_of(node->child[0]);
    int right = height_of(node->child[1]);

    node->height = (left > right ? left : right) + 1;
}

/* Lift the child on `side` above its parent; returns it. */
static struct seed_node *rotate(struct seed_node *node, int side)
{
    struct seed_node *lifted = node->child[side];

    node->child[side] = lifted->child[!side];
    lifted->child[!side] = node;
    update_height(node);
    update_height(lifted);
    return lifted;
}

/* Make heights on both sides differ by one at most, given that they differ by two at most. */
static struct seed_node *balance(struct seed_node *node)
{
    int lean = height_of(node->child[1]) - height_of(node->child[0]);
    int side = lean > 0;
    struct seed_node *heavy = node->child[side];

    if (lean >= -1 && lean <= 1) {
        update_height(node);
        return node;
    }
    if (height_of(heavy->child[!side]) > height_of(heavy->child[side]))
        node->child[side] = rotate(heavy, !side);
    return rotate(node, side);
}

void seed_tree_insert(struct seed_node **root, struct seed_node *node)
{
    struct seed_node *here = *root;

    if (here == NULL) {
        node->child[0] = node->child[1] = NULL;
        node->height = 1;
        *root = node;
        return;
    }
    seed_tree_insert(&here->child[node->start > here->start], node);
    *root = balance(here);
}

/* Take the leftmost node out of a tree that is not empty. */
static struct seed_node *take_leftmost(struct seed_node **root)
{
    struct seed_node *here = *root;
    struct seed_node *leftmost;

    if (here->child[0] == NULL) {
        *root = here->child[1];
        return here;
    }
    leftmost = take_leftmost(&here->child[0]);
    *root = balance(here);
    return leftmost;
}

void seed_tree_remove(struct seed_node **root, struct seed_node *node)
{
    struct seed_node *here = *root;

    if (here != node) {
        seed_tree_remove(&here->child[node->start > here->start], node);
        *root = balance(here);
    } else if (here->child[1] == NULL) {
        *root = here->child[0];
    } else {
        struct seed_node *successor = take_leftmost(&here->child[1]);

        successor->child[0] = here->child[0];
        successor->child[1] = here->child[1];
        *root = balance(successor);
    }
}

struct seed_node *seed_tree_find(struct seed_node *root, uintptr_t address, uintptr_t range_bytes)
{
    while (root != NULL) {
        /* One comparison for both ends: an address below the start wraps round to a huge distance. */
        if (address - root->start < range_bytes)
            return root;
        root = root->child[address > root->start];
    }
    return NULL;
}

struct seed_node *seed_tree_walk(struct seed_node *root, enum seed_direction direction, seed_visit_fn *visit,
                                 void *context)
{
    int near_side = direction == SEED_FROM_LEFT ? 0 : 1;
    struct seed_node *found;

    for (; root != NULL; root = root->child[!near_side]) {
        found = seed_tree_walk(root->child[near_side], direction, visit, context);
        if (found != NULL)
            return found;
        if (visit(context, root))
            return root;
    }
    return NULL;
}
