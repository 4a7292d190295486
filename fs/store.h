/* The one thread that puts message bytes into the kernel's page cache before anyone asks for them.
 * Such a call waits while the kernel holds a page for a read that we have not answered yet. So no
 * answer may wait for this thread, and what invalidates has a thread of its own (notify.h). */
#ifndef FS_STORE_H
#define FS_STORE_H

#include <fuse_lowlevel.h>
#include <stdint.h>

#include "imap/base/blob.h"

struct store;
struct buf;

/* Calls `stored` from its thread, with no lock held, for each store_put(): whether the kernel took
 * the bytes. */
struct store *store_new(void (*stored)(void *ctx, uint32_t gen, uint32_t uid, size_t len, bool ok),
                        void *ctx);
int store_start(struct store *s, struct fuse_session *se);

/* Ends the thread; what is queued is dropped, and so is all that comes later. */
void store_stop(struct store *s);

/* After store_stop(), or when it never ran; NULL is allowed. */
void store_free(struct store *s);

/* These are all bytes of a message; takes over the reference. Never waits. How many may be under
 * way is for the caller to bound, who hears of each when it is done. */
void store_put(struct store *s, uint32_t gen, uint32_t uid, struct blob *bytes);

/* What the kernel keeps of the message's bytes is wrong. */
void store_drop(struct store *s, uint32_t gen, uint32_t uid);

/* Appends lines for the status. */
void store_status(struct store *s, struct buf *out);

#endif
