/* SPDX-License-Identifier: MIT */
/* requests.c -- makes known requests in known processes, for the test of `pageheap record`.
 *
 * Each step prints nothing and counts nothing: record_test.sh knows what each must record.
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE    4096u
#define THREADS 4
#define ROUNDS  1000

/* Requests must survive the optimiser: a pair of malloc and free is nothing to it. */
static void *volatile sink;

static void *kept(void *memory)
{
    sink = memory;
    if (memory == NULL || memory == MAP_FAILED)
        abort();
    return memory;
}

static void family(void)
{
    void *memory = NULL;

    free(kept(malloc(PAGE)));
    free(kept(calloc(2, PAGE)));
    free(kept(aligned_alloc(PAGE, 3 * PAGE)));
    free(kept(memalign(64, 4 * PAGE)));
    free(kept(valloc(5 * PAGE)));
    free(kept(pvalloc(5 * PAGE + 1)));
    free(kept(reallocarray(NULL, 7, PAGE)));
    if (posix_memalign(&memory, PAGE, 8 * PAGE) != 0)
        abort();
    free(kept(memory));
    free(kept(malloc(PAGE - 1))); /* below a page */
    free(NULL);
}

static void reallocs(void)
{
    char *memory = kept(malloc(100)); /* nothing */

    memory = kept(realloc(memory, 2 * PAGE));     /* a 2 */
    memory = kept(realloc(memory, 2 * PAGE - 1)); /* same pages: nothing */
    memory = kept(realloc(memory, 500 * PAGE));   /* a 500, f */
    memory = kept(realloc(memory, 100));          /* f */
    free(memory);
}

static void maps(void)
{
    int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *memory = kept(mmap(NULL, 10 * PAGE, prot, flags, -1, 0)); /* a 10 */

    munmap(memory + 4 * PAGE, 2 * PAGE);                            /* f, a 4, a 4 */
    munmap(memory, 10 * PAGE);                                      /* f, f */
    memory = kept(mmap(NULL, 100, prot, flags, -1, 0));             /* a 1 */
    memory = kept(mremap(memory, PAGE, 20 * PAGE, MREMAP_MAYMOVE)); /* a 20, f */
    munmap(memory, 20 * PAGE);                                      /* f */
    memory = kept(mmap(NULL, 16 * PAGE, PROT_NONE, flags, -1, 0));  /* address space: nothing */
    mprotect(memory, 4 * PAGE, prot);                               /* a 4 */
    munmap(memory, 16 * PAGE);                                      /* f */
    munmap(memory, 0);                                              /* refused: nothing */
}

static void *thread_main(void *argument)
{
    for (int i = 0; i < ROUNDS; i++)
        free(kept(malloc(PAGE * (size_t)(1 + i % 8))));
    return argument;
}

static void threads(void)
{
    pthread_t running[THREADS];

    for (int i = 0; i < THREADS; i++)
        pthread_create(&running[i], NULL, thread_main, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(running[i], NULL);
}

static int wait_for(pid_t child)
{
    int status;

    if (child < 0 || waitpid(child, &status, 0) != child)
        abort();
    return status;
}

/* The child's free of what it inherited is none of its heap's business; its own requests are. */
static void forks(void)
{
    void *inherited = kept(malloc(3 * PAGE)); /* a 3 in the parent */
    pid_t child = fork();

    if (child == 0) {
        free(inherited);
        free(kept(malloc(9 * PAGE))); /* a 9, f */
        kept(malloc(11 * PAGE));      /* a 11, never freed */
        _exit(0);
    }
    wait_for(child);
    free(inherited); /* f */
}

static void killed(void)
{
    pid_t child = fork();

    if (child == 0) {
        kept(malloc(13 * PAGE)); /* a 13 */
        raise(SIGKILL);
    }
    wait_for(child);
}

static void execs(const char *self, pid_t (*start)(void))
{
    pid_t child = start();

    if (child == 0) {
        execl(self, self, "family", (char *)NULL);
        _exit(127);
    }
    wait_for(child);
}

int main(int argc, char **argv)
{
    const char *step = argc > 1 ? argv[1] : "";

    if (strcmp(step, "family") == 0)
        family();
    else if (strcmp(step, "reallocs") == 0)
        reallocs();
    else if (strcmp(step, "maps") == 0)
        maps();
    else if (strcmp(step, "threads") == 0)
        threads();
    else if (strcmp(step, "forks") == 0)
        forks();
    else if (strcmp(step, "killed") == 0)
        killed();
    else if (strcmp(step, "fork-exec") == 0)
        execs(argv[0], fork);
    else if (strcmp(step, "vfork-exec") == 0)
        execs(argv[0], vfork);
    else if (strcmp(step, "status") == 0)
        return 42;
    else if (strcmp(step, "signal") == 0)
        raise(SIGTERM);
    else
        return 1;
    return 0;
}
