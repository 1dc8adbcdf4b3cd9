/* SPDX-License-Identifier: MIT */
/* sections.c -- see sections.h. */
#include "sections.h"

#include "peers/peers_all.h"
#include "self_test.h"

const struct section sections[SECTIONS] = {
    { .name = "pages",
      .title = "Pages",
      .ratio_title = "ours/best",
      .workload_at = workload_at,
      .peer_at = peer_at,
      .null = &peer_null,
      .self_test = peer_self_test },
};
