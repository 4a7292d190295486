/* The mounted file system as its files share it: options, inode numbers, attributes. */
#ifndef FS_FS_H
#define FS_FS_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cache/account.h"
#include "fs/options.h"

struct notifier;
struct requests;
struct textfile;
struct store;
struct wishes;
struct reading;

struct fs {
    const struct options *opt;
    struct account *account;
    struct notifier *notifier;
    struct store *store;
    struct reading *reading;
    struct textfile *status, *events; /* in .imapfs */
    bool no_open;                     /* the kernel does without open and release */
    struct requests *requests;
    struct wishes *wishes;
    time_t mounted_at;
    uid_t uid;
    gid_t gid;
};

/* Inode numbers say what they stand for, so no table of them is needed and a forget is nothing:
 * generation << 32 | UID for a message, id << 32 for a folder, small numbers below 1 << 32 for the
 * root and what is hidden. None is used twice while a mount lives. */
enum {
    INO_ROOT = FUSE_ROOT_ID,
    INO_CONTROL = 2, /* .imapfs */
    INO_STATUS = 3,  /* .imapfs/status */
    INO_EVENTS = 4,  /* .imapfs/events */
};

#define CONTROL_NAME ".imapfs"
#define STATUS_NAME  "status"
#define EVENTS_NAME  "events"

enum node_kind { NODE_FOLDER, NODE_MESSAGE, NODE_CONTROL, NODE_STATUS, NODE_EVENTS };

struct node {
    enum node_kind kind;
    uint32_t id;  /* of a folder; the generation of a message */
    uint32_t uid; /* of a message */
};

struct node node_of(fuse_ino_t ino);
fuse_ino_t ino_folder(uint32_t id);
fuse_ino_t ino_message(uint32_t gen, uint32_t uid);

/* Attributes; st_ino is the caller's if it has one already (0: take the natural one). */
void attr_folder(const struct fs *fs, const struct folder_info *f, struct stat *st);
void attr_message(const struct fs *fs, const struct msg_info *m, fuse_ino_t ino, struct stat *st);
void attr_control(struct fs *fs, fuse_ino_t ino, struct stat *st);

/* The attributes of whatever `ino` stands for, as far as is known, to be told to the thread `tid`
 * right afterwards: 0 or -ESTALE. */
int attr_now(struct fs *fs, fuse_ino_t ino, pid_t tid, struct stat *st, double *timeout);

/* For how many seconds the kernel may believe those of a message. */
double attr_timeout(const struct msg_info *m);

/* The name under which the message is listed; returns its length. */
size_t message_name(const struct fs *fs, const struct msg_info *m, char out[static 256]);

/* How long the kernel may believe what it was told, in seconds. Mail does not change under its
 * number, so its attributes stay, unless its size is in doubt: then each read(2) asks for them
 * first. Of two that do so at once, while the size becomes known, the kernel would else let one go
 * on with the old one, since it takes attributes for new before all of them are. Its name stays as
 * long as it is promised that its going will be told (account_promise()). The rest is asked again.
 */
#define TIMEOUT_MESSAGE 86400.0
#define TIMEOUT_NAME    ((double)ACCOUNT_PROMISE)
#define TIMEOUT_FOLDER  1.0
#define TIMEOUT_OTHER   1.0

/* The table for fuse_session_new(). */
extern const struct fuse_lowlevel_ops fs_ops;

#endif
