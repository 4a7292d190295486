/* A mount as the files of this folder share it. */
#ifndef FS_FS_H
#define FS_FS_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/account.h"
#include "fs/node.h"
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

#endif
