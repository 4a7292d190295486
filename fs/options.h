/* The command line, the same from a shell, fstab and mount(8). */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <fuse_opt.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "imap/base/buf.h"
#include "imap/wire/url.h"

/* How TLS is done. */
struct tls_options {
    char *mode;                 /* yes, starttls, no; NULL: as the scheme says */
    char *cafile, *fingerprint; /* fingerprint: hex digits only */
};

/* What stat(2) says of every file. */
struct attr_options {
    long uid, gid; /* -1: the mounting user's */
    long umask;    /* -1: none was given */
};

struct options {
    char *source;     /* as given */
    char *mountpoint; /* absolute */
    struct url url;
    int help, version, foreground, debug;
    int read_only;
    int nonempty; /* mount over whatever is there */
    int allow_other;
    char *passfile, *passcmd;
    struct tls_options tls;
    char *auth, *tunnel;
    char *compress; /* auto, yes, no; NULL: auto */
    bool names_uid;
    long connections, timeout; /* timeout in seconds */
    char *trash;
    int mark_seen;
    size_t cache, prefetch; /* bytes */
    long poll;              /* seconds */
    struct attr_options attr;
};

/* Reads the command line. What is FUSE's own stays in `args`, ready for fuse_session_new(). 0, or
 * -EINVAL with one sentence in `why`. -h and -V set `help` and `version` and check nothing more. */
int options_parse(struct options *o, struct fuse_args *args, struct buf *why);
void options_free(struct options *o);

/* Appends the text for -h. */
void options_usage(struct buf *out);

#endif
