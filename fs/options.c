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

/* What was typed: `o`, and what becomes numbers in it. */
struct typed {
    struct options o;
    char *names, *connections, *timeout, *poll, *cache, *prefetch, *uid, *gid, *umask;
    bool surplus; /* a third argument was given */
};

#define OPT(t, f)                                                                                  \
    {                                                                                              \
        t, offsetof(struct typed, f), 1                                                            \
    }
#define VALUE(t, f)                                                                                \
    {                                                                                              \
        t, offsetof(struct typed, f), 0                                                            \
    }

static const struct fuse_opt table[] = {
    OPT("-h", o.help),
    OPT("--help", o.help),
    OPT("-V", o.version),
    OPT("--version", o.version),
    OPT("-f", o.foreground),
    OPT("-d", o.debug),
    OPT("debug", o.debug),
    OPT("nonempty", o.nonempty),
    OPT("mark_seen", o.mark_seen),
    VALUE("passfile=%s", o.passfile),
    VALUE("passcmd=%s", o.passcmd),
    VALUE("tls=%s", o.tls.mode),
    VALUE("cafile=%s", o.tls.cafile),
    VALUE("fingerprint=%s", o.tls.fingerprint),
    VALUE("auth=%s", o.auth),
    VALUE("tunnel=%s", o.tunnel),
    VALUE("compress=%s", o.compress),
    VALUE("names=%s", names),
    VALUE("connections=%s", connections),
    VALUE("poll=%s", poll),
    VALUE("timeout=%s", timeout),
    VALUE("trash=%s", o.trash),
    VALUE("cache=%s", cache),
    VALUE("prefetch=%s", prefetch),
    VALUE("uid=%s", uid),
    VALUE("gid=%s", gid),
    VALUE("umask=%s", umask),
    /* Seen here, and left for libfuse to see. */
    OPT("ro", o.read_only),
    FUSE_OPT_KEY("ro", FUSE_OPT_KEY_KEEP),
    OPT("allow_other", o.allow_other),
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
    struct typed *typed = data;
    struct options *o = &typed->o;
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
    typed->surplus = true;
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

static int check_values(struct typed *typed, struct buf *why)
{
    struct options *o = &typed->o;
    long n;
    if (typed->connections && parse_number(typed->connections, 10, 20, &o->connections) != 0)
        o->connections = 0;
    if (typed->timeout && parse_number(typed->timeout, 10, 3600, &o->timeout) != 0)
        o->timeout = 0;
    if (typed->poll && parse_number(typed->poll, 10, 86400, &o->poll) != 0)
        return bad(why, "poll= is a number of seconds, 0 for never");
    if (o->connections < 1)
        return bad(why, "connections= is a number from 1 to 20");
    if (o->timeout < 1)
        return bad(why, "timeout= is a number of seconds from 1 to 3600");
    if (typed->names && strcmp(typed->names, "uid") != 0 && strcmp(typed->names, "pretty") != 0)
        return bad(why, "names= is pretty or uid");
    o->names_uid = typed->names && strcmp(typed->names, "uid") == 0;
    if (o->compress && !is_compress(o->compress))
        return bad(why, "compress= is auto, yes or no");
    if (typed->cache && parse_size(typed->cache, &o->cache) != 0)
        return bad(why, "cache= is a size such as 32M");
    if (typed->prefetch && parse_size(typed->prefetch, &o->prefetch) != 0)
        return bad(why, "prefetch= is a size such as 8M");
    if (o->cache < 2 * LIMIT_WINDOW)
        o->cache = 2 * LIMIT_WINDOW; /* less would evict what is being read */
    if (o->passfile && o->passcmd)
        return bad(why, "passfile= and passcmd= exclude each other");
    const struct passwd *pw = typed->uid ? getpwnam(typed->uid) : NULL;
    const struct group *gr = typed->gid ? getgrnam(typed->gid) : NULL;
    if (pw)
        o->attr.uid = pw->pw_uid;
    else if (typed->uid && parse_number(typed->uid, 10, UINT_MAX - 1, &o->attr.uid) != 0)
        return bad(why, "uid= is a user's name or number");
    if (gr)
        o->attr.gid = gr->gr_gid;
    else if (typed->gid && parse_number(typed->gid, 10, UINT_MAX - 1, &o->attr.gid) != 0)
        return bad(why, "gid= is a group's name or number");
    if (typed->umask) {
        if (parse_number(typed->umask, 8, 0777, &n) != 0)
            return bad(why, "umask= is an octal number");
        o->attr.umask = (mode_t)n;
        o->attr.umask_given = true;
    }
    for (char *p = o->auth; p && *p; p++)
        *p = (char)toupper((unsigned char)*p);
    if (o->trash && !*o->trash)
        return bad(why, "trash= is no, auto or the path of a mailbox");
    if (o->tls.fingerprint) {
        if (strncasecmp(o->tls.fingerprint, "sha256:", 7) != 0)
            return bad(why, "fingerprint= begins with sha256:");
        memmove(o->tls.fingerprint, o->tls.fingerprint + 7, strlen(o->tls.fingerprint + 7) + 1);
    }
    return 0;
}

static int check_tls(struct options *o, struct buf *why)
{
    if (!o->tls.mode)
        return 0;
    if (strcmp(o->tls.mode, "no") == 0 && o->url.tls)
        return bad(why, "tls=no goes with imap://, not with imaps://");
    if (strcmp(o->tls.mode, "no") == 0)
        return 0;
    if (strcmp(o->tls.mode, "yes") == 0)
        return 0;
    if (strcmp(o->tls.mode, "starttls") == 0)
        return o->url.tls ? bad(why, "tls=starttls goes with imap://, not with imaps://") : 0;
    return bad(why, "tls= is yes, starttls or no");
}

static int parse(struct typed *typed, struct fuse_args *args, struct buf *why)
{
    struct options *o = &typed->o;
    if (fuse_opt_parse(args, typed, table, on_argument) != 0)
        return bad(why, "the command line cannot be understood (try imapfs -h)");
    if (o->help || o->version)
        return 0;
    if (o->debug)
        o->foreground = 1;
    if (typed->surplus)
        return bad(why, "one argument too many: usage is imapfs [OPTIONS] SOURCE MOUNTPOINT");
    if (!o->source || !o->mountpoint)
        return bad(why, "usage: imapfs [OPTIONS] SOURCE MOUNTPOINT (try imapfs -h)");
    int err = url_parse(o->source, &o->url, why);
    if (!err)
        err = check_values(typed, why);
    return err ? err : check_tls(o, why);
}

static void free_all(char *const *strings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(strings[i]);
}

int options_parse(struct options *o, struct fuse_args *args, struct buf *why)
{
    struct typed typed = {.o = {.connections = 4,
                                .timeout = 30,
                                .cache = 32u << 20,
                                .prefetch = 8u << 20,
                                .poll = 60,
                                .attr = {.uid = -1, .gid = -1}}};
    int err = parse(&typed, args, why);
    char *texts[] = {typed.names,    typed.connections, typed.timeout, typed.poll, typed.cache,
                     typed.prefetch, typed.uid,         typed.gid,     typed.umask};
    free_all(texts, sizeof texts / sizeof *texts);
    *o = typed.o;
    return err;
}

void options_free(struct options *o)
{
    char *strings[] = {o->source,   o->mountpoint, o->passfile,        o->passcmd,
                       o->tls.mode, o->tls.cafile, o->tls.fingerprint, o->auth,
                       o->tunnel,   o->trash,      o->compress};
    free_all(strings, sizeof strings / sizeof *strings);
    url_free(&o->url);
}
