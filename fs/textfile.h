/* A small file whose text is kept here, to be read in pieces: a regular file to the kernel, which
 * asks for its length and time before it reads. All functions are thread-safe, and may be called
 * with any lock held: no other is taken under that of a text. */
#ifndef FS_TEXTFILE_H
#define FS_TEXTFILE_H

#include <fuse_lowlevel.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "imap/base/buf.h"

struct textfile;

/* An empty one, of now. */
struct textfile *textfile_new(void);

/* NULL is allowed. */
void textfile_free(struct textfile *t);

/* Between these two calls the text is the caller's, to add to or to make anew; nobody reads it. Its
 * time, which is `now`, is new even when its length stays: by it the kernel knows to read again. */
struct buf *textfile_begin(struct textfile *t, struct timespec *now);
void textfile_end(struct textfile *t);

/* How many ms ago that was last done; INT64_MAX: never. */
int64_t textfile_age(struct textfile *t);

/* Its length and its time; the rest of `st` stays. */
void textfile_stat(struct textfile *t, struct stat *st);

/* Answers with up to `size` bytes at `off`, none behind the end. */
void textfile_read(struct textfile *t, fuse_req_t req, size_t size, off_t off);

#endif
