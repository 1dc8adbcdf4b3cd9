/* SPDX-License-Identifier: MIT */
/* exec_tools.h -- names of JIT code for perf and GDB: ready hooks for pageheap/exec.h.
 *
 *     #include <pageheap/exec_tools.h>                                  // link with -lpageheap-exec-tools
 *
 *     pageheap_exec_tools_jitdump *dump = pageheap_exec_tools_jitdump_open(NULL);
 *     pageheap_exec_options options = PAGEHEAP_EXEC_OPTIONS_INIT;
 *     options.hooks = pageheap_exec_tools_jitdump_hooks(dump);          // NULL, no hooks, if it did not open
 *     pageheap_exec *heap = pageheap_exec_create(&options);
 *     ...
 *     pageheap_exec_name(heap, span.rx, size, "fib");                   // after publish, before it runs
 *     ...
 *     pageheap_exec_destroy(heap);
 *     pageheap_exec_tools_jitdump_close(dump);                          // after the heap
 *
 * Which     a perf map is the cheapest and knows no frees; a jitdump has the code and the time of each name;
 *           GDB's interface serves debuggers.  A chain makes several into one.  docs/exec-tools.md has more.
 * Names     Only what pageheap_exec_name named is told.  At most 1023 bytes of a name are kept; control
 *           characters become '?'.  A name lasts until the memory that it begins in is freed.
 * Errors    An open returns NULL and sets errno.  A hook cannot fail: what it could not write or remember is
 *           counted in dropped_names, with the reason in last_error, and the code runs nameless.
 * Threads   Hooks may be called by any threads at once; each tool has one lock, held while it writes.
 * Fork      The child goes on with files of its own, under its own process id, made at its first name.
 * Heaps     One tool may serve several heaps.  Close it after the last of them.
 * Memory    From malloc, in proportion to the names that are alive; a perf map keeps none.
 */
#ifndef PAGEHEAP_EXEC_TOOLS_H
#define PAGEHEAP_EXEC_TOOLS_H

#include <pageheap/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what libpageheap-exec-tools.a defines, as PAGEHEAP_API marks what libpageheap does. */
#define PAGEHEAP_EXEC_TOOLS_API PAGEHEAP_API

/* Zero means "default" in every field.  struct_bytes must be sizeof(pageheap_exec_tools_options). */
typedef struct pageheap_exec_tools_options {
    uint32_t struct_bytes;
    uint32_t flags;   /* must be zero */
    const char *path; /* where to write; each open says what and the default */
    uint64_t
        limit_bytes; /* the file never grows beyond; default 64 MiB for a perf map, 1 GiB for a jitdump */
} pageheap_exec_tools_options;

#define PAGEHEAP_EXEC_TOOLS_OPTIONS_INIT                                                                     \
    {                                                                                                        \
        sizeof(pageheap_exec_tools_options), 0, NULL, 0                                                      \
    }

/* struct_bytes is set by the caller; as many bytes as it says are filled. */
typedef struct pageheap_exec_tools_stats {
    uint32_t struct_bytes;
    int32_t last_error;     /* the errno of the last name that was dropped, 0 if none was */
    uint64_t told_names;    /* names written or registered, by this process */
    uint64_t dropped_names; /* names that were not: file full, disk full, no memory, unreadable code */
    uint64_t live_names;    /* names remembered; 0 for a perf map */
    uint64_t memory_bytes;  /* what is held for them */
    uint64_t file_bytes;    /* length of the file; 0 for GDB */
    uint64_t notices;       /* times that a debugger was told; 0 for files */
} pageheap_exec_tools_stats;

/* ---- perf map: one line per name --------------------------------------------------------- */

typedef struct pageheap_exec_tools_perfmap pageheap_exec_tools_perfmap; /* opaque */

/* Begin a perf map.  path: the file; default /tmp/perf-PID.map, where perf looks.  The file is made anew with
 * mode 0600.  A regular file of the same owner that stands there is replaced; anything else, a symbolic link
 * above all, is EEXIST.  The child of a fork takes its parent's lines over, into /tmp/perf-PID.map or
 * PATH.PID.  NULL with errno EINVAL, ENOMEM, EEXIST, or what open(2) says. */
PAGEHEAP_EXEC_TOOLS_API pageheap_exec_tools_perfmap *
pageheap_exec_tools_perfmap_open(const pageheap_exec_tools_options *options);

/* Its hooks, for pageheap_exec_options or a chain; NULL for NULL.  Good until the close. */
PAGEHEAP_EXEC_TOOLS_API const pageheap_exec_hooks *
pageheap_exec_tools_perfmap_hooks(const pageheap_exec_tools_perfmap *map);

/* What it has done so far.  0; EINVAL. */
PAGEHEAP_EXEC_TOOLS_API int pageheap_exec_tools_perfmap_get_stats(pageheap_exec_tools_perfmap *map,
                                                                  pageheap_exec_tools_stats *ret_stats);

