/* The threads that tell the kernel what it must no longer believe. Such calls may block on locks
 * that a request in progress holds, so nobody else makes them and these threads hold no lock. Of
 * names they tell in the order in which it was asked for, and so of attributes; not of both. */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>

struct notifier;
struct buf;

/* Nothing is told before notifier_start(). Before attributes are, `telling` is called on the thread
 * that does it. */
struct notifier *notifier_new(void (*telling)(void *ctx, fuse_ino_t ino), void *ctx);
int notifier_start(struct notifier *n, struct fuse_session *se);

/* Ends the threads; what is queued is dropped, and so is all that comes later. Somebody must still
 * answer the kernel, which may hold a thread back until its own calls are answered. */
void notifier_stop(struct notifier *n);

/* After notifier_stop(), or when it never ran; NULL is allowed. */
void notifier_free(struct notifier *n);

/* The name `name` in the directory `parent` may mean something else, or nothing, by now. */
void notify_entry(struct notifier *n, fuse_ino_t parent, const char *name);

/* The file `child` is no longer there under that name: as notify_entry(), and inotify(7) tells
 * those who watch the file itself. */
void notify_gone(struct notifier *n, fuse_ino_t parent, const char *name, fuse_ino_t child);

/* The attributes of `ino` changed, not its bytes. */
void notify_attr(struct notifier *n, fuse_ino_t ino);

/* The same, in so many ms. */
void notify_attr_later(struct notifier *n, fuse_ino_t ino, int64_t ms);

/* Calls `then(arg)` on a thread of the notifier after all that was to be told of attributes before.
 * Returns false, and does nothing, when that is told already or the notifier is not running. */
bool notify_then(struct notifier *n, void (*then)(void *), void *arg);

/* Calls it in so many ms; returns false, and does nothing, when the notifier is not running. */
bool notify_then_later(struct notifier *n, void (*then)(void *), void *arg, int64_t ms);

/* Appends lines for the status. */
void notifier_status(struct notifier *n, struct buf *out);

#endif
