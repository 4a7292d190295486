/* A whole session: whatever a server says from its greeting on, to a pool with one connection and
 * to the operations that are asked of it.
 *
 * The real pool and the real connection run on this one thread, over a stream that is none: what
 * the server says is the input, time passes only where somebody waits, and chance always says the
 * same. So each input takes some hundred microseconds and always does the same. The linker has the
 * calls that would wait, start threads or ask for chance come here (see SESSION_WRAP in the
 * Makefile).
 *
 * An input: how the session is to be (enum how), the number of operations, a byte for each (enum
 * asked), and then what the server says, in which these bytes stand for something: */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/owner.h"
#include "imap/conn/stream.h"
#include "imap/pool/pool_state.h"
#include "imap/wire/fetch.h"

enum {
    SAY_QUIET = 0, /* nothing, for as long as the client waits */
    SAY_END = 1,   /* the connection ends; what follows is for the next one */
    SAY_TAG = 2,   /* the tag of the first command that was not answered yet */
    SAY_MUCH = 3,  /* with n in the byte behind it: n + 1 times 4 KiB of letters */
};

enum how {
    HOW_TLS = 0x03, /* enum tls_mode */
    HOW_READ_ONLY = 0x04,
    HOW_COMPRESS = 0x08,
    HOW_LOGIN = 0x10,
    HOW_SPLIT = 0x20, /* seven bytes at a time */
    HOW_TUNNEL = 0x40,
};

enum asked {
    ASKED_KIND = 0x1f,  /* enum op_kind */
    ASKED_OTHER = 0x20, /* of the other mailbox, with other numbers */
    ASKED_THIRD = 0x40,
    ASKED_AFTER = 0x80, /* once those before are done */
};

enum { MAX_OPS = 16, MAX_TAGS = 64, MAX_POLLS = 3000, WINDOW = 2 * 1024 * 1024 };

static struct {
    /* What is asked. */
    const uint8_t *ops; /* what is yet to be asked */
    unsigned nops;      /* how many those are */
    unsigned open;      /* how many are under way */
    unsigned done;
    /* What the client said. */
    char line[24]; /* the beginning of its line */
    size_t line_len;
    unsigned tags[MAX_TAGS]; /* of commands that were not answered yet */
    unsigned ntags;
    /* What the server says. */
    const uint8_t *at, *end; /* what it has yet to say */
    size_t much;             /* letters of SAY_MUCH still to be said */
    bool line_ended;
    bool in_answer; /* its line began with a tag, or is the greeting */
    bool answered;  /* such a line has ended, and the client is to send a command first */
    bool plus;      /* its line began with "+" */
    bool go_on;     /* such a line has ended, and the client is to say more first */
    /* The rest. */
    unsigned how;
    unsigned waited; /* how often the client waited since anything was said */
    unsigned polls;
    int64_t now; /* ms */
    struct pool *pool;
} now;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what waits, asks for chance or starts threads ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier): the names are those that --wrap makes. */
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
ssize_t __wrap_getrandom(void *data, size_t len, unsigned flags);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_timedjoin_np(pthread_t t, void **result, const struct timespec *until);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
void __wrap_syslog(int priority, const char *fmt, ...);
void __wrap___syslog_chk(int priority, int flag, const char *fmt, ...);
/* NOLINTEND(bugprone-reserved-identifier) */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    if (!now.pool)
        return __real_clock_gettime(clock, ts);
    *ts = (struct timespec){now.now / 1000, now.now % 1000 * 1000000};
    return 0;
}

ssize_t __wrap_getrandom(void *data, size_t len, unsigned flags)
{
    (void)flags;
    memset(data, 0x7f, len);
    return (ssize_t)len;
}

/* The connection's thread is this one, and pool_open() returns when the session is over. */
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
    if (f == conn_main) {
        now.pool = ((struct conn *)arg)->pool;
        conn_main(arg);
        return 0;
    }
    return now.pool ? EAGAIN : __real_pthread_create(t, a, f, arg);
}

int __wrap_pthread_timedjoin_np(pthread_t t, void **result, const struct timespec *until)
{
    (void)t;
    (void)result;
    (void)until;
    return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    (void)how;
    (void)set;
    (void)old;
    return 0;
}

void __wrap_syslog(int priority, const char *fmt, ...)
{
    (void)priority;
    (void)fmt;
}

