/* SPDX-License-Identifier: MIT */
/* window.c -- windows are made when address space is reserved, before any of its addresses is known (W2).
 *
 * No lock: of two threads that make the same one, the second unmaps its own again.
 */
#include "map/window.h"

#include <errno.h>

#include "os/os.h"

_Atomic(ph_window *) ph_windows[PH_WINDOW_COUNT];
ph_window ph_nobodys_window;

static int prepare_window(uintptr_t index)
{
    if (ph_load_acquire(&ph_windows[index]) != NULL) /* W2 */
        return 0;
    void *fresh;
    int error = ph_os.map(sizeof(ph_window), &fresh);
    if (error != 0)
        return error;
    ph_window *expected = NULL;
    if (!ph_cas_acq_rel(&ph_windows[index], &expected, fresh)) /* W2 */
        (void)ph_os.unmap(fresh, sizeof(ph_window));           /* another thread was first */
    return 0;
}

int ph_windows_prepare(uintptr_t base, size_t bytes)
{
    uintptr_t last = (base + bytes - 1) >> PH_WINDOW_LOG2;
    if (last >= PH_WINDOW_COUNT)
        return -ENOMEM; /* beyond the addresses that the table covers */
    for (uintptr_t index = base >> PH_WINDOW_LOG2; index <= last; index++) {
        int error = prepare_window(index);
        if (error != 0)
            return error;
    }
    return 0;
}
