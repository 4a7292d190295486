#include "fs/options.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

const char options_usage[] =
    "usage: imapfs [OPTIONS] SOURCE MOUNTPOINT\n"
    "\n"
    "SOURCE\n"
    "    imaps://[USER@]HOST[:PORT][/MAILBOX]   TLS from the first byte, port 993\n"
    "    imap://[USER@]HOST[:PORT][/MAILBOX]    STARTTLS, required, port 143\n"
    "\n"
    "    -f                    stay in the foreground\n"
    "    -d                    show each command and answer (implies -f)\n"
    "    -V                    print the version\n"
    "    -h                    print this help\n"
    "    -o ro                 change nothing on the server\n"
    "    -o passfile=FILE      the password is the first line of FILE\n"
    "    -o passcmd=COMMAND    ... the first line that COMMAND prints\n"
    "                          (else: ~/.netrc, else the terminal)\n"
    "    -o tls=yes|starttls|no\n"
    "    -o cafile=FILE        certificate authorities to trust, PEM\n"
    "    -o fingerprint=sha256:HEX   trust this server certificate only\n"
    "    -o auth=MECHANISM     SASL mechanism, or LOGIN\n"
    "    -o tunnel=COMMAND     speak IMAP with COMMAND instead of a socket\n"
    "    -o compress=auto|yes|no     compress what travels (auto: not on this machine)\n"
    "    -o names=pretty|uid   how message files are called\n"
    "    -o connections=N      at most (4)\n"
    "    -o poll=SECONDS       look after folders whose changes nobody tells (60); 0: never\n"
    "    -o timeout=SECONDS    give up when nothing moves (30)\n"
    "    -o trash=no|auto|MAILBOX    where deleted mail goes (no: it is deleted)\n"
    "    -o nonempty           mount over a directory in which there is something\n"
    "    -o mark_seen          reading a message marks it as read\n"
    "    -o cache=SIZE         memory for message bodies (32M)\n"
    "    -o prefetch=SIZE      at most so much is fetched before it is read (8M); 0: nothing\n"
    "    and FUSE's own (allow_other, uid=, gid=, umask=, ...)\n";

enum { KEY_IGNORE, KEY_FOREGROUND };

#define OPT(t, f)                                                                                  \
    {                                                                                              \
        t, offsetof(struct options, f), 1                                                          \
    }
#define VALUE(t, f)                                                                                \
    {                                                                                              \
        t, offsetof(struct options, f), 0                                                          \
    }

static const struct fuse_opt table[] = {
    OPT("-h", help),
    OPT("--help", help),
    OPT("-V", version),
    OPT("--version", version),
    OPT("-f", foreground),
    OPT("-d", debug),
    OPT("debug", debug),
    OPT("nonempty", nonempty),
    OPT("mark_seen", mark_seen),
    VALUE("passfile=%s", passfile),
    VALUE("passcmd=%s", passcmd),
    VALUE("tls=%s", tls),
    VALUE("cafile=%s", cafile),
    VALUE("fingerprint=%s", fingerprint),
    VALUE("auth=%s", auth),
    VALUE("tunnel=%s", tunnel),
    VALUE("compress=%s", compress),
    VALUE("names=%s", names),
    VALUE("connections=%s", connections_text),
    VALUE("poll=%s", poll_text),
    VALUE("timeout=%s", timeout_text),
    VALUE("trash=%s", trash),
    VALUE("cache=%s", cache_text),
    VALUE("prefetch=%s", prefetch_text),
    VALUE("uid=%s", uid_text),
    VALUE("gid=%s", gid_text),
    VALUE("umask=%s", umask_text),
    /* Seen here, and left for libfuse to see. */
    OPT("ro", read_only),
    FUSE_OPT_KEY("ro", FUSE_OPT_KEY_KEEP),
    OPT("allow_other", allow_other),
    FUSE_OPT_KEY("allow_other", FUSE_OPT_KEY_KEEP),
    /* What fstab and mount(8) say to others. */
    FUSE_OPT_KEY("auto", KEY_IGNORE),
    FUSE_OPT_KEY("noauto", KEY_IGNORE),
    FUSE_OPT_KEY("user", KEY_IGNORE),
    FUSE_OPT_KEY("users", KEY_IGNORE),
    FUSE_OPT_KEY("nouser", KEY_IGNORE),
    FUSE_OPT_KEY("owner", KEY_IGNORE),
    FUSE_OPT_KEY("_netdev", KEY_IGNORE),
    FUSE_OPT_KEY("nofail", KEY_IGNORE),
    FUSE_OPT_KEY("defaults", KEY_IGNORE),
    FUSE_OPT_KEY("comment=", KEY_IGNORE),
    FUSE_OPT_KEY("relatime", KEY_IGNORE),
    FUSE_OPT_KEY("norelatime", KEY_IGNORE),
    FUSE_OPT_KEY("strictatime", KEY_IGNORE),
    FUSE_OPT_KEY("nodiratime", KEY_IGNORE),
    FUSE_OPT_KEY("diratime", KEY_IGNORE),
    FUSE_OPT_KEY("lazytime", KEY_IGNORE),
    FUSE_OPT_KEY("nosymfollow", KEY_IGNORE),
    FUSE_OPT_END,
};