void __wrap___syslog_chk(int priority, int flag, const char *fmt, ...)
{
    (void)priority;
    (void)flag;
    (void)fmt;
}

static void stop(void)
{
    struct pool *p = now.pool;
    uint64_t one = 1;
    pthread_mutex_lock(&p->lock);
    pool_become_locked(p, LIFE_STOPPING);
    pthread_mutex_unlock(&p->lock);
    assert(write(p->stop, &one, sizeof one) == sizeof one);
}

/* ---- operations ---- */

/* Keeps no list: one of eight names counts as one that was named before. */
static bool on_list(struct op_list *op, struct str name, char delim, const struct arg *attrs)
{
    (void)attrs;
    (void)delim;
    assert(op->op.kind == OP_LIST && (name.p || !name.n));
    return name.n % 8 != 7;
}

static void on_body(struct op_body *op, size_t at, struct blob *bytes)
{
    assert(op->op.kind == OP_BODY && at <= op->len);
    blob_unref(bytes);
}

static void on_bodies(struct op_bodies *op, uint32_t uid, struct blob *bytes)
{
    assert(op->op.kind == OP_BODIES && uid);
    blob_unref(bytes);
}

static void on_header(struct op_header *op, uint32_t uid, struct blob *bytes)
{
    assert(op->op.kind == OP_HEADER && uid);
    blob_unref(bytes);
}

/* Are these some of those that were asked for? */
static bool within(const struct uidset *some, const struct uidset *all)
{
    struct uidset rest = {0};
    uidset_join(&rest, some);
    uidset_cut(&rest, all);
    bool none = rest.n == 0;
    uidset_free(&rest);
    return none;
}

static void check_move(const struct op_move *o)
{
    assert(within(&o->gone, &o->uids) && within(&o->flagged, &o->uids));
    for (size_t i = 0; i < o->copies.n; i++)
        assert(uidset_has(&o->uids, o->copies.pairs[i].from) && o->copies.pairs[i].to);
    if (!o->op.err)
        assert(uidset_count(&o->gone) + uidset_count(&o->flagged) == uidset_count(&o->uids));
}

static void check_delete(const struct op_delete *o)
{
    assert(within(&o->gone, &o->uids) && within(&o->flagged, &o->uids));
    if (!o->op.err)
        assert(uidset_count(&o->gone) + uidset_count(&o->flagged) == uidset_count(&o->uids));
}

static void on_done(struct op *op)
{
    assert(op->err <= 0 && op->err > -4096);
    assert(now.open > 0);
    if (op->kind == OP_MOVE)
        check_move(op_as_move(op));
    if (op->kind == OP_DELETE)
        check_delete(op_as_delete(op));
    if (op->kind == OP_COPY)
        assert(within(&op_as_copy(op)->copied, &op_as_copy(op)->uids));
    if (op->kind == OP_COPY && !op->err)
        assert(within(&op_as_copy(op)->uids, &op_as_copy(op)->copied));
    if (op->kind == OP_STORE)
        assert(within(&op_as_store(op)->stored, &op_as_store(op)->uids));
    now.open--;
    now.done++;
    op_free(op);
}

static void parse_set(struct uidset *set, const char *text)
{
    int err = uidset_parse(set, text, strlen(text));
    assert(err == 0);
}

static struct op *make_read(enum op_kind kind, const char *mailbox, bool other, bool third)
{
    uint32_t validity = other && third ? 7 : 0;
    switch (kind) {
    case OP_LIST: {
        struct op_list *o = op_list_new();
        o->on_list = on_list;
        return &o->op;
    }
    case OP_CHECK: {
        struct op_check *o = op_check_new(mailbox);
        o->op.uidvalidity = validity;
        o->modseq = third ? 90 : 0;
        o->modseq_validity = third ? 7 : 0;
        return &o->op;
    }
    case OP_META: {
        struct op_meta *o = op_meta_new(mailbox, validity, mem_strdup(third ? "1:3,5" : "1:*"));
        o->refresh = other;
        return &o->op;
    }
    case OP_FLAGS:
        return &op_flags_new(mailbox, validity, mem_strdup(third ? "1:3,5" : "1:*"))->op;
    case OP_SEARCH: {
        struct op_search *o = op_search_new(mailbox, validity, mem_strdup("UNSEEN"));
        o->refresh = other;
        return &o->op;
    }
    case OP_BODY: {
        struct op_body *o = op_body_new(mailbox, validity);
        o->uid = third ? 2 : 5;
        o->stream = other;
        o->len = other ? UINT32_MAX / 2 : WINDOW;
        o->off = third ? WINDOW : 0;
        o->on_bytes = on_body;
        return &o->op;
    }
    case OP_BODIES: {
        struct op_bodies *o = op_bodies_new(mailbox, validity);
        parse_set(&o->uids, "2:3,5");
        o->len = WINDOW;
        o->on_bytes = on_bodies;
        return &o->op;
    }
    case OP_HEADER: {
        struct op_header *o = op_header_new(mailbox, validity, mem_strdup("SUBJECT"));
        parse_set(&o->uids, "2:3,5");
        o->on_bytes = on_header;
        return &o->op;
    }
    default:
        return &op_quota_new(mailbox)->op;
    }
}

