/* SPDX-License-Identifier: MIT */
/* exec_peers.c -- the list of those that hand out code memory. */
#include "peers/exec_all.h"

static const struct exec_peer *const peers[] = {
    &exec_peer_pageheap, &exec_peer_pageheap_flip, &exec_peer_asmjit, &exec_peer_asmjit_fill,
    &exec_peer_libffi,   &exec_peer_mmap,          &exec_peer_flip,
};

const struct peer *exec_peer_at(size_t index)
{
    return index < sizeof peers / sizeof peers[0] ? &peers[index]->peer : NULL;
}
