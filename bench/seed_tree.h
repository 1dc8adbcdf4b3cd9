/* SPDX-License-Identifier: MIT */
/* seed_tree.h -- the seed's blocks in address order: a height-balanced (AVL) tree,
 * nodes inside the blocks. */
#ifndef PH_BENCH_SEED_TREE_H
#define PH_BENCH_SEED_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct seed_node {
    uintptr_t start; /* the first address of the block; set before the insertion */
    struct seed_node *child[2];
    int height;
};

enum seed_direction { SEED_FROM_LEFT, SEED_FROM_RIGHT };

/* No other node may overlap. */
void seed_tree_insert(struct seed_node **root, struct seed_node *node);

/* The node must be in the tree. */
void seed_tree_remove(struct seed_node **root, struct seed_node *node);

/* The node whose range of `range_bytes` from its start holds `address`, or NULL. */
struct seed_node *seed_tree_find(struct seed_node *root, uintptr_t address, uintptr_t range_bytes);

/* Visit the nodes in order until `visit` returns true; that node, or NULL. */
typedef bool seed_visit_fn(void *context, struct seed_node *node);
struct seed_node *seed_tree_walk(struct seed_node *root, enum seed_direction direction, seed_visit_fn *visit,
                                 void *context);

#endif
