/* SPDX-License-Identifier: MIT */
/* jitdump.c -- a JIT_CODE_LOAD record, with the code, for each name that is given or published anew.
 *
 * The format is version 1 of tools/perf/Documentation/jitdump-specification.txt of the Linux kernel.  perf
 * finds the file because the program maps a page of it executable: the mapping is an event of its recording,
 * and `perf inject --jit` looks for the name jit-PID.dump among these.
 *
 * Code is read by the write itself, from where it runs: memory that cannot be read then (a page without
 * access, under a backend that guards what is unused) is a refused write and not a fault.
 */
#include <pageheap/exec_tools.h>

#include "guard.h"
#include "machine.h"
#include "names.h"
#include "report.h"
#include "writer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const uint64_t default_limit_bytes = UINT64_C(1) << 30;

enum { dump_magic = 0x4a695444, dump_version = 1 };
enum { record_load = 0, record_close = 3 };

struct dump_header {
    uint32_t magic;
    uint32_t version;
    uint32_t header_bytes;
    uint32_t machine;
    uint32_t padding;
    uint32_t process;
    uint64_t time_ns;
    uint64_t flags;
};

struct record_header {
    uint32_t kind;
    uint32_t record_bytes;
    uint64_t time_ns;
};

struct load_record {
    struct record_header header;
    uint32_t process;
    uint32_t thread;
    uint64_t start; /* the format has this twice: as mapped, and as it runs */
    uint64_t run_start;
    uint64_t code_bytes;
    uint64_t number; /* of this record in the file */
};

_Static_assert(sizeof(struct dump_header) == 40, "as the specification has it, without gaps");
_Static_assert(sizeof(struct load_record) == 56, "as the specification has it, without gaps");

struct pageheap_exec_tools_jitdump {
    struct ph_tools_guard guard;
    pageheap_exec_hooks hooks;     /* set once */
    struct ph_tools_writer writer; /* guard */
    pid_t writer_process;          /* guard; whose file it is */
    void *marker;                  /* guard; the page of the file that perf sees, or NULL */
    size_t marker_bytes;           /* set once */
    uint64_t load_count;           /* guard */
    struct ph_tools_names names;   /* guard */
    struct ph_tools_tally tally;   /* guard */
    char folder[];                 /* set once */
};

/* The clock that `perf record -k mono` records by. */
static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the file ---------------------------------------------------------------------------- */

static int write_header(struct ph_tools_writer *writer)
{
    struct dump_header header = { .magic = dump_magic,
                                  .version = dump_version,
                                  .header_bytes = sizeof(header),
                                  .machine = PH_TOOLS_MACHINE,
                                  .process = (uint32_t)getpid(),
                                  .time_ns = now_ns() };
    struct iovec part = { &header, sizeof(header) };
    return ph_tools_writer_append(writer, &part, 1);
}

/* Make this process's file, with its header and its marker.  0, or an errno and no file. */
static int begin_file(pageheap_exec_tools_jitdump *dump, uint64_t limit_bytes)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/jit-%ld.dump", dump->folder, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof(path))
        return ENAMETOOLONG;
    int error = ph_tools_writer_open(&dump->writer, path, limit_bytes);
    if (error != 0)
        return error;
    error = write_header(&dump->writer);
    if (error != 0)
        goto remove_file;
    dump->marker = mmap(NULL, dump->marker_bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, dump->writer.file, 0);
    if (dump->marker != MAP_FAILED)
        return 0;
    error = errno;
    dump->marker = NULL;

remove_file:
    unlink(path);
    ph_tools_writer_close(&dump->writer);
    return error;
}

static void end_file(pageheap_exec_tools_jitdump *dump)
{
    if (dump->marker != NULL)
        munmap(dump->marker, dump->marker_bytes);
    dump->marker = NULL;
    ph_tools_writer_close(&dump->writer);
}

static int write_load(pageheap_exec_tools_jitdump *dump, const struct ph_tools_name *name)
{
    uint64_t record_bytes = sizeof(struct load_record) + name->text_bytes + 1 + (uint64_t)name->code_bytes;
    if (record_bytes > UINT32_MAX)
        return ERANGE;
    struct load_record load = { .header = { record_load, (uint32_t)record_bytes, now_ns() },
                                .process = (uint32_t)dump->guard.process,
                                .thread = (uint32_t)syscall(SYS_gettid),
                                .start = name->start,
                                .run_start = name->start,
                                .code_bytes = name->code_bytes,
                                .number = dump->load_count };
    const struct iovec parts[] = { { &load, sizeof(load) },
                                   { (void *)name->text, name->text_bytes + 1 },
                                   { (void *)name->start, name->code_bytes } };
    int error = ph_tools_writer_append(&dump->writer, parts, 3);
    if (error == 0)
        dump->load_count++;
    return error;
}

static void tell(void *ctx, struct ph_tools_name *name)
{
    pageheap_exec_tools_jitdump *dump = ctx;
    ph_tools_tally_count(&dump->tally, write_load(dump, name));
}

/* The child of a fork runs its parent's code at the same addresses: its file begins with all names. */
static void follow_process(pageheap_exec_tools_jitdump *dump)
{
    if (dump->writer_process == dump->guard.process)
        return;
    dump->writer_process = dump->guard.process;
    dump->load_count = 0;
    ph_tools_tally_reset(&dump->tally);
    end_file(dump);
    int error = begin_file(dump, dump->writer.limit_bytes);
    if (error == 0)
        ph_tools_names_each(&dump->names, 0, UINTPTR_MAX, tell, dump);
    else
        dump->tally.last_error = error;
}