static struct op *make_change(enum op_kind kind, const char *mailbox, bool other, bool third)
{
    uint32_t validity = other && third ? 7 : 0;
    const char *uids = third   ? "2"
                       : other ? "2:3,5"
                               : "5",
               *dest = other ? "INBOX" : "Archive/2025";
    switch (kind) {
    case OP_MOVE: {
        struct op_move *o = op_move_new(mailbox, validity, dest);
        parse_set(&o->uids, uids);
        return &o->op;
    }
    case OP_COPY: {
        struct op_copy *o = op_copy_new(mailbox, validity, dest);
        parse_set(&o->uids, uids);
        return &o->op;
    }
    case OP_DELETE: {
        struct op_delete *o = op_delete_new(mailbox, validity);
        parse_set(&o->uids, uids);
        return &o->op;
    }
    case OP_STORE: {
        struct op_store *o = op_store_new(mailbox, validity);
        parse_set(&o->uids, uids);
        o->change.how = FLAGS_ADD;
        o->change.bits = FLAG_FLAGGED;
        return &o->op;
    }
    case OP_APPEND: {
        struct op_append *o = op_append_new(mailbox, blob_copy("Subject: x\r\n\r\nx\r\n", 18));
        o->flags = mem_strdup("\\Seen");
        return &o->op;
    }
    case OP_CREATE:
        return &op_create_new(mailbox)->op;
    case OP_REMOVE:
        return &op_remove_new(mailbox, validity, '/')->op;
    case OP_RENAME:
        return &op_rename_new(mailbox, dest, '/')->op;
    default:
        return NULL;
    }
}

static struct op *make_op(unsigned asked)
{
    bool other = asked & ASKED_OTHER, third = asked & ASKED_THIRD;
    enum op_kind kind = (asked & ASKED_KIND) % OP_KINDS;
    const char *mailbox = other ? "Archive/2025" : "INBOX";
    struct op *op = make_change(kind, mailbox, other, third);
    op = op ? op : make_read(kind, mailbox, other, third);
    op->patient = third && other;
    op->done = on_done;
    return op;
}

static void ask(void)
{
    while (now.nops && (!(*now.ops & ASKED_AFTER) || !now.open)) {
        unsigned asked = *now.ops++;
        now.nops--;
        now.open++;
        pool_submit(now.pool, make_op(asked));
    }
}

static void on_row(void *ctx, const char *mailbox, uint32_t uidvalidity,
                   const struct fetch_row *row)
{
    (void)ctx;
    (void)uidvalidity;
    assert(mailbox && row->uid);
}

static void on_changed(void *ctx, const char *mailbox, uint32_t uidvalidity, unsigned what)
{
    (void)ctx;
    (void)uidvalidity;
    assert(mailbox && what);
}

static void on_vanished(void *ctx, const char *mailbox, uint32_t uidvalidity,
                        const struct uidset *uids)
{
    (void)ctx;
    (void)uidvalidity;
    assert(mailbox && uids);
}

static void on_status(void *ctx, struct str mailbox, const struct mailbox_state *state)
{
    (void)ctx;
    (void)mailbox;
    assert(state);
}

static void on_event(void *ctx)
{
    (void)ctx;
}

static const struct pool_events events = {
    .row = on_row,
    .changed = on_changed,
    .vanished = on_vanished,
    .status = on_status,
    .folders = on_event,
    .deaf = on_event,
    .batch = on_event,
};

