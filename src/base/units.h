/* SPDX-License-Identifier: MIT */
/* units.h -- the sizes that everything else is made of.
 *
 *   page     what callers count in: the system's page or a power-of-two multiple, 4 to 64 KiB
 *   run      adjacent pages handed out together
 *   block    2 MiB, aligned: what runs of up to a block are cut from; 512 pages of 4 KiB, 32 of 64 KiB
 *   region   a reservation of address space, cut into blocks: 1 GiB where the system lets us
 *   window   1 GiB of the address space, aligned: the unit of the address -> block map
 */
#ifndef PH_BASE_UNITS_H
#define PH_BASE_UNITS_H

#include <stdint.h>

#define PH_BLOCK_LOG2      21
#define PH_BLOCK_BYTES     (UINT64_C(1) << PH_BLOCK_LOG2)

#define PH_PAGE_LOG2_MIN   12
#define PH_PAGE_LOG2_MAX   16

#define PH_BLOCK_PAGES_MAX (1u << (PH_BLOCK_LOG2 - PH_PAGE_LOG2_MIN))
#define PH_BLOCK_WORDS     (PH_BLOCK_PAGES_MAX / 64)

#define PH_WINDOW_LOG2     30
#define PH_WINDOW_BYTES    (UINT64_C(1) << PH_WINDOW_LOG2)
#define PH_WINDOW_BLOCKS   (1u << (PH_WINDOW_LOG2 - PH_BLOCK_LOG2))

/* The largest region, so that a region's blocks fit the same 512-bit search as a block's pages. */
#define PH_REGION_BYTES_MAX  PH_WINDOW_BYTES
#define PH_REGION_BLOCKS_MAX PH_WINDOW_BLOCKS
#define PH_REGION_WORDS      (PH_REGION_BLOCKS_MAX / 64)

_Static_assert(PH_REGION_BLOCKS_MAX == PH_BLOCK_PAGES_MAX, "one bitmap search serves pages and blocks");
_Static_assert(PH_BLOCK_WORDS * 64 == PH_BLOCK_PAGES_MAX, "a block's pages fill whole words");
_Static_assert(PH_REGION_WORDS * 64 == PH_REGION_BLOCKS_MAX, "a region's blocks fill whole words");

#endif