/* ---- the hooks --------------------------------------------------------------------------- */

static void named(void *ctx, const void *rx, size_t bytes, const char *text)
{
    pageheap_exec_tools_jitdump *dump = ctx;
    uintptr_t start = (uintptr_t)rx;
    struct ph_tools_visit visit;
    ph_tools_enter(&dump->guard, &visit);
    follow_process(dump);
    ph_tools_names_remove(&dump->names, start, start + 1, NULL, NULL);
    struct ph_tools_name *name = ph_tools_names_add(&dump->names, start, bytes, text);
    if (name != NULL)
        tell(dump, name);
    else
        ph_tools_tally_count(&dump->tally, ENOMEM);
    ph_tools_leave(&dump->guard, &visit);
}

struct publication {
    pageheap_exec_tools_jitdump *dump;
    uintptr_t end;
};

/* A patch of a few bytes is not worth another copy of the function. */
static void tell_if_whole(void *ctx, struct ph_tools_name *name)
{
    const struct publication *publication = ctx;
    if (name->code_bytes <= publication->end - name->start)
        tell(publication->dump, name);
}

static void published(void *ctx, const void *rx, size_t bytes)
{
    pageheap_exec_tools_jitdump *dump = ctx;
    uintptr_t start = (uintptr_t)rx;
    struct publication publication = { dump, start + bytes };
    struct ph_tools_visit visit;
    ph_tools_enter(&dump->guard, &visit);
    follow_process(dump);
    ph_tools_names_each(&dump->names, start, publication.end, tell_if_whole, &publication);
    ph_tools_leave(&dump->guard, &visit);
}

static void freed(void *ctx, const void *rx, size_t bytes)
{
    pageheap_exec_tools_jitdump *dump = ctx;
    uintptr_t start = (uintptr_t)rx;
    struct ph_tools_visit visit;
    ph_tools_enter(&dump->guard, &visit);
    ph_tools_names_remove(&dump->names, start, start + bytes, NULL, NULL);
    /* Of a span that was shrunk, the head keeps its name. */
    struct ph_tools_name *head = ph_tools_names_before(&dump->names, start);
    if (head != NULL && head->code_bytes > start - head->start)
        head->code_bytes = start - head->start;
    ph_tools_leave(&dump->guard, &visit);
}

/* ---- open and close ------------------------------------------------------------------------ */

pageheap_exec_tools_jitdump *pageheap_exec_tools_jitdump_open(const pageheap_exec_tools_options *options)
{
    int errno_before = errno;
    pageheap_exec_tools_options chosen;
    pageheap_exec_tools_jitdump *dump = NULL;
    int error = ph_tools_options_read(options, &chosen);
    if (error != 0)
        goto refuse;
    const char *folder = chosen.path != NULL ? chosen.path : ".";
    dump = calloc(1, sizeof(*dump) + strlen(folder) + 1);
    if (dump == NULL) {
        error = ENOMEM;
        goto refuse;
    }
    strcpy(dump->folder, folder);
    dump->marker_bytes = (size_t)sysconf(_SC_PAGESIZE);
    ph_tools_names_init(&dump->names);
    error = begin_file(dump, chosen.limit_bytes != 0 ? chosen.limit_bytes : default_limit_bytes);
    if (error != 0)
        goto refuse;
    error = ph_tools_guard_open(&dump->guard);
    if (error != 0)
        goto close_file;
    dump->writer_process = dump->guard.process;
    dump->hooks = (pageheap_exec_hooks){
        .block_unmapped = freed, .published = published, .named = named, .freed = freed, .ctx = dump
    };
    errno = errno_before;
    return dump;

close_file:
    end_file(dump);
refuse:
    free(dump);
    errno = error;
    return NULL;
}

const pageheap_exec_hooks *pageheap_exec_tools_jitdump_hooks(const pageheap_exec_tools_jitdump *dump)
{
    return dump == NULL ? NULL : &dump->hooks;
}

int pageheap_exec_tools_jitdump_get_stats(pageheap_exec_tools_jitdump *dump,
                                          pageheap_exec_tools_stats *ret_stats)
{
    if (dump == NULL || ph_tools_stats_judge(ret_stats) != 0)
        return PAGEHEAP_EINVAL;
    struct ph_tools_visit visit;
    ph_tools_enter(&dump->guard, &visit);
    bool is_ours = dump->writer_process == dump->guard.process;
    pageheap_exec_tools_stats stats = ph_tools_tally_stats(is_ours ? &dump->tally : NULL);
    stats.live_names = dump->names.count;
    stats.memory_bytes = dump->names.memory_bytes;
    stats.file_bytes = is_ours ? dump->writer.file_bytes : 0;
    ph_tools_leave(&dump->guard, &visit);
    ph_tools_stats_fill(&stats, ret_stats);
    return 0;
}

void pageheap_exec_tools_jitdump_close(pageheap_exec_tools_jitdump *dump)
{
    if (dump == NULL)
        return;
    int errno_before = errno;
    ph_tools_guard_close(&dump->guard);
    /* A child that changed nothing still has its parent's file, which is not its own to end. */
    if (dump->writer_process == getpid()) {
        struct record_header end = { record_close, sizeof(end), now_ns() };
        struct iovec part = { &end, sizeof(end) };
        ph_tools_writer_append(&dump->writer, &part, 1);
    }
    end_file(dump);
    ph_tools_names_remove(&dump->names, 0, UINTPTR_MAX, NULL, NULL);
    free(dump);
    errno = errno_before;
}