static int on_argument(void *data, const char *arg, int key, struct fuse_args *rest)
{
    struct options *o = data;
    (void)rest;
    if (key == KEY_IGNORE)
        return 0;
    if (key == FUSE_OPT_KEY_OPT && (strncmp(arg, "x-", 2) == 0 || strncmp(arg, "X-", 2) == 0)) {
        /* For programs that read them in a table which mount(8) alone writes. */
        log_info("%s has no effect here: give it to mount(8), or in fstab", arg);
        return 0;
    }
    if (key != FUSE_OPT_KEY_NONOPT)
        return 1;
    if (!o->source) {
        o->source = mem_strdup(arg);
        return 0;
    }
    if (!o->mountpoint) {
        o->mountpoint = mem_strdup(arg);
        return 0;
    }
    o->surplus = true;
    return 0;
}

static int parse_size(const char *text, size_t *out)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (end == text || *text == '-' || errno)
        return -EINVAL;
    switch (*end) {
    case 'k':
    case 'K':
        shift = 10;
        end++;
        break;
    case 'm':
    case 'M':
        shift = 20;
        end++;
        break;
    case 'g':
    case 'G':
        shift = 30;
        end++;
        break;
    }
    if (*end || n > SIZE_MAX >> shift)
        return -EINVAL;
    *out = (size_t)n << shift;
    return 0;
}

static int parse_number(const char *text, int base, long max, long *out)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, base);
    if (end == text || *end || errno || n < 0 || n > max)
        return -EINVAL;
    *out = n;
    return 0;
}

static int bad(struct buf *why, const char *what)
{
    buf_adds(why, what);
    return -EINVAL;
}

static bool is_compress(const char *text)
{
    return strcmp(text, "auto") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "no") == 0;
}

