/* What is known of one mail account, and how to learn or change the rest. The file system's only
 * way to mail.
 *
 * A question that what is known answers, is answered at once: 0 or -errno. Otherwise it returns
 * -EINPROGRESS, and the caller's waiter is woken exactly once when it is worth asking again (err
 * 0), or with the error that is the answer. A change returns -EINPROGRESS, and the waiter is woken
 * with its result. Waiters are woken on any thread, with no lock held, possibly before the function
 * that took them returned. All functions are thread-safe and none of them waits for the network,
 * but account_open() and account_stop().
 *
 * Folders and messages are named by numbers that are never used twice in the life of a mount: a
 * folder by its id, a message by (generation, UID), where the generation stands for the folder
 * under one UIDVALIDITY. What is gone is simply not found (-ESTALE). */
#ifndef CACHE_ACCOUNT_H
#define CACHE_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/hooks.h"
#include "cache/trust.h"
#include "imap/base/blob.h"
#include "imap/base/buf.h"
#include "imap/pool/pool.h"

/* Room for the longest label and its NUL. */
#define ACCOUNT_LABEL_MAX 256

/* The folder that the mount shows as its top; it cannot hold messages unless it is a mailbox. */
#define ACCOUNT_ROOT 1u

struct account;

struct waiter {
    void (*wake)(struct waiter *w, int err);
    struct waiter *next; /* the account's own while it waits */
};

struct folder_info {
    uint32_t id;
    uint32_t parent; /* 0 for the root */
    bool selectable; /* can hold messages */
    bool loaded;     /* all of them were listed once */
    int64_t
        changed; /* when something last appeared or vanished in it, seconds since the epoch; or 0 */
    char name[256]; /* the file name */
};

struct msg_info {
    uint32_t folder; /* where it is now, which after a move is not where it was found */
    uint32_t gen;
    uint32_t uid;
    uint32_t flags; /* FLAG_... bits */
    int64_t date;   /* INTERNALDATE, seconds since the epoch */
    uint64_t size;  /* bytes */
    bool sized;     /* its size was measured, and not just announced */
    bool doubtful;  /* its size is not announced at all, or by a server that was wrong before; or it
                     * was measured, and is more than was announced */
    uint64_t place; /* in listings: see account_list() */
    bool named;     /* its header came; else its name is its UID */
    char label[ACCOUNT_LABEL_MAX];
};

/* For so many seconds after the last question about a folder that was listed, its changes are
 * looked for, or listened for, and told. */
enum { ACCOUNT_IN_USE = 60 * 60 };

/* For so many seconds a promise holds that departures from a folder are told. */
enum { ACCOUNT_PROMISE = 5 * 60 };

struct account_config {
    struct pool_config pool;
    const char *mailbox; /* UTF-8 path of the mailbox to show as the root, levels by '/'; or NULL */
    const char *trash;   /* "no", "auto", or the path of a mailbox */
    bool mark_seen;
    size_t cache;    /* bytes of message bodies kept, about */
    size_t prefetch; /* bytes asked for ahead of their reader, at most; 0: none */
    unsigned poll;   /* seconds between looks at folders that nobody tells of; 0: never */
};

/* Connects, logs in and lists. On failure NULL, and `why` has one sentence. Strings of `config` are
 * borrowed until account_free(). */
struct account *account_open(const struct account_config *config, const struct account_hooks *hooks,
                             struct buf *why);

/* Finishes the changes that were accepted and logs out. Waiters still waiting are woken with
 * -ENOTCONN; what is known can still be asked for, until account_free(). */
void account_stop(struct account *a);
void account_free(struct account *a);

/* Someone looks for what account_hooks.event told: as long as that goes on, no folder that is in
 * use goes out of use. */
void account_followed(struct account *a);

/* Appends "key: value" lines for .imapfs/status. */
void account_status(struct account *a, struct buf *out);

/* ---- folders (tree.c, listing.c) ---- */

/* Makes sure that the list of folders can be trusted so far by who asked at the time `asked`
 * (clock_ms()). */
int account_refresh_tree(struct account *a, enum trust trust, int64_t asked, struct waiter *w);

/* -ESTALE when there is no such folder any more. */
int account_folder(struct account *a, uint32_t id, struct folder_info *out);

/* The child called `name` as far as is known: 0 or -ENOENT; -ESTALE for the parent. */
int account_child(struct account *a, uint32_t parent, const char *name, struct folder_info *out);

/* The children known whose id is above `after`, in ascending order: up to `max` of them to `out`,
 * how many to *n. */
int account_children(struct account *a, uint32_t parent, uint32_t after, struct folder_info *out,
                     size_t max, size_t *n);

/* Is what the folder holds the same as at the last call for this folder? Only of loaded folders. */
bool account_unchanged(struct account *a, uint32_t id);

/* The wire name, UIDVALIDITY (0: not known), number of messages and of unseen ones (once loaded),
 * and the special use (RFC 6154, "" if none) of a folder. */
