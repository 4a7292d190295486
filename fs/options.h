/* The command line, the same from a shell, fstab and mount(8). */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <fuse_opt.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "imap/base/buf.h"
#include "imap/wire/url.h"

struct options {
    char *source;     /* as given */
    char *mountpoint; /* absolute */
    struct url url;
    int help, version, foreground, debug;
    int read_only;
    int nonempty; /* mount over whatever is there */
    char *passfile, *passcmd;
    char *tls;                  /* yes, starttls, no; NULL: as the scheme says */
    char *cafile, *fingerprint; /* fingerprint: hex digits only */
    char *auth, *tunnel;
    char *compress; /* auto, yes, no; NULL: auto */
    char *names;
    bool names_uid;
    char *connections_text, *timeout_text, *poll_text;
    long connections, timeout; /* timeout in seconds */
    char *trash;
    int mark_seen;
    char *cache_text, *prefetch_text;
    size_t cache;
    size_t prefetch;
    long poll;
    char *uid_text, *gid_text, *umask_text;
    bool umask_given;
    mode_t umask;
    long uid, gid; /* -1: the mounting user's */
    int allow_other;
    bool surplus; /* a third argument was given */
};

/* Reads the command line. What is FUSE's own stays in `args`, ready for fuse_session_new(). 0, or
 * -EINVAL with one sentence in `why`. -h and -V set `help` and `version` and check nothing more. */
int options_parse(struct options *o, struct fuse_args *args, struct buf *why);
void options_free(struct options *o);

/* The text for -h. */
extern const char options_usage[];

#endif