/* End it; the file stays for perf.  NULL is allowed. */
PAGEHEAP_EXEC_TOOLS_API void pageheap_exec_tools_perfmap_close(pageheap_exec_tools_perfmap *map);

/* ---- jitdump: names, code bytes and times -------------------------------------------------- */

typedef struct pageheap_exec_tools_jitdump pageheap_exec_tools_jitdump; /* opaque */

/* Begin a jitdump for `perf record -k mono` and `perf inject --jit`.  path: the folder that jit-PID.dump is
 * made in, as a perf map is; default the current one.  A page of the file is mapped readable and executable,
 * because that is how perf learns of it; nothing there is ever run.  A system that refuses this (a folder
 * mounted noexec, a security policy) makes the open fail, with its errno.
 * A name is written with the bytes that stand there when it is given, and again each time the whole of its
 * code is published anew; a publish of less, a patch, writes nothing.
 * NULL with errno EINVAL, ENOMEM, EEXIST, EFBIG (no room for a header), or what open(2) or mmap(2) says. */
PAGEHEAP_EXEC_TOOLS_API pageheap_exec_tools_jitdump *
pageheap_exec_tools_jitdump_open(const pageheap_exec_tools_options *options);

/* Its hooks, for pageheap_exec_options or a chain; NULL for NULL.  Good until the close. */
PAGEHEAP_EXEC_TOOLS_API const pageheap_exec_hooks *
pageheap_exec_tools_jitdump_hooks(const pageheap_exec_tools_jitdump *dump);

/* What it has done so far.  0; EINVAL. */
PAGEHEAP_EXEC_TOOLS_API int pageheap_exec_tools_jitdump_get_stats(pageheap_exec_tools_jitdump *dump,
                                                                  pageheap_exec_tools_stats *ret_stats);

/* End it with the record that says so; the file stays for perf.  NULL is allowed. */
PAGEHEAP_EXEC_TOOLS_API void pageheap_exec_tools_jitdump_close(pageheap_exec_tools_jitdump *dump);

/* ---- GDB: a symbol table per block ---------------------------------------------------------- */

typedef struct pageheap_exec_tools_gdb pageheap_exec_tools_gdb; /* opaque */

/* Begin to keep a symbol table for each block that has names, and tell GDB of it.  The tables are always up
 * to date, for a debugger that attaches later and for core files.  A debugger that is there already stops the
 * program at each notice, and gets half of its time for that, and half a second ahead: names that are given
 * faster are told together, at a later change or by the flush.  NULL with errno ENOMEM. */
PAGEHEAP_EXEC_TOOLS_API pageheap_exec_tools_gdb *pageheap_exec_tools_gdb_open(void);

/* Its hooks, for pageheap_exec_options or a chain; NULL for NULL.  Good until the close. */
PAGEHEAP_EXEC_TOOLS_API const pageheap_exec_hooks *
pageheap_exec_tools_gdb_hooks(const pageheap_exec_tools_gdb *gdb);

/* Tell a debugger now what it has not been told yet.  NULL is allowed. */
PAGEHEAP_EXEC_TOOLS_API void pageheap_exec_tools_gdb_flush(pageheap_exec_tools_gdb *gdb);

/* What it has done so far.  0; EINVAL. */
PAGEHEAP_EXEC_TOOLS_API int pageheap_exec_tools_gdb_get_stats(pageheap_exec_tools_gdb *gdb,
                                                              pageheap_exec_tools_stats *ret_stats);

/* Take all tables back and end.  NULL is allowed. */
PAGEHEAP_EXEC_TOOLS_API void pageheap_exec_tools_gdb_close(pageheap_exec_tools_gdb *gdb);

/* ---- chain: several hooks as one -------------------------------------------------------------- */

typedef struct pageheap_exec_tools_chain pageheap_exec_tools_chain; /* opaque */

/* Make hooks that call `count` others, in this order.  The structs are copied; NULL ones, as of a tool that
 * did not open, are left out.  NULL with errno EINVAL (a count without an array) or ENOMEM. */
PAGEHEAP_EXEC_TOOLS_API pageheap_exec_tools_chain *
pageheap_exec_tools_chain_open(const pageheap_exec_hooks *const *hooks, size_t count);

/* Its hooks; NULL for NULL.  Good until the close. */
PAGEHEAP_EXEC_TOOLS_API const pageheap_exec_hooks *
pageheap_exec_tools_chain_hooks(const pageheap_exec_tools_chain *chain);

/* End the chain, not what hangs on it.  NULL is allowed. */
PAGEHEAP_EXEC_TOOLS_API void pageheap_exec_tools_chain_close(pageheap_exec_tools_chain *chain);

#ifdef __cplusplus
}
#endif

#endif
