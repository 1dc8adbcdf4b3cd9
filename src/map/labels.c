/* SPDX-License-Identifier: MIT */
/* labels.c -- tables of labels are made when a block first holds a labelled run. */
#include "map/labels.h"

#include <errno.h>

#include "map/meta.h"

int ph_labels_make(const ph_block *block)
{
    if (ph_labels_of(block) != NULL)
        return 0;
    ph_labels *fresh = ph_meta_alloc(sizeof *fresh);
    if (fresh == NULL)
        return -ENOMEM;
    ph_window *window = ph_load_relaxed(&ph_windows[block->number / PH_WINDOW_BLOCKS]);
    ph_labels *expected = NULL;
    /* Pairs with ph_labels_of: who sees the table sees it cleared. */
    if (ph_cas_acq_rel(&window->labels[block->number % PH_WINDOW_BLOCKS], &expected, fresh))
        return sizeof *fresh;
    ph_meta_free(fresh, sizeof *fresh); /* another thread was first */
    return 0;
}

void ph_labels_clear(const ph_block *block)
{
    ph_labels *labels = ph_labels_of(block);
    if (labels == NULL)
        return;
    for (unsigned page = 0; page < PH_BLOCK_PAGES_MAX; page++)
        ph_store_relaxed(&labels->of_page[page], NULL);
}
