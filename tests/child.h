/* SPDX-License-Identifier: MIT */
/* child.h -- what a test does in a process of its own: it holds facts true or ends, and ends in time. */
#ifndef PH_TESTS_CHILD_H
#define PH_TESTS_CHILD_H

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* End the process with status 1 and one line unless the fact holds. */
#define REQUIRE(fact)                                                                                        \
    do {                                                                                                     \
        if (!(fact)) {                                                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);                               \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

/* Call first in the child: cmocka's handlers would go on with the next test, there. */
static inline void child_begin(unsigned seconds_max)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE };
    for (unsigned i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        signal(fatal[i], SIG_DFL);
    alarm(seconds_max);
}

#endif
