/* SPDX-License-Identifier: MIT */
/* interpret.c -- the value of a tree, too simple to be wrong. */
#include "calculator.h"

static double value_of(const calc_tree *tree, int index, double x, double y)
{
    const calc_node *node = &tree->nodes[index];
    switch (node->kind) {
    case 'x':
        return x;
    case 'y':
        return y;
    case '#':
        return node->value;
    }
    double left = value_of(tree, node->left, x, y);
    double right = value_of(tree, node->right, x, y);
    switch (node->kind) {
    case '+':
        return left + right;
    case '-':
        return left - right;
    case '*':
        return left * right;
    default:
        return left / right;
    }
}

double calc_interpret(const calc_tree *tree, double x, double y)
{
    return value_of(tree, tree->root, x, y);
}
