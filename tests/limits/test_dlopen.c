/* SPDX-License-Identifier: MIT */
/* test_dlopen.c -- the shared library can be opened late, by a thread, after twenty copies of itself: its
 * thread-local memory is small enough for the room that the C library keeps for latecomers. */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

#include "meter.h"

#define COPIES    20
#define TLS_BYTES 64 /* at most, each */

static const char *library_path;

static void copy_file(const char *from, const char *to)
{
    char buffer[65536];
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, in)) > 0;)
        assert_int_equal(fwrite(buffer, 1, got, out), got);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* Take a run, fill it, give it back, through the functions of one copy.  NULL, or what went wrong. */
static const char *use_library(void *library)
{
    pageheap *(*create)(const pageheap_options *);
    void *(*alloc)(pageheap *, size_t, uint32_t);
    int (*release)(pageheap *, void *, size_t);
    int (*destroy)(pageheap *);
    *(void **)&create = dlsym(library, "pageheap_create");
    *(void **)&alloc = dlsym(library, "pageheap_alloc");
    *(void **)&release = dlsym(library, "pageheap_free");
    *(void **)&destroy = dlsym(library, "pageheap_destroy");
    if (create == NULL || alloc == NULL || release == NULL || destroy == NULL)
        return "a function is missing";
    pageheap *heap = create(NULL);
    char *run = heap == NULL ? NULL : alloc(heap, 20, PAGEHEAP_ZERO);
    if (run == NULL)
        return "no run";
    memset(run, 1, 20 * PAGE);
    if (release(heap, run, 20) != 0 || release(heap, run, 20) != PAGEHEAP_EBADRUN)
        return "frees are not judged";
    return destroy(heap) == 0 ? NULL : "not destroyed";
}

static void *open_late(void *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return "not opened";
    }
    return (void *)(uintptr_t)use_library(library);
}

static void late_copies_work(void **state)
{
    (void)state;
    char folder[] = "dlopen-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (unsigned i = 0; i < COPIES; i++) {
        char path[64];
        pthread_t thread;
        void *complaint;
        snprintf(path, sizeof path, "./%s/copy%u.so", folder, i);
        copy_file(library_path, path);
        assert_int_equal(pthread_create(&thread, NULL, open_late, path), 0);
        pthread_join(thread, &complaint);
        unlink(path);
        if (complaint != NULL)
            fail_msg("copy %u: %s", i, (const char *)complaint);
    }
    rmdir(folder);
}

/* A thread that has used it ends, and the library hears of that: its code must still be mapped. */
static void *use_and_close(void *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return "not opened";
    const char *complaint = use_library(library);
    return (void *)(uintptr_t)(dlclose(library) != 0 ? "not closed" : complaint);
}

static void threads_may_end_after_it_is_closed(void **state)
{
    (void)state;
    pthread_t thread;
    void *complaint;
    char path[] = "./dlclosed-copy.so";
    copy_file(library_path, path); /* nobody else has this one open */
    assert_int_equal(pthread_create(&thread, NULL, use_and_close, path), 0);
    pthread_join(thread, &complaint);
    unlink(path);
    if (complaint != NULL)
        fail_msg("%s", (const char *)complaint);
}

static int look_at_tls(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    if (strstr(info->dlpi_name, "libpageheap") == NULL)
        return 0;
    *(bool *)found = true;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            assert_true(info->dlpi_phdr[i].p_memsz <= TLS_BYTES);
    }
    return 0;
}

static void thread_locals_are_few(void **state)
{
    (void)state;
    bool found = false;
    assert_non_null(dlopen(library_path, RTLD_NOW | RTLD_LOCAL));
    dl_iterate_phdr(look_at_tls, &found);
    assert_true(found);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_copies_work),
        cmocka_unit_test(threads_may_end_after_it_is_closed),
        cmocka_unit_test(thread_locals_are_few),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s LIBRARY\n", argv[0]);
        return 2;
    }
    library_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
