/* SPDX-License-Identifier: MIT */
/* writer.h -- a file that stands in a folder everybody may write to, made of whole records.
 *
 * Its name can be foretold, so it is always made anew (O_EXCL): nothing that somebody else put there is ever
 * opened, followed or truncated.  A record that cannot be written whole is not there at all.
 */
#ifndef PH_TOOLS_WRITER_H
#define PH_TOOLS_WRITER_H

#include <limits.h>
#include <stdint.h>
#include <sys/uio.h>

enum { ph_tools_record_parts = 4 }; /* the most pieces of memory that one record is gathered from */

struct ph_tools_writer {
    int file;             /* -1: could not be made */
    uint64_t file_bytes;  /* whole records so far */
    uint64_t limit_bytes; /* set once */
};

/* Make the file at `path`, mode 0600, in place of a regular file of this owner.  0 or an errno. */
int ph_tools_writer_open(struct ph_tools_writer *writer, const char *path, uint64_t limit_bytes);
void ph_tools_writer_close(struct ph_tools_writer *writer);

/* Append one record.  0 or an errno: EFBIG beyond the limit or RLIMIT_FSIZE, EFAULT if memory of the record
 * is not readable, or what the system says. */
int ph_tools_writer_append(struct ph_tools_writer *writer, const struct iovec *parts, int part_count);

/* Append what another writer, of the parent process, had written when it forked.  0 or an errno. */
int ph_tools_writer_copy(struct ph_tools_writer *writer, const struct ph_tools_writer *from);

#endif
