/* SPDX-License-Identifier: MIT */
/* thread.c -- thread.h's calls, with pthreads. */
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "os/mutex.h"

int ph_thread_at_exit(void (*on_exit)(void *), void *value)
{
    static ph_mutex key_lock;
    static _Atomic bool has_key; /* key_lock to change */
    static pthread_key_t key;    /* set once under key_lock, before has_key */
    int saved = errno;
    int error = 0;
    /* Once made, no lock: a child forked while another thread held it would wait for ever. */
    if (!ph_load_acquire(&has_key)) { /* pairs with the release below */
        ph_mutex_lock(&key_lock);
        if (!ph_load_relaxed(&has_key)) {
            error = pthread_key_create(&key, on_exit);
            ph_store_release(&has_key, error == 0);
        }
        ph_mutex_unlock(&key_lock);
    }
    if (error == 0)
        error = pthread_setspecific(key, value);
    errno = saved;
    return -error;
}

int ph_thread_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int saved = errno;
    int error = pthread_atfork(prepare, parent, child);
    errno = saved;
    return -error;
}