static int check_values(struct options *o, struct buf *why)
{
    long n;
    if (o->connections_text && parse_number(o->connections_text, 10, 20, &o->connections) != 0)
        o->connections = 0;
    if (o->timeout_text && parse_number(o->timeout_text, 10, 3600, &o->timeout) != 0)
        o->timeout = 0;
    if (o->poll_text && parse_number(o->poll_text, 10, 86400, &o->poll) != 0)
        return bad(why, "poll= is a number of seconds, 0 for never");
    if (o->connections < 1)
        return bad(why, "connections= is a number from 1 to 20");
    if (o->timeout < 1)
        return bad(why, "timeout= is a number of seconds from 1 to 3600");
    if (o->names && strcmp(o->names, "uid") != 0 && strcmp(o->names, "pretty") != 0)
        return bad(why, "names= is pretty or uid");
    o->names_uid = o->names && strcmp(o->names, "uid") == 0;
    if (o->compress && !is_compress(o->compress))
        return bad(why, "compress= is auto, yes or no");
    if (o->cache_text && parse_size(o->cache_text, &o->cache) != 0)
        return bad(why, "cache= is a size such as 32M");
    if (o->prefetch_text && parse_size(o->prefetch_text, &o->prefetch) != 0)
        return bad(why, "prefetch= is a size such as 8M");
    if (o->cache < 2 * LIMIT_WINDOW)
        o->cache = 2 * LIMIT_WINDOW; /* less would evict what is being read */
    if (o->passfile && o->passcmd)
        return bad(why, "passfile= and passcmd= exclude each other");
    const struct passwd *pw = o->uid_text ? getpwnam(o->uid_text) : NULL;
    const struct group *gr = o->gid_text ? getgrnam(o->gid_text) : NULL;
    if (pw)
        o->uid = pw->pw_uid;
    else if (o->uid_text && parse_number(o->uid_text, 10, UINT_MAX - 1, &o->uid) != 0)
        return bad(why, "uid= is a user's name or number");
    if (gr)
        o->gid = gr->gr_gid;
    else if (o->gid_text && parse_number(o->gid_text, 10, UINT_MAX - 1, &o->gid) != 0)
        return bad(why, "gid= is a group's name or number");
    if (o->umask_text) {
        if (parse_number(o->umask_text, 8, 0777, &n) != 0)
            return bad(why, "umask= is an octal number");
        o->umask = (mode_t)n;
        o->umask_given = true;
    }
    for (char *p = o->auth; p && *p; p++)
        *p = (char)toupper((unsigned char)*p);
    if (o->trash && !*o->trash)
        return bad(why, "trash= is no, auto or the path of a mailbox");
    if (o->fingerprint) {
        if (strncasecmp(o->fingerprint, "sha256:", 7) != 0)
            return bad(why, "fingerprint= begins with sha256:");
        memmove(o->fingerprint, o->fingerprint + 7, strlen(o->fingerprint + 7) + 1);
    }
    return 0;
}

static int check_tls(struct options *o, struct buf *why)
{
    if (!o->tls)
        return 0;
    if (strcmp(o->tls, "no") == 0 && o->url.tls)
        return bad(why, "tls=no goes with imap://, not with imaps://");
    if (strcmp(o->tls, "no") == 0)
        return 0;
    if (strcmp(o->tls, "yes") == 0)
        return 0;
    if (strcmp(o->tls, "starttls") == 0)
        return o->url.tls ? bad(why, "tls=starttls goes with imap://, not with imaps://") : 0;
    return bad(why, "tls= is yes, starttls or no");
}

int options_parse(struct options *o, struct fuse_args *args, struct buf *why)
{
    *o = (struct options){.connections = 4,
                          .timeout = 30,
                          .cache = 32u << 20,
                          .prefetch = 8u << 20,
                          .poll = 60,
                          .uid = -1,
                          .gid = -1};
    if (fuse_opt_parse(args, o, table, on_argument) != 0)
        return bad(why, "the command line cannot be understood (try imapfs -h)");
    if (o->help || o->version)
        return 0;
    if (o->debug)
        o->foreground = 1;
    if (o->surplus)
        return bad(why, "one argument too many: usage is imapfs [OPTIONS] SOURCE MOUNTPOINT");
    if (!o->source || !o->mountpoint)
        return bad(why, "usage: imapfs [OPTIONS] SOURCE MOUNTPOINT (try imapfs -h)");
    int err = url_parse(o->source, &o->url, why);
    if (!err)
        err = check_values(o, why);
    return err ? err : check_tls(o, why);
}

void options_free(struct options *o)
{
    char *strings[] = {
        o->source,     o->mountpoint,       o->passfile,      o->passcmd,  o->tls,
        o->cafile,     o->fingerprint,      o->auth,          o->tunnel,   o->names,
        o->trash,      o->cache_text,       o->prefetch_text, o->uid_text, o->gid_text,
        o->umask_text, o->connections_text, o->timeout_text,  o->compress, o->poll_text};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free(strings[i]);
    url_free(&o->url);
}
