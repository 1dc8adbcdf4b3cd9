/* SPDX-License-Identifier: MIT */
/* labels.h -- what callers call their runs: for each block that has held such runs, a pointer for each page.
 *
 * Programs without labels pay nothing: no block has a table, and the hot path never looks for one.
 *
 * N1  A block's table is made once, all NULL, and stays (as W1): 4 KiB, so a five-hundredth of the block.
 * N2  In a block with a table, the entry of a live run's first page is that run's label: who makes the run
 *     live writes it first, so that nobody who sees the mark finds what the page was called before.
 * N3  A front that gets an empty block gets it with all entries NULL.  So only fronts that have taken
 *     labelled runs, or a block with runs from such a front, must write at each allocation (`has_labels`).
 */
#ifndef PH_MAP_LABELS_H
#define PH_MAP_LABELS_H

#include "map/window.h"

typedef struct ph_labels {
    _Atomic(const char *) of_page[PH_BLOCK_PAGES_MAX]; /* N2; read by anyone */
} ph_labels;

/* The table of this block of ours, or NULL. */
static inline ph_labels *ph_labels_of(const ph_block *block)
{
    ph_window *window = ph_load_relaxed(&ph_windows[block->number / PH_WINDOW_BLOCKS]);
    return ph_load_acquire(&window->labels[block->number % PH_WINDOW_BLOCKS]); /* pairs with ph_labels_make */
}

/* What the run that begins at this page is called, or NULL.  For who has seen its mark. */
static inline const char *ph_label_of(const ph_block *block, unsigned page)
{
    const ph_labels *labels = ph_labels_of(block);
    atomic_thread_fence(memory_order_acquire); /* the mark before; pairs with the release in ph_label_set */
    return labels == NULL ? NULL : ph_load_relaxed(&labels->of_page[page]);
}

/* The run that is about to begin at this page is called so (N2; its block's owner held).  False: the block
 * has no table, so its runs are called nothing. */
static inline bool ph_label_set(const ph_block *block, unsigned page, const char *label)
{
    ph_labels *labels = ph_labels_of(block);
    if (labels == NULL)
        return false;
    ph_store_relaxed(&labels->of_page[page], label);
    atomic_thread_fence(memory_order_release); /* before the mark; pairs with the acquire in ph_label_of */
    return true;
}

/* Make the table, if there is none; the bytes it takes, 0 if there is one, or -ENOMEM.  Any thread. */
int ph_labels_make(const ph_block *block);

/* N3: nothing in this block has a label any more.  For who alone has the block, all of it unused. */
void ph_labels_clear(const ph_block *block);

#endif
