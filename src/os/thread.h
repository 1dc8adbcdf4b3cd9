/* SPDX-License-Identifier: MIT */
/* thread.h -- threads come and go, and processes fork. */
#ifndef PH_OS_THREAD_H
#define PH_OS_THREAD_H

/* Call `on_exit(value)` when the calling thread ends.  Any number of times; the last value counts.
 * 0 or a negative errno. */
int ph_thread_at_exit(void (*on_exit)(void *), void *value);

/* Register the three handlers of fork, once per process.  0 or a negative errno. */
int ph_thread_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

#endif
