/* The kernel's READs of messages that turn out to be shorter than was announced.
 *
 * What a file holds the kernel knows by its attributes, and learns that it is less by a READ that
 * is answered short: then the file ends there. It does not believe that if it was told anything of
 * the file's attributes since it sent the READ, be it the same as before, or took another short
 * answer; then zeroes are read behind the end. So of several READs the one in which the message
 * ends is answered before those behind it, and one that would not be believed is answered with an
 * error: what the kernel reads ahead it then asks for again, page by page, and nobody hears of it.
 *
 * Whether a READ that comes was sent before or after something was told cannot be known for a
 * moment, unless by the same thread, which was told before it read on.
 *
 * A listing tells of many files, and the kernel takes note of one after the other. Where a size is
 * new to it, it waits for the page in which the file now ends. A READ may hold that page, and what
 * the listing tells of the other files is old by then. So a listing does not tell of files that are
 * being read, which the kernel looks up if anybody is interested; and what a listing told a thread
 * counts as new until that thread makes its next call. (Linux 5.10 to 6.18: fuse_short_read(),
 * fuse_change_attributes(), parse_dirplusfile().) */
#ifndef FS_READING_H
#define FS_READING_H

#include "fs/request.h"

struct reading;

struct reading *reading_new(void);
void reading_free(struct reading *rd); /* NULL is allowed */

/* A READ of a message came. Before anything is done about it. */
void reading_begin(struct reading *rd, struct request *r);

/* Answers it, with r->err, or with r->slices, which are all there is, and r->end, and ends the
 * request; or waits with that for those in front of it. */
void reading_answer(struct reading *rd, struct request *r);

/* The kernel is about to be told attributes of the file that do not have its measured size, by an
 * answer to the thread `tid`, or, with 0, by a notification. */
void reading_told(struct reading *rd, fuse_ino_t ino, pid_t tid);

/* The same by a listing, if they do not have its measured size (`sized`). False when a listing must
 * not tell them, as the file is being read. */
bool reading_listed(struct reading *rd, fuse_ino_t ino, pid_t tid, bool sized);

/* The thread `tid` makes a call: of all that listings told it before the kernel has taken note. */
void reading_heard(struct reading *rd, pid_t tid);

#endif