/* ---- the stream ---- */

struct stream {
    int nothing;
};

struct tls_config *tls_config_new(const char *cafile, const char *fingerprint, struct buf *why)
{
    (void)cafile;
    (void)fingerprint;
    (void)why;
    return NULL;
}

void tls_config_free(struct tls_config *c)
{
    (void)c;
}

int stream_connect(struct stream **out, const char *host, const char *port, int stop_fd,
                   int64_t deadline, struct buf *why)
{
    (void)host;
    (void)port;
    (void)stop_fd;
    (void)deadline;
    if (now.at == now.end) {
        stop();
        buf_adds(why, "the input has ended");
        return -ECONNREFUSED;
    }
    now.ntags = 0;
    now.line_len = 0;
    now.answered = now.go_on = false;
    now.in_answer = now.line_ended = true; /* the greeting is one, too */
    *out = mem_zalloc(sizeof **out);
    return 0;
}

int stream_tunnel(struct stream **out, const char *command, int stop_fd, struct buf *why)
{
    return stream_connect(out, command, command, stop_fd, 0, why);
}

int stream_start_tls(struct stream *s, const struct tls_config *c, const char *host,
                     int64_t deadline, struct buf *why)
{
    (void)s;
    (void)c;
    (void)host;
    (void)deadline;
    (void)why;
    return 0;
}

void stream_count(struct stream *s, atomic_ullong *received, atomic_ullong *sent)
{
    (void)s;
    (void)received;
    (void)sent;
}

bool stream_is_local(const struct stream *s)
{
    (void)s;
    return true;
}

void stream_start_deflate(struct stream *s, const void *data, size_t len)
{
    (void)s;
    (void)data;
    (void)len;
}

/* Is it the client's turn? Not for ever: a server may answer what was not asked. */
static bool must_wait(void)
{
    if (now.at == now.end || now.waited > 1 || now.much)
        return false;
    if (*now.at == SAY_QUIET)
        return true;
    if (now.go_on)
        return true;
    bool after_command = now.answered || *now.at == SAY_TAG || (now.line_ended && *now.at == '+');
    return !now.ntags && after_command;
}

static size_t say_tag(char *to)
{
    unsigned tag = now.ntags ? now.tags[0] : 1;
    if (now.ntags)
        memmove(now.tags, now.tags + 1, --now.ntags * sizeof now.tags[0]);
    now.in_answer = true;
    return (size_t)sprintf(to, "A%u", tag);
}

/* Is `c`, of which `n` bytes are in front in the same read, for a read of its own? */
static bool stands_alone(uint8_t c, size_t n, size_t room)
{
    if (c == SAY_TAG)
        return room < 12 || (n && !now.ntags);
    if (c == '+' && now.line_ended)
        return n && !now.ntags;
    return n && (c == SAY_QUIET || c == SAY_END);
}

/* One byte of the input; what it stands for, which may be nothing, goes to `to`. */
static size_t say(uint8_t c, char *to)
{
    now.plus = now.line_ended ? c == '+' : now.plus;
    now.line_ended = c == '\n';
    if (c == SAY_TAG)
        return say_tag(to);
    if (c == SAY_MUCH && now.at < now.end)
        now.much = 4096 * (size_t)(*now.at++ + 1);
    if (c == SAY_QUIET || c == SAY_MUCH)
        return 0;
    *to = (char)c;
    if (c == '\n') {
        now.go_on = now.plus;
        now.answered = now.in_answer;
        now.in_answer = false;
    }
    return 1;
}

static size_t say_much(char *to, size_t room)
{
    size_t n = now.much < room ? now.much : room;
    memset(to, 'x', n);
    now.much -= n;
    return n;
}

ssize_t stream_read(struct stream *s, void *data, size_t len)
{
    (void)s;
    char *to = data;
    size_t n = 0, most = now.how & HOW_SPLIT && len > 7 ? 7 : len;
    if (must_wait())
        return -EAGAIN;
    now.answered = now.go_on = false;
    while (n < most && (now.much || now.at < now.end) && !now.answered && !now.go_on) {
        if (now.much) {
            n += say_much(to + n, most - n);
            continue;
        }
        if (stands_alone(*now.at, n, len - n))
            break;
        uint8_t c = *now.at++;
        if (c == SAY_END)
            return 0;
        n += say(c, to + n);
    }
    now.waited = 0;
    return n || now.at == now.end ? (ssize_t)n : -EAGAIN;
}