struct folder_detail {
    char *mailbox; /* to free; "" for the root */
    bool selectable;
    uint32_t uidvalidity;
    size_t messages, unseen;
    char special_use[32];
    uint64_t quota_used, quota_limit;
};
int account_folder_detail(struct account *a, uint32_t id, struct folder_detail *out);

/* ---- messages (ask.c, messages.c) ---- */

/* Likewise what is known of the folder's messages. With `w` NULL it only sees to it that this is
 * under way. */
int account_sync(struct account *a, uint32_t folder, enum trust trust, int64_t asked,
                 struct waiter *w);

/* Copies up to `max` messages whose place is behind `after` (0: from the first one on) to `out`, in
 * the order of their places, and their number to `n`. That is the order of their UIDs, but for
 * those that came out of order while the folder was loaded; a message's place is its own for good.
 * While the folder is being loaded for the first time and none is there yet, -EINPROGRESS. */
int account_list(struct account *a, uint32_t folder, uint64_t after, struct msg_info *out,
                 size_t max, size_t *n, struct waiter *w);

/* The message with this UID in the folder; -ENOENT. When the folder is not loaded, or the UID is
 * not known, it is looked at first unless what is known can be trusted so far. */
int account_find(struct account *a, uint32_t folder, uint32_t uid, enum trust trust, int64_t asked,
                 struct msg_info *out, struct waiter *w);

/* After an answer for which what is known was good enough: if that can be trusted less than this,
 * the folder is looked at soon, so that who asks again hears what is true. Not when it is not
 * loaded. */
void account_look(struct account *a, uint32_t folder, enum trust trust, int64_t asked);

/* May the layer above believe, from now on for ACCOUNT_PROMISE seconds, that account_hooks.msg_gone
 * tells of every message that goes from the folder, whoever deletes it, or msg_unsure that this is
 * not so any more? Only of folders that are loaded, or just being loaded, and of these of such that
 * the server tells of, and of a few others that are looked at every `poll` seconds as long as that
 * holds. */
bool account_promise(struct account *a, uint32_t folder);

/* A message by its number, as far as is known; follows moves made through this mount. -ESTALE. */
int account_msg(struct account *a, uint32_t gen, uint32_t uid, struct msg_info *out);

/* The message that was moved into `folder` under this name by this mount: its UID there; else 0. */
uint32_t account_alias(struct account *a, uint32_t folder, const char *name);

/* The flags of a message with its keywords, separated by spaces. */
int account_flags(struct account *a, uint32_t gen, uint32_t uid, struct buf *out);

/* ---- bodies (body.c) ---- */

/* Adds the bytes at off..off+len of the message, fewer only at its end, to `out`. `end`: where the
 * message ends if that is before where it was said to end, so that whoever was told may not know;
 * else UINT64_MAX. */
int account_read(struct account *a, uint32_t gen, uint32_t uid, uint64_t off, size_t len,
                 struct slices *out, uint64_t *end, struct waiter *w);

/* `len` bytes given to msg_bytes() were taken up (`stored`: from now on they are found there) or
 * were not wanted. */
void account_stored(struct account *a, uint32_t gen, uint32_t uid, size_t len, bool stored);

/* ---- header fields (header.c) ---- */

/* Those that are kept of a message, all or none. */
#define ACCOUNT_FIELDS "FROM TO SUBJECT DATE MESSAGE-ID"

/* Adds these fields of the message to `out`, as they were received, folds and all. */
int account_header(struct account *a, uint32_t gen, uint32_t uid, struct buf *out,
                   struct waiter *w);

/* ---- changes (change.c, change_folder.c): each returns -EINPROGRESS or -errno ---- */

/* Moves the message into the folder `dest`, where the name the user gave it (NULL: none that could
 * stay) keeps resolving. `name_of`: the UID whose message has that name by itself, or 0: as soon as
 * there is or was such a message, the name is no longer the moved one's. Also 0, when it is there
 * already. */
int account_move(struct account *a, uint32_t gen, uint32_t uid, uint32_t dest, const char *name,
                 uint32_t name_of, struct waiter *w);

/* Deletes the message, or moves it to the trash. */
int account_delete(struct account *a, uint32_t gen, uint32_t uid, struct waiter *w);

/* Changes flags. What the change holds stays the caller's. */
int account_store(struct account *a, uint32_t gen, uint32_t uid, const struct flag_change *change,
                  struct waiter *w);

int account_mkdir(struct account *a, uint32_t parent, const char *name, struct waiter *w);
int account_rmdir(struct account *a, uint32_t folder, struct waiter *w);

/* Makes a mailbox of a level that holds no messages; -EPERM when the server does not. */
int account_make(struct account *a, uint32_t folder, struct waiter *w);
int account_rename(struct account *a, uint32_t folder, uint32_t parent, const char *name,
                   struct waiter *w);

/* Learns the quota of a folder, for account_folder_detail() to tell. */
int account_quota(struct account *a, uint32_t folder, struct waiter *w);

#endif
