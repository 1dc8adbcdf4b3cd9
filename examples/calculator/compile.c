/* SPDX-License-Identifier: MIT */
/* compile.c -- tree to machine code, and the code into executable memory.
 *
 * A node is computed into a place: an operation computes its left side into the same place and its right side
 * into the next one.  So a formula needs as many places as its right sides are nested.
 */
#include "calculator.h"
#include "emit.h"

#define CODE_BYTES_MAX ((CALC_NODES_MAX + 1) * EMIT_BYTES_MAX) /* the nodes, and the return */

static int places_needed(const calc_tree *tree, int index)
{
    const calc_node *node = &tree->nodes[index];
    if (node->kind == 'x' || node->kind == 'y' || node->kind == '#')
        return 1;
    int left = places_needed(tree, node->left);
    int right = places_needed(tree, node->right) + 1;
    return left > right ? left : right;
}

static uint8_t *generate(uint8_t *at, const calc_tree *tree, int index, int place)
{
    const calc_node *node = &tree->nodes[index];
    if (node->kind == '#')
        return emit_number(at, place, node->value);
    if (node->kind == 'x' || node->kind == 'y')
        return emit_variable(at, place, node->kind);
    at = generate(at, tree, node->left, place);
    at = generate(at, tree, node->right, place + 1);
    return emit_operation(at, node->kind, place);
}

static size_t generate_function(uint8_t *start, const calc_tree *tree)
{
    return (size_t)(emit_return(generate(start, tree, tree->root, 0), 0) - start);
}

/* Write the code to the span, and return how many bytes it has; 0 if the system does not let us. */
static size_t write_function(pageheap_exec *heap, const pageheap_exec_span *span, const calc_tree *tree)
{
    /* Mostly this is span->rw, the second view of the same memory, which costs nothing. */
    uint8_t *view = pageheap_exec_begin_write(heap, span->rx, span->bytes);
    if (view != NULL) {
        size_t bytes = generate_function(view, tree);
        return pageheap_exec_end_write(heap, span->rx, span->bytes) == 0 ? bytes : 0;
    }
    /* Where memory cannot be written in place, the heap copies. */
    uint8_t scratch[CODE_BYTES_MAX];
    size_t bytes = generate_function(scratch, tree);
    return pageheap_exec_write(heap, span->rx, scratch, bytes) == 0 ? bytes : 0;
}

const char *calc_compile(pageheap_exec *heap, const calc_tree *tree, const char *name, calc_code *ret_code)
{
    if (places_needed(tree, tree->root) > emit_places)
        return "more nested than there are registers";

    /* How long the code is shows only once it is there: take the most, and give back what is too much. */
    pageheap_exec_span span;
    int code = pageheap_exec_alloc(heap, (size_t)(tree->count + 1) * EMIT_BYTES_MAX, &span);
    if (code != 0)
        return pageheap_strerror(code);
    size_t bytes = write_function(heap, &span, tree);
    if (bytes == 0) {
        pageheap_exec_free(heap, span.rx, span.bytes);
        return "executable memory cannot be written";
    }
    if (pageheap_exec_shrink(heap, span.rx, span.bytes, bytes) == 0)
        pageheap_exec_find(heap, span.rx, &span);

    /* From here on any thread may run it, and profilers know it by its name. */
    pageheap_exec_publish(heap, span.rx, bytes);
    pageheap_exec_name(heap, span.rx, bytes, name);
    *ret_code = (calc_code){ .run = (calc_function *)span.rx, .span = span, .bytes = bytes };
    return NULL;
}

void calc_discard(pageheap_exec *heap, calc_code *code)
{
    pageheap_exec_free(heap, code->span.rx, code->span.bytes);
    *code = (calc_code){ .run = NULL };
}
