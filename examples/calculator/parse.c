/* SPDX-License-Identifier: MIT */
/* parse.c -- text to tree, by recursive descent: a sum is made of products, a product of factors. */
#include "calculator.h"

#include <ctype.h>
#include <stdlib.h>

#define DEPTH_MAX 64 /* of parentheses and signs: each takes a few frames of the stack */

typedef struct parser {
    const char *at;
    const char *error; /* the first that was met */
    calc_tree *tree;
    int depth;
} parser;

static int parse_sum(parser *p);
static int parse_negative(parser *p);

static int fail(parser *p, const char *error)
{
    if (p->error == NULL)
        p->error = error;
    return 0;
}

static int add_node(parser *p, calc_node node)
{
    if (p->tree->count == CALC_NODES_MAX)
        return fail(p, "too long");
    p->tree->nodes[p->tree->count] = node;
    return p->tree->count++;
}

static int add_number(parser *p, double value)
{
    return add_node(p, (calc_node){ .kind = '#', .value = value });
}

static char next_character(parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
    return *p->at;
}

/* The next character, consumed, if it is one of two; else 0. */
static char accept(parser *p, char one, char other)
{
    char next = next_character(p);
    return next == one || next == other ? *p->at++ : '\0';
}

static int parse_factor(parser *p)
{
    char variable = accept(p, 'x', 'y');
    if (variable != '\0')
        return add_node(p, (calc_node){ .kind = variable });
    if (accept(p, '(', '(')) {
        int node = parse_sum(p);
        return accept(p, ')', ')') ? node : fail(p, "')' expected");
    }
    if (accept(p, '-', '-'))
        return parse_negative(p);
    if (!isdigit((unsigned char)*p->at))
        return fail(p, "a number, 'x', 'y', '-' or '(' expected");
    char *end;
    double value = strtod(p->at, &end);
    p->at = end;
    return add_number(p, value);
}

/* -0.0 - a is -a for every a, zeros too, so that minus needs no instruction of its own. */
static int parse_negative(parser *p)
{
    if (p->depth == DEPTH_MAX)
        return fail(p, "nested too deeply");
    p->depth++;
    int zero = add_number(p, -0.0);
    int operand = parse_factor(p);
    p->depth--;
    return add_node(p, (calc_node){ .kind = '-', .left = zero, .right = operand });
}

static int parse_product(parser *p)
{
    int node = parse_factor(p);
    for (char kind; p->error == NULL && (kind = accept(p, '*', '/')) != '\0';) {
        int right = parse_factor(p);
        node = add_node(p, (calc_node){ .kind = kind, .left = node, .right = right });
    }
    return node;
}

static int parse_sum(parser *p)
{
    if (p->depth == DEPTH_MAX)
        return fail(p, "nested too deeply");
    p->depth++;
    int node = parse_product(p);
    for (char kind; p->error == NULL && (kind = accept(p, '+', '-')) != '\0';) {
        int right = parse_product(p);
        node = add_node(p, (calc_node){ .kind = kind, .left = node, .right = right });
    }
    p->depth--;
    return node;
}

const char *calc_parse(const char *text, calc_tree *ret_tree)
{
    parser p = { .at = text, .tree = ret_tree };
    ret_tree->count = 0;
    ret_tree->root = parse_sum(&p);
    if (next_character(&p) != '\0')
        fail(&p, "an operator expected");
    return p.error;
}
