/* SPDX-License-Identifier: MIT */
/* pcre2.c -- an unmodified PCRE2 compiles regular expressions into memory of ours.
 *
 * PCRE2 has no hook for executable memory: it maps 64 KiB at a time, writable and executable, and keeps a
 * list of free pieces in it.  The linker makes a hook: with --wrap=mmap and --wrap=munmap the calls that
 * stand in PCRE2's archive come here (those in the shared libpageheap do not), and requests for executable
 * memory go to the heap.
 *
 * PCRE2 writes to that memory whenever it likes, so only a heap with the backend _RWX serves it.  What is
 * gained: all of it lies in one reservation near the program, it is counted and can be limited, and it goes
 * back.
 */
#include "common.h"

#include <errno.h>
#include <sys/mman.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERNS   2000
#define TEXT_BYTES 65536

static pageheap_exec *heap; /* from the beginning of main to its end */
static int spans_taken, spans_given;

void *__real_mmap(void *hint, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_munmap(void *start, size_t bytes);
void *__wrap_mmap(void *hint, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *start, size_t bytes);

void *__wrap_mmap(void *hint, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if ((protection & PROT_EXEC) == 0)
        return __real_mmap(hint, bytes, protection, flags, file, offset);
    pageheap_exec_span span;
    if (pageheap_exec_alloc(heap, bytes, &span) != 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    spans_taken++;
    return span.rx;
}

int __wrap_munmap(void *start, size_t bytes)
{
    pageheap_exec_span span;
    if (pageheap_exec_find(heap, start, &span) != 0)
        return __real_munmap(start, bytes);
    if (pageheap_exec_free(heap, start, bytes) != 0) {
        errno = EINVAL;
        return -1;
    }
    spans_given++;
    return 0;
}

/* ---- two thousand patterns --------------------------------------------------------------------- */

/* How often the text holds the number n. */
static int times(int n)
{
    return 1 + n % 3;
}

/* "<0><1><1><2><2><2><3>..." */
static size_t write_text(char *text)
{
    size_t length = 0;
    for (int n = 0; n < PATTERNS; n++)
        for (int i = 0; i < times(n); i++)
            length += (size_t)snprintf(text + length, TEXT_BYTES - length, "<%d>", n);
    REQUIRE(length < TEXT_BYTES);
    return length;
}

/* A pattern that only the number n matches, of different length for different n. */
static pcre2_code *compile_pattern(int n)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "<(?:%d|%d[a-z]{%d})>", n, n, 1 + n % 20);
    int error;
    size_t error_at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, 0, &error, &error_at, NULL);
    REQUIRE(code != NULL);
    REQUIRE(pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0);
    return code;
}

static int count_matches(pcre2_code *code, const char *text, size_t length)
{
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
    REQUIRE(match != NULL);
    int count = 0;
    for (size_t at = 0; pcre2_jit_match(code, (PCRE2_SPTR)text, length, at, 0, match, NULL) > 0; count++)
        at = pcre2_get_ovector_pointer(match)[1]; /* where the match ends: it is never empty */
    pcre2_match_data_free(match);
    return count;
}

static int print_span(void *ctx, const pageheap_exec_span *span)
{
    (void)ctx;
    printf("still live: %zu bytes at %p\n", span->bytes, span->rx);
    return 1;
}

static void try_patterns(void)
{
    static char text[TEXT_BYTES];
    static pcre2_code *codes[PATTERNS];
    size_t length = write_text(text);
    for (int n = 0; n < PATTERNS; n++)
        codes[n] = compile_pattern(n);
    for (int n = 0; n < PATTERNS; n++)
        REQUIRE(count_matches(codes[n], text, length) == times(n));
    printf("%d patterns, every count right; %d requests for executable memory, %d mappings\n", PATTERNS,
           spans_taken, mappings_with("wx"));
    REQUIRE(spans_taken > 0);
    for (int n = 0; n < PATTERNS; n++)
        pcre2_code_free(codes[n]);
    pcre2_jit_free_unused_memory(NULL);
    printf("all patterns freed; of %d requests %d given back\n", spans_taken, spans_given);
    REQUIRE(spans_given == spans_taken);
}

int main(void)
{
    pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
    options.backend = PAGEHEAP_EXEC_RWX;
    heap = pageheap_exec_create(&options);
    if (heap == NULL) {
        perror("no memory here that is writable and executable");
        return SKIPPED;
    }
    uint32_t has_jit = 0;
    pcre2_config(PCRE2_CONFIG_JIT, &has_jit);
    if (!has_jit) {
        printf("this PCRE2 was built without its compiler\n");
        return SKIPPED;
    }
    try_patterns();
    REQUIRE(pageheap_exec_each(heap, print_span, NULL) == 0);
    REQUIRE(pageheap_exec_check(heap) == 0);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
    return 0;
}
