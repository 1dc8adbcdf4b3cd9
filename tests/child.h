/* SPDX-License-Identifier: MIT */
/* child.h -- what a test does in a process of its own: it holds facts true or ends, and ends in time. */
#ifndef PH_TESTS_CHILD_H
#define PH_TESTS_CHILD_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a child ends with that is not allowed what it is to test; the parent then skips the test. */
#define CHILD_CANNOT 77

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
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTRAP };
    for (unsigned i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        signal(fatal[i], SIG_DFL);
    alarm(seconds_max);
}

/* Run act(arg) in a child that may take so long; its status as of wait.  SIGALRM if it took longer. */
static inline int child_status(void (*act)(void *), void *arg, unsigned seconds_max)
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        child_begin(seconds_max);
        act(arg);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* Fail the test, or skip it, as the child says. */
static inline void child_judge(int status, const char *what)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CANNOT)
        skip();
    if (status != 0)
        fail_msg("%s: the child's status is %#x", what, (unsigned)status);
}

static inline void child_act(void *act)
{
    ((void (*)(void))(uintptr_t)act)();
}

/* The state is a function: call it in a process of its own, whose limits it may change. */
static inline void child_run_test(void **state)
{
    child_judge(child_status(child_act, *state, 180), "test");
}

/* A cmocka test that has the function's name. */
#define IN_CHILD(act)                                                                                        \
    {                                                                                                        \
#act, child_run_test, NULL, NULL, (void *)(uintptr_t)(act)                                           \
    }

#endif
