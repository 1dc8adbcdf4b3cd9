/* SPDX-License-Identifier: MIT */
/* sections.c -- see sections.h. */
#include "sections.h"

#include "exec_peer.h"
#include "peers/exec_all.h"
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
    { .name = "code",
      .title = "Code memory",
      .ratio_title = "ratio",
      .workload_at = exec_workload_at,
      .peer_at = exec_peer_at,
      .null = &exec_peer_null.peer,
      .self_test = exec_peer_self_test },
};
