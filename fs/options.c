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

/* ---- what a value becomes ---- */

/* Reads `text` into the field at `at`. 0, or -EINVAL: then it is not what option.is says. */
struct option;
typedef int reader(const struct option *option, const char *text, void *at);

struct option {
    const char *name;  /* without -o; a name that takes a value ends in '=' */
    reader *read;      /* NULL: it takes no value, and the field is an int that becomes 1 */
    size_t at;         /* the field's place in struct options */
    const char *is;    /* what its value is, for errors */
    const char *shown; /* as the help has it; NULL: it is not there */
    const char *help;
    long min, max; /* of a number */
    bool keep;     /* libfuse is to see it, too */
};

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

static int read_text(const struct option *option, const char *text, void *at)
{
    char **field = at;
    (void)option;
    free(*field);
    *field = mem_strdup(text);
    return 0;
}

static int read_some_text(const struct option *option, const char *text, void *at)
{
    return *text ? read_text(option, text, at) : -EINVAL;
}

static int read_number(const struct option *option, const char *text, void *at)
{
    long n = 0;
    int err = parse_number(text, 10, option->max, &n);
    if (err || n < option->min)
        return -EINVAL;
    *(long *)at = n;
    return 0;
}

static int read_size(const struct option *option, const char *text, void *at)
{
    (void)option;
    return parse_size(text, at);
}

static int read_octal(const struct option *option, const char *text, void *at)
{
    return parse_number(text, 8, option->max, at);
}

static int read_user(const struct option *option, const char *text, void *at)
{
    const struct passwd *pw = getpwnam(text);
    if (!pw)
        return parse_number(text, 10, option->max, at);
    *(long *)at = pw->pw_uid;
    return 0;
}

static int read_group(const struct option *option, const char *text, void *at)
{
    const struct group *gr = getgrnam(text);
    if (!gr)
        return parse_number(text, 10, option->max, at);
    *(long *)at = gr->gr_gid;
    return 0;
}

static int read_names(const struct option *option, const char *text, void *at)
{
    (void)option;
    *(bool *)at = strcmp(text, "uid") == 0;
    return *(bool *)at || strcmp(text, "pretty") == 0 ? 0 : -EINVAL;
}

static int read_compress(const struct option *option, const char *text, void *at)
{
    bool known = strcmp(text, "auto") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "no") == 0;
    return known ? read_text(option, text, at) : -EINVAL;
}

static int read_tls(const struct option *option, const char *text, void *at)
{
    bool known =
        strcmp(text, "yes") == 0 || strcmp(text, "starttls") == 0 || strcmp(text, "no") == 0;
    return known ? read_text(option, text, at) : -EINVAL;
}

