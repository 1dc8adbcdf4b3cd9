/* SPDX-License-Identifier: MIT */
/* perf_target.c -- a program for perf_test.sh to record: most of its time goes to one piece of JIT code.
 *
 * usage: perf_target perfmap|jitdump BACKEND [FILE or FOLDER]
 */
#include <pageheap/exec_tools.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Code that counts its argument down to zero. */
#if defined(__x86_64__)
static const unsigned char code[] = {
    0x48, 0xff, 0xcf, /* dec %rdi */
    0x75, 0xfb,       /* jnz the dec */
    0xc3              /* ret */
};
#elif defined(__aarch64__)
static const unsigned int code[] = {
    0xf1000400, /* subs x0, x0, #1 */
    0x54ffffe1, /* b.ne the subs */
    0xd65f03c0  /* ret */
};
#else
static const unsigned char code[] = { 0 };
#endif

enum { skipped = 77 };

typedef void (*countdown)(unsigned long from);

static void spin(pageheap_exec *heap, const char *name)
{
    pageheap_exec_span span;
    if (pageheap_exec_alloc(heap, sizeof(code), &span) != 0 ||
        pageheap_exec_write(heap, span.rx, code, sizeof(code)) != 0 ||
        pageheap_exec_publish(heap, span.rx, sizeof(code)) != 0)
        exit(1);
    pageheap_exec_name(heap, span.rx, sizeof(code), name);
    countdown run;
    memcpy(&run, &span.rx, sizeof(run));
    clock_t end = clock() + CLOCKS_PER_SEC / 10;
    while (clock() < end)
        run(10 * 1000 * 1000);
    pageheap_exec_free(heap, span.rx, span.bytes);
}

int main(int argc, char **argv)
{
    if (sizeof(code) == 1)
        return skipped;
    if (argc < 3)
        return 2;
    pageheap_exec_tools_options where = PAGEHEAP_EXEC_TOOLS_OPTIONS_INIT;
    where.path = argc > 3 ? argv[3] : NULL;
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = (uint32_t)atoi(argv[2]);
    pageheap_exec_tools_perfmap *map = NULL;
    pageheap_exec_tools_jitdump *dump = NULL;
    if (strcmp(argv[1], "perfmap") == 0) {
        map = pageheap_exec_tools_perfmap_open(&where);
        options.hooks = pageheap_exec_tools_perfmap_hooks(map);
    } else {
        dump = pageheap_exec_tools_jitdump_open(&where);
        options.hooks = pageheap_exec_tools_jitdump_hooks(dump);
    }
    pageheap_exec *heap = pageheap_exec_create(&options);
    if (heap == NULL || options.hooks == NULL)
        return skipped;
    printf("process %ld\n", (long)getpid());
    /* The second takes the first one's place. */
    spin(heap, "jit_spin_first");
    spin(heap, "jit_spin_second");
    pageheap_exec_destroy(heap);
    pageheap_exec_tools_jitdump_close(dump);
    pageheap_exec_tools_perfmap_close(map);
    return 0;
}
