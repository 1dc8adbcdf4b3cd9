/* SPDX-License-Identifier: MIT */
/* peers.c -- the list of peers, and which of them this machine has. */
#include "peers/peers_all.h"

#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct peer *const peers[] = {
    &peer_pageheap, &peer_mmap,     &peer_seed,     &peer_glibc,
    &peer_jemalloc, &peer_mimalloc, &peer_tcmalloc, &peer_tbb,
};

const struct peer *peer_at(size_t index)
{
    return index < sizeof peers / sizeof peers[0] ? peers[index] : NULL;
}

const struct peer *peer_named(const char *name)
{
    const struct peer *peer;

    for (size_t i = 0; (peer = peer_at(i)) != NULL; i++) {
        if (strcmp(peer->name, name) == 0)
            return peer;
    }
    return strcmp(name, peer_null.name) == 0 ? &peer_null : NULL;
}

/* In the child: a library that complains while it loads must not do so on the user's terminal. */
static void silence(void)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (nowhere >= 0) {
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
    }
}

bool peer_is_installed(const struct peer *peer)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0)
        return false;
    if (child == 0) {
        silence();
        _exit(peer->open() == 0 ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