/* Notes the tags of the commands that the client sends. */
ssize_t stream_write(struct stream *s, const void *data, size_t len)
{
    (void)s;
    for (const char *p = data; p < (const char *)data + len; p++) {
        unsigned tag;
        if (*p == ' ' && now.line_len && now.line_len < sizeof now.line && now.ntags < MAX_TAGS) {
            now.line[now.line_len] = '\0';
            if (sscanf(now.line, "A%u", &tag) == 1)
                now.tags[now.ntags++] = tag;
        }
        if (*p == '\n')
            now.line_len = 0;
        else if (*p == ' ')
            now.line_len = sizeof now.line;
        else if (now.line_len < sizeof now.line - 1)
            now.line[now.line_len++] = *p;
    }
    now.waited = 0;
    now.go_on = false;
    return (ssize_t)len;
}

bool stream_pending(const struct stream *s)
{
    (void)s;
    return !must_wait();
}

int stream_flush(struct stream *s)
{
    (void)s;
    return 0;
}

size_t stream_unsent(const struct stream *s)
{
    (void)s;
    return 0;
}

int stream_fd(const struct stream *s)
{
    (void)s;
    return -1;
}

short stream_events(const struct stream *s, bool writing)
{
    (void)s;
    return (short)(writing ? POLLIN | POLLOUT : POLLIN);
}

const char *stream_cipher(const struct stream *s)
{
    (void)s;
    return "";
}

void stream_close(struct stream **s)
{
    free(*s);
    *s = NULL;
}

/* Time passes where nothing can be read and nobody wakes the connection. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    assert(n == 2 || n == 3);
    if (++now.polls > MAX_POLLS)
        stop();
    bool serves = n == 2 || fds[2].fd >= 0;
    if (serves)
        ask();
    if (n == 3)
        fds[0].revents = fds[1].revents = fds[2].revents = 0;
    if (n == 3 && timeout == 0 && now.polls <= MAX_POLLS)
        return 0; /* what can be read is pending */
    int ready = n == 2 ? __real_poll(fds, 2, 0) : __real_poll(fds + 1, 2, 0);
    if (ready)
        return ready;
    if (n == 2 && timeout < 0)
        stop();
    now.waited++;
    now.now += timeout > 0 ? timeout : 0;
    return 0;
}

/* ---- one input ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    memset(&now, 0, sizeof now);
    now.now = 1000000;
    now.how = data[0];
    now.nops = data[1] % (MAX_OPS + 1);
    if (size < 2 + (size_t)now.nops)
        return 0;
    unsigned nops = now.nops;
    now.ops = data + 2;
    now.at = now.ops + nops;
    now.end = data + size;
    if (getenv("SESSION_TRACE")) /* to see what becomes of one input */
        log_init(true);
    else
        log_to_syslog();
    struct pool_config config = {
        .host = "localhost",
        .port = "143",
        .tunnel = now.how & HOW_TUNNEL ? "true" : NULL,
        .tls_mode = (now.how & HOW_TLS) % (TLS_NONE + 1),
        .user = "user",
        .password = "pass\"word",
        .auth = now.how & HOW_LOGIN ? "LOGIN" : NULL,
        .timeout = 20000,
        .settle = 2000,
        .connections = 1,
        .read_only = now.how & HOW_READ_ONLY,
        .compress = now.how & HOW_COMPRESS ? COMPRESS_YES : COMPRESS_NO,
    };
    struct buf why = {0};
    struct pool *pool = pool_open(&config, &events, NULL, &why);
    if (pool) {
        struct buf status = {0};
        pool_status(pool, &status);
        buf_free(&status);
        pool_stop(pool);
        pool_free(pool);
    }
    buf_free(&why);
    if (getenv("SESSION_TRACE"))
        fprintf(stderr, "open %u done %u nops %u left %u polls %u pool %p\n", now.open, now.done,
                nops, now.nops, now.polls, (void *)pool);
    /* Each that was asked was answered, once. */
    assert(now.open == 0 && now.done == nops - now.nops);
    now.pool = NULL;
    return 0;
}