static int read_mechanism(const struct option *option, const char *text, void *at)
{
    read_text(option, text, at);
    for (char *p = *(char **)at; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return 0;
}

static int read_fingerprint(const struct option *option, const char *text, void *at)
{
    return strncasecmp(text, "sha256:", 7) == 0 ? read_text(option, text + 7, at) : -EINVAL;
}

/* ---- the options ---- */

#define AT(field) offsetof(struct options, field)

static const struct option options[] = {
    {.name = "-f", .at = AT(foreground), .shown = "-f", .help = "stay in the foreground"},
    {.name = "-d",
     .at = AT(debug),
     .shown = "-d",
     .help = "show each command and answer (implies -f)"},
    {.name = "debug", .at = AT(debug)},
    {.name = "-V", .at = AT(version), .shown = "-V", .help = "print the version"},
    {.name = "--version", .at = AT(version)},
    {.name = "-h", .at = AT(help), .shown = "-h", .help = "print this help"},
    {.name = "--help", .at = AT(help)},
    {.name = "ro",
     .at = AT(read_only),
     .keep = true,
     .shown = "-o ro",
     .help = "change nothing on the server"},
    {.name = "passfile=",
     .read = read_text,
     .at = AT(passfile),
     .shown = "-o passfile=FILE",
     .help = "the password is the first line of FILE"},
    {.name = "passcmd=",
     .read = read_text,
     .at = AT(passcmd),
     .shown = "-o passcmd=COMMAND",
     .help = "... the first line that COMMAND prints\n"
             "                          (else: ~/.netrc, else the terminal)"},
    {.name = "tls=",
     .read = read_tls,
     .at = AT(tls.mode),
     .is = "yes, starttls or no",
     .shown = "-o tls=yes|starttls|no"},
    {.name = "cafile=",
     .read = read_text,
     .at = AT(tls.cafile),
     .shown = "-o cafile=FILE",
     .help = "certificate authorities to trust, PEM"},
    {.name = "fingerprint=",
     .read = read_fingerprint,
     .at = AT(tls.fingerprint),
     .is = "a hash that begins with sha256:",
     .shown = "-o fingerprint=sha256:HEX",
     .help = "trust this server certificate only"},
    {.name = "auth=",
     .read = read_mechanism,
     .at = AT(auth),
     .shown = "-o auth=MECHANISM",
     .help = "SASL mechanism, or LOGIN"},
    {.name = "tunnel=",
     .read = read_text,
     .at = AT(tunnel),
     .shown = "-o tunnel=COMMAND",
     .help = "speak IMAP with COMMAND instead of a socket"},
    {.name = "compress=",
     .read = read_compress,
     .at = AT(compress),
     .is = "auto, yes or no",
     .shown = "-o compress=auto|yes|no",
     .help = "compress what travels (auto: not on this machine)"},
    {.name = "names=",
     .read = read_names,
     .at = AT(names_uid),
     .is = "pretty or uid",
     .shown = "-o names=pretty|uid",
     .help = "how message files are called"},
    {.name = "connections=",
     .read = read_number,
     .at = AT(connections),
     .min = 1,
     .max = 20,
     .is = "a number from 1 to 20",
     .shown = "-o connections=N",
     .help = "at most (4)"},
    {.name = "poll=",
     .read = read_number,
     .at = AT(poll),
     .max = 86400,
     .is = "a number of seconds, 0 for never",
     .shown = "-o poll=SECONDS",
     .help = "look after folders whose changes nobody tells (60); 0: never"},
    {.name = "timeout=",
     .read = read_number,
     .at = AT(timeout),
     .min = 1,
     .max = 3600,
     .is = "a number of seconds from 1 to 3600",
     .shown = "-o timeout=SECONDS",
     .help = "give up when nothing moves (30)"},
    {.name = "trash=",
     .read = read_some_text,
     .at = AT(trash),
     .is = "no, auto or the path of a mailbox",
     .shown = "-o trash=no|auto|MAILBOX",
     .help = "where deleted mail goes (no: it is deleted)"},
    {.name = "nonempty",
     .at = AT(nonempty),
     .shown = "-o nonempty",
     .help = "mount over a directory in which there is something"},
    {.name = "mark_seen",
     .at = AT(mark_seen),
     .shown = "-o mark_seen",
     .help = "reading a message marks it as read"},
    {.name = "cache=",
     .read = read_size,
     .at = AT(cache),
     .is = "a size such as 32M",
     .shown = "-o cache=SIZE",
     .help = "memory for message bodies (32M)"},
    {.name = "prefetch=",
     .read = read_size,
     .at = AT(prefetch),
     .is = "a size such as 8M",
     .shown = "-o prefetch=SIZE",
     .help = "at most so much is fetched before it is read (8M); 0: nothing"},
    {.name = "uid=",
     .read = read_user,
     .at = AT(attr.uid),
     .max = UINT_MAX - 1,
     .is = "a user's name or number"},
    {.name = "gid=",
     .read = read_group,
     .at = AT(attr.gid),
     .max = UINT_MAX - 1,
     .is = "a group's name or number"},
    {.name = "umask=",
     .read = read_octal,
     .at = AT(attr.umask),
     .max = 0777,
     .is = "an octal number"},
    {.name = "allow_other", .at = AT(allow_other), .keep = true},
};

enum { OPTIONS = sizeof options / sizeof *options };

/* What fstab and mount(8) say to others. */
static const char *const ignored[] = {
    "auto",        "noauto",     "user",     "users",    "nouser",      "owner",
    "_netdev",     "nofail",     "defaults", "comment=", "relatime",    "norelatime",
    "strictatime", "nodiratime", "diratime", "lazytime", "nosymfollow",
};

enum { IGNORED = sizeof ignored / sizeof *ignored };

void options_usage(struct buf *out)
{
    buf_adds(out, "usage: imapfs [OPTIONS] SOURCE MOUNTPOINT\n"
                  "\n"
                  "SOURCE\n"
                  "    imaps://[USER@]HOST[:PORT][/MAILBOX]   TLS from the first byte, port 993\n"
                  "    imap://[USER@]HOST[:PORT][/MAILBOX]    STARTTLS, required, port 143\n"
                  "\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *option = &options[i];
        if (option->shown && option->help)
            buf_addf(out, "    %-*s %s\n", strlen(option->shown) > 21 ? 27 : 21, option->shown,
                     option->help);
        else if (option->shown)
            buf_addf(out, "    %s\n", option->shown);
    }
    buf_adds(out, "    and FUSE's own (allow_other, uid=, gid=, umask=, ...)\n");
}

/* ---- the command line ---- */

/* What was typed: the values that are still text, each in its option's place. */
struct typed {
    struct options *o;
    char *values[OPTIONS];
    bool surplus; /* a third argument was given */
};

static void take(struct typed *typed, const struct option *option, const char *arg)
{
    char **value = &typed->values[option - options];
    if (!option->read) {
        *(int *)((char *)typed->o + option->at) = 1;
        return;
    }
    free(*value); /* the last one holds */
    *value = mem_strdup(arg + strlen(option->name));
}

/* Keys from 0 on are options; behind them come those that are ignored. */
static int on_argument(void *data, const char *arg, int key, struct fuse_args *rest)
{
    struct typed *typed = data;
    struct options *o = typed->o;
    (void)rest;
    if (key >= OPTIONS)
        return 0;
    if (key >= 0) {
        take(typed, &options[key], arg);
        return options[key].keep;
    }
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

static int bad(struct buf *why, const char *what)
{
    buf_adds(why, what);
    return -EINVAL;
}

static int read_values(struct typed *typed, struct buf *why)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *option = &options[i];
        if (!typed->values[i] ||
            option->read(option, typed->values[i], (char *)typed->o + option->at) == 0)
            continue;
        buf_addf(why, "%s is %s", option->name, option->is);
        return -EINVAL;
    }
    return 0;
}

