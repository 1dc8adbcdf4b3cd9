/* SPDX-License-Identifier: MIT */
/* tinycc.c -- C compiled and run by an unmodified libtcc, without a page that is writable and executable.
 *
 * tcc_relocate puts a program where it is told, code first and data behind it, and then calls mprotect
 * itself, to make the pages with code writable and executable.  Here each page is one or the other:
 *
 *   - The program begins with a line of assembler that aligns its data to a page.  So no page has both.
 *   - With the linker's --wrap=mprotect, libtcc's calls come here (those in the shared libpageheap do not).
 *     They change nothing; they only tell which pages hold code.
 *
 * The heap has the backend _FLIP.  Between begin_write and end_write its pages are writable, and nothing runs
 * there.  The program's data is one long such write: it ends when the program is thrown away.
 *
 * A heap of two views does not do here: libtcc writes code to the address at which it will run.
 */
#include "common.h"

#include <libtcc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS 200

typedef struct program {
    pageheap_exec_span span;
    size_t code_bytes; /* from the span's beginning; the rest is data */
    int (*add)(int);
    const char *(*name)(void);
} program;

/* While libtcc puts a program in place: where that is, and how far the code goes. */
static char *place;
static size_t place_bytes, place_code_bytes;

int __real_mprotect(void *start, size_t bytes, int protection);
int __wrap_mprotect(void *start, size_t bytes, int protection);

int __wrap_mprotect(void *start, size_t bytes, int protection)
{
    char *from = start;
    if (place == NULL || from < place || from + bytes > place + place_bytes)
        return __real_mprotect(start, bytes, protection);
    if (from + bytes > place + place_code_bytes)
        place_code_bytes = (size_t)(from + bytes - place);
    return 0;
}

/* A program with state, text, a table of pointers, and a call of a function that is not its own. */
static const char source[] = "int twice(int);\n"
                             "static int sum = START;\n"
                             "static char text[] = \"number ....\";\n"
                             "static char *const where[] = { text, text + 7 };\n"
                             "int add(int n) { sum += twice(n); return sum; }\n"
                             "const char *name(void) {\n"
                             "    for (int i = 0, n = START; i < 4; i++, n /= 10)\n"
                             "        where[1][3 - i] = '0' + n % 10;\n"
                             "    return where[0];\n"
                             "}\n";

static int twice(int n)
{
    return 2 * n;
}

static TCCState *compile(int start)
{
    TCCState *state = tcc_new();
    REQUIRE(state != NULL);
    tcc_set_options(state, "-nostdlib");
    REQUIRE(tcc_set_output_type(state, TCC_OUTPUT_MEMORY) == 0);
    REQUIRE(tcc_add_symbol(state, "twice", (const void *)twice) == 0);
    char text[sizeof source + 200];
    snprintf(text, sizeof text, "__asm__(\".data\\n.balign %ld\\n.text\\n\");\n#define START %d\n%s",
             sysconf(_SC_PAGESIZE), start, source);
    REQUIRE(tcc_compile_string(state, text) == 0);
    return state;
}

static void find_functions(TCCState *state, program *p)
{
    p->add = (int (*)(int))tcc_get_symbol(state, "add");
    p->name = (const char *(*)(void))tcc_get_symbol(state, "name");
    REQUIRE(p->add != NULL && p->name != NULL);
}

/* Returns how many mappings were writable and executable, before and after the program was ready. */
static int load(pageheap_exec *heap, program *p, int start)
{
    TCCState *state = compile(start);
    int bytes = tcc_relocate(state, NULL);
    REQUIRE(bytes > 0);
    REQUIRE(pageheap_exec_alloc(heap, (size_t)bytes, &p->span) == 0);
    REQUIRE(pageheap_exec_begin_write(heap, p->span.rx, p->span.bytes) == p->span.rx);

    place = p->span.rx;
    place_bytes = p->span.bytes;
    place_code_bytes = 0;
    REQUIRE(tcc_relocate(state, p->span.rx) == 0);
    place = NULL;
    int writable = mappings_with("wx");
    p->code_bytes = place_code_bytes;
    REQUIRE(p->code_bytes > 0 && p->code_bytes < p->span.bytes);

    REQUIRE(pageheap_exec_end_write(heap, p->span.rx, p->code_bytes) == 0);
    REQUIRE(pageheap_exec_publish(heap, p->span.rx, p->code_bytes) == 0);
    find_functions(state, p);
    tcc_delete(state); /* the program needs its compiler no more */
    return writable + mappings_with("wx");
}

static void unload(pageheap_exec *heap, program *p)
{
    char *data = (char *)p->span.rx + p->code_bytes;
    REQUIRE(pageheap_exec_end_write(heap, data, p->span.bytes - p->code_bytes) == 0);
    REQUIRE(pageheap_exec_free(heap, p->span.rx, p->span.bytes) == 0);
}

/* The program begins with a number of its own, and remembers what was added. */
static void run(const program *p, int start)
{
    char name[32];
    snprintf(name, sizeof name, "number %04d", start);
    REQUIRE(p->add(1) == start + 2);
    REQUIRE(p->add(20) == start + 42);
    REQUIRE(strcmp(p->name(), name) == 0);
}

/* libtcc's own way, for comparison, in a process of its own. */
static void run_in_own_memory(void)
{
    fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        program p;
        TCCState *state = compile(7);
        REQUIRE(tcc_relocate(state, TCC_RELOCATE_AUTO) == 0);
        find_functions(state, &p);
        run(&p, 7);
        printf("tcc_relocate alone: 1 program, %d mappings writable and executable\n", mappings_with("wx"));
        tcc_delete(state);
        exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (status != 0)
        printf("tcc_relocate alone: failed; some systems refuse what it asks for\n");
}

int main(void)
{
    static program programs[PROGRAMS];
    run_in_own_memory();
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_FLIP;
    pageheap_exec *heap = pageheap_exec_create(&options);
    if (heap == NULL) {
        perror("no memory here that is first writable and then executable");
        return SKIPPED;
    }
    int writable = 0;
    for (int i = 0; i < PROGRAMS; i++)
        writable += load(heap, &programs[i], i);
    for (int i = 0; i < PROGRAMS; i++)
        run(&programs[i], i);
    writable += mappings_with("wx");
    printf("with pageheap_exec: %d programs, all run, %d mappings writable and executable at any time\n",
           PROGRAMS, writable);
    REQUIRE(writable == 0);
    for (int i = 0; i < PROGRAMS; i++)
        unload(heap, &programs[i]);
    REQUIRE(pageheap_exec_check(heap) == 0);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
    return 0;
}
