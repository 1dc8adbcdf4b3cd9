/* SPDX-License-Identifier: MIT */
/* scene.h -- a folder of the test's own, files read whole, and the state of a child process. */
#ifndef PH_TESTS_EXEC_TOOLS_SCENE_H
#define PH_TESTS_EXEC_TOOLS_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pageheap/exec_tools.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct scene {
    char folder[128];
    char path[512]; /* of the file that was last asked for */
};

static inline int scene_open(void **state)
{
    static struct scene scene;
    const char *top = getenv("TMPDIR");
    snprintf(scene.folder, sizeof(scene.folder), "%s/exec-tools-XXXXXX", top != NULL ? top : "/tmp");
    *state = &scene;
    return mkdtemp(scene.folder) == NULL ? -1 : 0;
}

static inline const char *scene_path(struct scene *scene, const char *name)
{
    snprintf(scene->path, sizeof(scene->path), "%s/%s", scene->folder, name);
    return scene->path;
}

static inline int scene_close(void **state)
{
    struct scene *scene = *state;
    DIR *folder = opendir(scene->folder);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.')
            unlink(scene_path(scene, entry->d_name));
    }
    if (folder != NULL)
        closedir(folder);
    return rmdir(scene->folder);
}

/* The whole file with a zero behind, for free(); NULL if there is none. */
static inline char *scene_read(const char *path, size_t *ret_bytes)
{
    struct stat found;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &found) != 0)
        return NULL;
    char *content = calloc(1, (size_t)found.st_size + 1);
    ssize_t got = content == NULL ? -1 : read(file, content, (size_t)found.st_size);
    close(file);
    if (got != (ssize_t)found.st_size) {
        free(content);
        return NULL;
    }
    *ret_bytes = (size_t)got;
    return content;
}

static inline void scene_write(const char *path, const char *content)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(file >= 0);
    assert_int_equal(write(file, content, strlen(content)), strlen(content));
    close(file);
}

/* A child that ends well ends with 0, by no signal. */
static inline void assert_child_ends_well(pid_t child)
{
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Addresses that nobody reads. */
static inline const void *at(uintptr_t addr)
{
    return (const void *)addr;
}

#endif
