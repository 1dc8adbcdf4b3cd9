/* SPDX-License-Identifier: MIT */
/* client.c -- the heap that another project's code generator gets, and the counts by which run.sh judges. */
#include "client.h"
#include "common.h"

#include <errno.h>
#include <stdatomic.h>

pageheap_exec *client_heap;

static atomic_ulong taken, placed, given, published;
static atomic_ulong refused; /* calls of the library that failed where none should */
static atomic_ulong looks;   /* at the mappings */
static atomic_ulong wx;      /* lines seen there that are writable and executable */
static int lies_anywhere;

/* The mappings are looked at when something may have changed.  The client's hooks keep errno. */
static void look(void)
{
    int saved = errno;
    atomic_fetch_add(&wx, (unsigned long)mappings_with("wx"));
    atomic_fetch_add(&looks, 1);
    errno = saved;
}

static int count(int code)
{
    if (code != 0)
        atomic_fetch_add(&refused, 1);
    return code;
}

static uint32_t backend_named(const char *name, uint32_t otherwise)
{
    for (uint32_t backend = 0; name != NULL && backend < PAGEHEAP_EXEC_BACKENDS; backend++) {
        if (strcmp(name, backend_name(backend)) == 0)
            return backend;
    }
    return otherwise;
}

void client_start(const pageheap_exec_options *options)
{
    pageheap_exec_options wanted = *options;
    wanted.backend = backend_named(getenv("PAGEHEAP_CLIENT_BACKEND"), options->backend);
    client_heap = pageheap_exec_create(&wanted);
    if (client_heap == NULL && errno == ENOMEM) {
        lies_anywhere = 1;
        wanted.flags |= PAGEHEAP_EXEC_ANYWHERE;
        wanted.near = NULL;
        wanted.reach_bytes = 0;
        client_heap = pageheap_exec_create(&wanted);
    }
    if (client_heap == NULL) {
        perror("no heap for code");
        exit(SKIPPED);
    }
}

int client_take(size_t bytes, void *hint, pageheap_exec_span *ret_span)
{
    int code = hint == NULL
                   ? pageheap_exec_alloc(client_heap, bytes, ret_span)
                   : pageheap_exec_alloc_within(client_heap, bytes, hint, (char *)hint + bytes, ret_span);
    if (code == 0) {
        atomic_fetch_add(&taken, 1);
        atomic_fetch_add(&placed, hint != NULL);
    }
    look();
    return code;
}

int client_give(void *rx)
{
    pageheap_exec_span span;
    int code = pageheap_exec_find(client_heap, rx, &span);
    if (code == 0)
        code = pageheap_exec_free(client_heap, rx, span.bytes);
    if (code == 0)
        atomic_fetch_add(&given, 1);
    look();
    return count(code);
}

int client_begin_write(void *rx, size_t bytes)
{
    void *at = pageheap_exec_begin_write(client_heap, rx, bytes);
    look();
    return count(at == rx ? 0 : PAGEHEAP_EINVAL);
}

int client_end_write(void *rx, size_t bytes)
{
    int code = pageheap_exec_end_write(client_heap, rx, bytes);
    look();
    return count(code);
}

int client_publish(void *rx, size_t bytes)
{
    atomic_fetch_add(&published, 1);
    return count(pageheap_exec_publish(client_heap, rx, bytes));
}

/* One write of one line, which the system appends whole: processes of a suite may run side by side. */
__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("PAGEHEAP_CLIENT_LOG");
    FILE *log = path == NULL || client_heap == NULL ? NULL : fopen(path, "a");
    if (log == NULL)
        return;
    look();
    count(pageheap_exec_check(client_heap));
    fprintf(log,
            "backend=%s taken=%lu placed=%lu given=%lu published=%lu refused=%lu looks=%lu wx=%lu far=%d\n",
            backend_name(backend_of(client_heap)), taken, placed, given, published, refused, looks, wx,
            lies_anywhere);
    fclose(log);
}