static int check(struct options *o, struct buf *why)
{
    if (o->cache < 2 * LIMIT_WINDOW)
        o->cache = 2 * LIMIT_WINDOW; /* less would evict what is being read */
    if (o->passfile && o->passcmd)
        return bad(why, "passfile= and passcmd= exclude each other");
    if (o->tls.mode && o->url.tls && strcmp(o->tls.mode, "no") == 0)
        return bad(why, "tls=no goes with imap://, not with imaps://");
    if (o->tls.mode && o->url.tls && strcmp(o->tls.mode, "starttls") == 0)
        return bad(why, "tls=starttls goes with imap://, not with imaps://");
    return 0;
}

static int parse(struct typed *typed, struct fuse_args *args, struct buf *why)
{
    struct options *o = typed->o;
    struct fuse_opt table[OPTIONS + IGNORED + 1] = {0};
    for (int i = 0; i < OPTIONS + IGNORED; i++)
        table[i] =
            (struct fuse_opt)FUSE_OPT_KEY(i < OPTIONS ? options[i].name : ignored[i - OPTIONS], i);
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
        err = read_values(typed, why);
    return err ? err : check(o, why);
}

int options_parse(struct options *o, struct fuse_args *args, struct buf *why)
{
    *o = (struct options){.connections = 4,
                          .timeout = 30,
                          .cache = 32u << 20,
                          .prefetch = 8u << 20,
                          .poll = 60,
                          .attr = {.uid = -1, .gid = -1, .umask = -1}};
    struct typed typed = {.o = o};
    int err = parse(&typed, args, why);
    for (size_t i = 0; i < OPTIONS; i++)
        free(typed.values[i]);
    return err;
}

void options_free(struct options *o)
{
    char *strings[] = {o->source,   o->mountpoint, o->passfile,        o->passcmd,
                       o->tls.mode, o->tls.cafile, o->tls.fingerprint, o->auth,
                       o->tunnel,   o->trash,      o->compress};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free(strings[i]);
    url_free(&o->url);
}
