/* SPDX-License-Identifier: MIT */
/* writer.c -- making the file, and appending to it. */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Make a name free, or tell that it must stay taken.  A regular file of ours is what a process of the same
 * number left behind.  In a folder with the sticky bit nobody else could have put it there; in any other,
 * what is lost by this is a name that others could have removed just as well. */
static bool clear_name(const char *path)
{
    struct stat found;
    if (lstat(path, &found) != 0)
        return false;
    if (!S_ISREG(found.st_mode) || found.st_uid != geteuid())
        return false;
    return unlink(path) == 0;
}

int ph_tools_writer_open(struct ph_tools_writer *writer, const char *path, uint64_t limit_bytes)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    writer->file_bytes = 0;
    writer->limit_bytes = limit_bytes;
    writer->file = open(path, flags, 0600);
    if (writer->file < 0 && errno == EEXIST) {
        if (!clear_name(path))
            return EEXIST;
        writer->file = open(path, flags, 0600);
    }
    return writer->file < 0 ? errno : 0;
}

void ph_tools_writer_close(struct ph_tools_writer *writer)
{
    if (writer->file >= 0)
        close(writer->file);
    writer->file = -1;
}

/* A write beyond RLIMIT_FSIZE would end the process by SIGXFSZ: no profile is worth that. */
static bool has_room(const struct ph_tools_writer *writer, uint64_t more_bytes)
{
    struct rlimit allowed;
    uint64_t limit_bytes = writer->limit_bytes;
    if (getrlimit(RLIMIT_FSIZE, &allowed) == 0 && allowed.rlim_cur != RLIM_INFINITY &&
        allowed.rlim_cur < limit_bytes)
        limit_bytes = allowed.rlim_cur;
    return writer->file_bytes <= limit_bytes && more_bytes <= limit_bytes - writer->file_bytes;
}

/* Write all parts at the end, in as many calls as it takes: each writes something or is the last. */
static int write_all(const struct ph_tools_writer *writer, struct iovec *part, int part_count)
{
    uint64_t at = writer->file_bytes;
    while (part_count > 0) {
        if (part->iov_len == 0) {
            part++;
            part_count--;
            continue;
        }
        ssize_t done = pwritev(writer->file, part, part_count, (off_t)at);
        if (done <= 0)
            return done < 0 ? errno : EIO;
        at += (uint64_t)done;
        size_t left = (size_t)done;
        while (part_count > 0 && left >= part->iov_len) {
            left -= part->iov_len;
            part++;
            part_count--;
        }
        if (left > 0) {
            part->iov_base = (char *)part->iov_base + left;
            part->iov_len -= left;
        }
    }
    return 0;
}

int ph_tools_writer_append(struct ph_tools_writer *writer, const struct iovec *parts, int part_count)
{
    if (writer->file < 0)
        return EBADF;
    struct iovec left[ph_tools_record_parts];
    uint64_t record_bytes = 0;
    for (int i = 0; i < part_count; i++) {
        left[i] = parts[i];
        record_bytes += parts[i].iov_len;
    }
    if (!has_room(writer, record_bytes))
        return EFBIG;
    int error = write_all(writer, left, part_count);
    if (error == 0) {
        writer->file_bytes += record_bytes;
        return 0;
    }
    /* Should even this fail, the next record is written over the torn one. */
    if (ftruncate(writer->file, (off_t)writer->file_bytes) != 0)
        return errno;
    return error;
}

int ph_tools_writer_copy(struct ph_tools_writer *writer, const struct ph_tools_writer *from)
{
    char buffer[8192];
    uint64_t at = 0;
    while (at < from->file_bytes) {
        uint64_t left = from->file_bytes - at;
        size_t ask = left < sizeof(buffer) ? (size_t)left : sizeof(buffer);
        ssize_t got = pread(from->file, buffer, ask, (off_t)at);
        if (got <= 0)
            return got < 0 ? errno : EIO;
        struct iovec part = { buffer, (size_t)got };
        int error = ph_tools_writer_append(writer, &part, 1);
        if (error != 0)
            return error;
        at += (uint64_t)got;
    }
    return 0;
}
