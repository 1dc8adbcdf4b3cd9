/* SPDX-License-Identifier: MIT */
/* calculator.h -- formulas of two variables, compiled to machine code.
 *
 *     parse.c            text to tree
 *     interpret.c        the tree's value, computed by walking it: what the code is compared with
 *     compile.c          tree to machine code, in executable memory: the file to read
 *     emit_*.c           the few instructions that this takes, one file per processor
 *     main.c             prints formulas with their code
 *     test_calculator.c  random formulas, in every way of having executable memory that works here
 */
#ifndef CALCULATOR_H
#define CALCULATOR_H

#include <pageheap/exec.h>

#define CALC_NODES_MAX 256 /* of one formula */

/* One node: a variable ('x', 'y'), a number ('#'), or an operation ('+', '-', '*', '/') of two nodes. */
typedef struct calc_node {
    char kind;
    int left, right; /* of an operation: their places in calc_tree.nodes */
    double value;    /* of a number */
} calc_node;

typedef struct calc_tree {
    calc_node nodes[CALC_NODES_MAX];
    int count;
    int root;
} calc_tree;

typedef double calc_function(double x, double y);

typedef struct calc_code {
    calc_function *run;
    pageheap_exec_span span;
    size_t bytes; /* of the span, those that are code */
} calc_code;

/* Sum, difference, product, quotient, minus, parentheses, numbers, x and y.  NULL, or what is wrong. */
const char *calc_parse(const char *text, calc_tree *ret_tree);

double calc_interpret(const calc_tree *tree, double x, double y);

/* Compile into a span of `heap`; `name` is what profilers show.  NULL, or what is wrong. */
const char *calc_compile(pageheap_exec *heap, const calc_tree *tree, const char *name, calc_code *ret_code);

/* Give the code's memory back.  It must not be running. */
void calc_discard(pageheap_exec *heap, calc_code *code);

#endif
