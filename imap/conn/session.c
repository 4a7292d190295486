/* From a host name to a logged-in connection, in straight lines, under one deadline for it all. */
#include "imap/conn/conn.h"

#include <errno.h>
#include <stdio.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/conn/owner.h"
#include "imap/conn/sasl.h"
#include "imap/conn/session.h"
#include "imap/conn/trace.h"

/* One attempt to have a session. */
struct attempt {
    struct conn *c;
    const struct pool_config *config;
    int64_t deadline;
    struct buf *why;
};

/* ---- one command and its answer ---- */

static int explain(struct attempt *s, int err, const char *during)
{
    if (s->c->session.state == SESSION_BYE)
        buf_addf(s->why, "the server closed the connection %s: %s", during,
                 buf_str(&s->c->session.reply.text));
    else if (err == -ETIMEDOUT)
        buf_addf(s->why, "no answer from the server %s", during);
    else if (err == -ECONNRESET)
        buf_addf(s->why, "the server closed the connection %s", during);
    else if (err == -EPROTO)
        buf_addf(s->why, "the server sends %s %s",
                 s->c->session.fault ? s->c->session.fault : "what is not IMAP", during);
    else
        buf_addf(s->why, "%s %s", strerror(-err), during);
    return err;
}

static void begin(struct attempt *s, const char *logged)
{
    struct conn *c = s->c;
    c->session.reply.tag = ++c->tag;
    c->session.reply.done = c->session.reply.go_on = false;
    log_debug("imap[%u] > A%u %s", c->index, c->tag, logged);
    buf_addf(&c->wire.out, "A%u ", c->tag);
    c->counters.commands++;
}

/* Waits for the tagged answer, or for "+". */
static int await(struct attempt *s, const char *during)
{
    struct conn *c = s->c;
    c->session.reply.go_on = false;
    while (!c->session.reply.done && !c->session.reply.go_on) {
        int err = conn_pump(c, s->deadline);
        if (err)
            return explain(s, err, during);
    }
    return 0;
}

static int command(struct attempt *s, const char *text, const char *during)
{
    begin(s, text);
    buf_adds(&s->c->wire.out, text);
    buf_adds(&s->c->wire.out, "\r\n");
    int err = await(s, during);
    if (!err && !s->c->session.reply.done) {
        buf_addf(s->why, "the server asks for more %s", during);
        err = -EPROTO;
    }
    return err;
}

/* ---- what a session has taught ---- */

void session_become(struct conn *c, enum session_state state)
{
    static const char *const names[] = {
        [SESSION_CLOSED] = "CLOSED", [SESSION_GREETING] = "GREETING", [SESSION_SETUP] = "SETUP",
        [SESSION_OPEN] = "OPEN",     [SESSION_LOGOUT] = "LOGOUT",     [SESSION_BYE] = "BYE",
    };
    if (c->session.state == state)
        return;
    conn_debug_state(c, "session", names[c->session.state], names[state]);
    c->session.state = state;
}

/* What holds for one session holds for no other, and what came in clear text, where anyone may have
 * said it, not for what TLS begins (RFC 3501 section 6.2.1). */
void session_forget(struct conn *c)
{
    c->wire.frame = (struct frame){.max_line = LIMIT_LOGIN_LINE};
    c->caps = (struct caps){0};
    c->session.personal[0] = '\0';
    c->session.only_personal = false;
    c->session.enable_tag = c->session.notify_tag = 0;
    c->session.notified = c->session.qresync = c->session.no_resync = c->idle.refused = false;
    idle_lost(c);
    c->session.fault = NULL;
    c->session.reply.tag = 0;
    buf_reset(&c->session.reply.text);
    buf_reset(&c->wire.in);
    c->wire.in_at = 0;
}

/* ---- greeting, TLS ---- */

/* A server that speaks TLS from the first byte waits for the client to begin, and gives up in
 * silence. One that ever sent a byte here is not of that kind. */
static bool seems_to_want_tls(const struct attempt *s, int err)
{
    return (err == -ETIMEDOUT || err == -ECONNRESET) && s->config->tls_mode != TLS_IMPLICIT &&
           !s->config->tunnel && !s->c->counters.received;
}

static int greeting(struct attempt *s)
{
    struct conn *c = s->c;
    while (c->session.state == SESSION_GREETING) {
        int err = conn_pump(c, s->deadline);
        if (!err)
            continue;
        explain(s, err, "when it should greet");
        if (seems_to_want_tls(s, err))
            buf_adds(s->why, " (is this the port for imaps://?)");
        return err;
    }
    if (c->session.greeting == COND_BYE) {
        buf_addf(s->why, "the server refuses the connection: %s", buf_str(&c->session.reply.text));
        return -EBUSY;
    }
    bool secure = s->config->tunnel || s->config->tls_mode == TLS_IMPLICIT;
    if (c->session.greeting == COND_PREAUTH && !secure) {
        buf_adds(s->why, "the server wants no login on an unencrypted connection (PREAUTH): "
                         "refused, because anyone could be answering");
        return -EPROTO;
    }
    return 0;
}

static int capabilities(struct attempt *s)
{
    if (s->c->caps.known)
        return 0;
    int err = command(s, "CAPABILITY", "when asked for its capabilities");
    if (!err && !s->c->caps.known) {
        buf_adds(s->why, "the server does not say what it can do (CAPABILITY)");
        err = -EPROTO;
    }
    return err;
}

static int starttls(struct attempt *s)
{
    struct conn *c = s->c;
    int err = capabilities(s);
    if (err)
        return err;
    if (!caps_has(&c->caps, CAP_STARTTLS)) {
        buf_adds(s->why, "the server does not offer STARTTLS; use imaps://, or -o tls=no to send "
                         "everything in clear text");
        return -EPROTO;
    }
    c->wire.hold = true;
    err = command(s, "STARTTLS", "when asked for STARTTLS");
    c->wire.hold = false;
    if (err)
        return err;
    if (c->session.reply.cond != COND_OK) {
        buf_addf(s->why, "the server refuses STARTTLS: %s", buf_str(&c->session.reply.text));
        return -EPROTO;
    }
    /* What an attacker slipped in behind the OK would be taken for the server's encrypted words
     * (CVE-2021-29969 and its family). */
    if (c->wire.in_at < c->wire.in.len) {
        buf_adds(s->why, "the server sent unencrypted data behind its STARTTLS answer");
        return -EPROTO;
    }
    session_forget(c);
    return stream_start_tls(c->wire.stream, s->config->tls, s->config->host, s->deadline, s->why);
}

/* ---- login ---- */

/* A limit or a failure of the server's own is not the user's mistake. */
static int login_errno(const struct reply *r)
{
    switch (r->code) {
    case CODE_UNAVAILABLE:
    case CODE_INUSE:
    case CODE_LIMIT:
    case CODE_ALERT:
    case CODE_SERVERBUG:
    case CODE_THROTTLED:
    case CODE_OVERQUOTA: /* Gmail: of commands or bytes */
        return -EBUSY;
    default:
        return -EACCES;
    }
}

/* Some offer SCRAM and have no secrets for it (mailutils); whether a password is given away instead
 * is for the user to say. */
static void hint(struct attempt *s, const char *mech)
{
    struct conn *c = s->c;
    bool plain = caps_auth(&c->caps, "PLAIN");
    if (s->config->auth || strncmp(mech, "SCRAM-", 6) != 0 ||
        (!plain && caps_has(&c->caps, CAP_LOGINDISABLED)))
        return;
    buf_addf(s->why, " (it may have no secrets for %s: -o auth=%s sends the password itself%s)",
             mech, plain ? "PLAIN" : "LOGIN",
             s->config->tls_mode == TLS_NONE && !s->config->tunnel ? ", in clear text" : "");
}

static int login_result(struct attempt *s, const char *mech)
{
    struct conn *c = s->c;
    if (c->session.reply.cond == COND_OK)
        return 0;
    int err = login_errno(&c->session.reply);
    /* ALERT says nothing of how long: too many connections, or a mechanism that is not offered. */
    bool later = err == -EBUSY && c->session.reply.code != CODE_ALERT;
    buf_addf(s->why, "login as %s %s: %s", s->config->user, later ? "not possible now" : "refused",
             c->session.reply.text.len ? buf_str(&c->session.reply.text)
                                       : "the server gives no reason");
    if (err == -EACCES)
        hint(s, mech);
    return err;
}

static int authenticate(struct attempt *s, const char *mech, bool initial)
{
    struct conn *c = s->c;
    struct sasl *sasl = sasl_start(mech, s->config->user, s->config->password, s->config->host,
                                   s->deadline, s->why);
    if (!sasl)
        return -ENOTSUP;
    char line[80];
    struct buf secret = {0};
    bool first = sasl_client_first(mech), content = false;
    int err = 0, r = 0;
    snprintf(line, sizeof line, "AUTHENTICATE %s%s", mech, initial && first ? " [secret]" : "");
    begin(s, line);
    buf_addf(&c->wire.out, "AUTHENTICATE %s", mech);
    if (initial && first) {
        r = sasl_step(sasl, "", &secret, s->why);
        content = r == 1;
        buf_addc(&c->wire.out, ' ');
        conn_secret(c, buf_str(&secret), secret.len);
        first = false;
    }
    buf_adds(&c->wire.out, "\r\n");
    while (r >= 0 && !(err = await(s, "during login")) && !c->session.reply.done) {
        buf_reset(&secret);
        r = sasl_step(sasl, first ? "" : buf_str(&c->session.reply.text), &secret, s->why);
        first = false;
        if (r < 0)
            break;
        content = r == 1;
        log_debug("imap[%u] > [secret]", c->index);
        conn_secret(c, buf_str(&secret), secret.len);
        buf_adds(&c->wire.out, "\r\n");
    }
    buf_wipe_free(&secret);
    sasl_free(sasl);
    if (r < 0)
        return r;
    if (!err && c->session.reply.cond == COND_OK && !content) {
        buf_addf(s->why, "the server did not prove itself as %s demands", mech);
        err = -EPROTO;
    }
    return err;
}

/* LOGIN's arguments go as quoted strings if they can, else as literals, one round trip each. */
static int login_string(struct attempt *s, const char *text)
{
    struct conn *c = s->c;
    bool plain = true;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p >= 0x7f || (unsigned char)*p < 0x20)
            plain = false;
    buf_addc(&c->wire.out, ' ');
    if (plain) {
        conn_quote(&c->wire.out, text);
        return 0;
    }
    buf_addf(&c->wire.out, "{%zu}\r\n", strlen(text));
    int err = await(s, "during login");
    if (!err && c->session.reply.done && c->session.reply.cond == COND_OK) {
        buf_adds(s->why, "the server lets in whom it has not asked for a password");
        err = -EPROTO;
    } else if (!err && !c->session.reply.done) {
        buf_adds(&c->wire.out, text);
    }
    return err;
}

static int login_command(struct attempt *s)
{
    struct conn *c = s->c;
    begin(s, "LOGIN [secret]");
    buf_adds(&c->wire.out, "LOGIN");
    int err = login_string(s, s->config->user);
    if (!err && !c->session.reply.done)
        err = login_string(s, s->config->password);
    if (!err && !c->session.reply.done) {
        buf_adds(&c->wire.out, "\r\n");
        err = await(s, "during login");
    }
    if (!err && !c->session.reply.done) {
        buf_adds(s->why, "the server asks for more than LOGIN has to give");
        err = -EPROTO;
    }
    return err;
}

/* The mechanism to use, "LOGIN" for the command, NULL for none. In clear text the password itself
 * is not sent if it can be helped. */
static const char *choose_mechanism(const struct attempt *s)
{
    static const char *const over_tls[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-1", NULL};
    static const char *const in_clear[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", NULL};
    if (s->config->auth)
        return s->config->auth;
    bool clear = s->config->tls_mode == TLS_NONE && !s->config->tunnel;
    for (const char *const *m = clear ? in_clear : over_tls; *m; m++)
        if (caps_auth(&s->c->caps, *m))
            return *m;
    return caps_has(&s->c->caps, CAP_LOGINDISABLED) ? NULL : "LOGIN";
}

static int login(struct attempt *s)
{
    struct conn *c = s->c;
    const char *mech = choose_mechanism(s);
    bool disabled = caps_has(&c->caps, CAP_LOGINDISABLED);
    if (!mech || (disabled && strcasecmp(mech, "LOGIN") == 0)) {
        buf_adds(s->why, "the server forbids LOGIN here and offers no other login that is known");
        return -EACCES;
    }
    int err;
    if (strcasecmp(mech, "LOGIN") == 0) {
        err = login_command(s);
    } else {
        bool initial = caps_has(&c->caps, CAP_SASL_IR);
        err = authenticate(s, mech, initial);
        /* Some advertise what they then call a syntax error. A refused password is NO, and is
         * never tried a second time. */
        if (!err && c->session.reply.cond == COND_BAD && initial)
            err = authenticate(s, mech, false);
        /* Never something weaker in the place of what failed: that may be what was wanted. */
        if (!err && c->session.reply.cond == COND_BAD && !disabled && !s->config->auth &&
            strcasecmp(mech, "PLAIN") == 0)
            err = login_command(s);
    }
    return err ? err : login_result(s, mech);
}

/* ---- after login ---- */

/* Courtesy and curiosity: nothing here may keep a mount from working, and what a server answers to
 * it other than OK is its own affair. */
static int introduce(struct attempt *s)
{
    struct conn *c = s->c;
    int err = 0;
    bool id = caps_has(&c->caps, CAP_ID);
    /* The pool keeps what the first connection learns. */
    bool names = c->index == 0 && caps_has(&c->caps, CAP_NAMESPACE);
    if (id)
        err = command(s, "ID (\"name\" \"imapfs\" \"version\" \"" IMAPFS_VERSION "\")",
                      "when told who asks (ID)");
    if (!err && names)
        err = command(s, "NAMESPACE", "when asked for its namespaces");
    if (!err && (id || names))
        pool_answers(c->pool, EXTRA_INTRO);
    return err;
}

/* With QRESYNC (RFC 7162) an expunge is told with its UID. Nobody waits for the answer: whether it
 * worked shows in what comes later. */
static void enable(struct conn *c)
{
    if (!caps_has(&c->caps, CAP_ENABLE) || !caps_has(&c->caps, CAP_QRESYNC) ||
        !pool_may_ask(c->pool, EXTRA_ENABLE))
        return;
    buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "ENABLE QRESYNC");
    conn_end(c);
    c->session.enable_tag = c->tag;
}

/* NOTIFY (RFC 5465): one connection is told of changes in every mailbox, and of the mailboxes. */
static void notify(struct conn *c)
{
    if (c->index != 0 || !caps_has(&c->caps, CAP_NOTIFY) || !pool_may_ask(c->pool, EXTRA_ENABLE))
        return;
    buf_adds(conn_begin(c, NULL, 0, WANT_NONE),
             "NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange)) "
             "(PERSONAL (MailboxName MessageNew MessageExpunge FlagChange))");
    conn_end(c);
    c->session.notify_tag = c->tag;
}

static bool wants_compression(const struct attempt *s)
{
    const struct conn *c = s->c;
    enum compress_mode mode = s->config->compress;
    return caps_has(&c->caps, CAP_COMPRESS_DEFLATE) &&
           (mode == COMPRESS_YES || (mode == COMPRESS_AUTO && !stream_is_local(c->wire.stream)));
}

/* COMPRESS (RFC 4978), after the login, so that no secret is ever compressed beside what others
 * chose. A server that refuses, perhaps because a lower layer compresses already
 * ([COMPRESSIONACTIVE]), goes on as before. */
static int compress(struct attempt *s)
{
    struct conn *c = s->c;
    if (!wants_compression(s))
        return 0;
    c->wire.hold = true;
    int err = command(s, "COMPRESS DEFLATE", "when asked to compress");
    c->wire.hold = false;
    if (err || c->session.reply.cond != COND_OK)
        return err;
    /* The first byte behind the OK is compressed, and may have come with it. */
    stream_start_deflate(c->wire.stream, c->wire.in.data + c->wire.in_at,
                         c->wire.in.len - c->wire.in_at);
    buf_reset(&c->wire.in);
    c->wire.in_at = 0;
    return 0;
}

/* The capabilities are told in the status. */
static void publishable(struct conn *c)
{
    struct buf text = {0};
    buf_adds(&text, c->caps.text);
    if (secrets_hide(&c->session.secrets, &text))
        snprintf(c->caps.text, sizeof c->caps.text, "%s", buf_str(&text));
    buf_free(&text);
}

static int connect_stream(struct attempt *s)
{
    struct conn *c = s->c;
    const struct pool_config *config = s->config;
    int stop = pool_stop_fd(c->pool);
    int err = config->tunnel ? stream_tunnel(&c->wire.stream, config->tunnel, stop, s->why)
                             : stream_connect(&c->wire.stream, config->host, config->port, stop,
                                              s->deadline, s->why);
    if (!err)
        stream_count(c->wire.stream, &c->counters.received, &c->counters.sent);
    return err;
}

static int open_once(struct attempt *s)
{
    struct conn *c = s->c;
    session_forget(c);
    secrets_free(&c->session.secrets);
    secrets_add_password(&c->session.secrets, s->config->user, s->config->password);
    c->wire.hold = false;
    session_become(c, SESSION_GREETING);
    c->counters.connects++;

    int err = connect_stream(s);
    if (!err && s->config->tls_mode == TLS_IMPLICIT && !s->config->tunnel)
        err =
            stream_start_tls(c->wire.stream, s->config->tls, s->config->host, s->deadline, s->why);
    if (!err)
        err = greeting(s);
    if (!err && s->config->tls_mode == TLS_STARTTLS && !s->config->tunnel)
        err = starttls(s);
    if (!err && c->session.greeting != COND_PREAUTH) {
        err = capabilities(s);
        c->caps.known = false;
        if (!err)
            err = login(s);
    }
    /* What is offered after login may be more, or less, than before. */
    if (!err)
        err = capabilities(s);
    if (!err)
        publishable(c);
    return err;
}

static void start_over(struct conn *c, struct buf *why)
{
    buf_reset(why);
    stream_close(&c->wire.stream);
    buf_reset(&c->wire.in);
    buf_reset(&c->wire.out);
    c->wire.in_at = c->wire.out_at = 0;
    conn_forget_cmds(c);
}

static int open_introduced(struct attempt *s)
{
    struct conn *c = s->c;
    int err = open_once(s);
    if (err || !pool_may_ask(c->pool, EXTRA_INTRO))
        return err;
    err = introduce(s);
    if (err != -ECONNRESET && err != -EPROTO)
        return err;
    /* Exchange 2003 hangs up on NAMESPACE: once more, without the introduction. */
    pool_hangs_up(c->pool, EXTRA_INTRO);
    start_over(c, s->why);
    return open_once(s);
}

int session_open(struct conn *c, struct buf *why)
{
    struct attempt s = {.c = c, .config = pool_config(c->pool), .why = why};
    s.deadline = pool_connect_deadline(c->pool);
    int err = open_introduced(&s);
    if (!err) {
        enable(c);
        notify(c);
    }
    if (!err)
        err = compress(&s);
    /* ENABLE went out in front of it, and some hang up on that. */
    if (err == -ECONNRESET && c->session.enable_tag && pool_hangs_up(c->pool, EXTRA_ENABLE)) {
        start_over(c, why);
        err = open_once(&s);
        if (!err)
            err = compress(&s);
    }
    c->wire.frame.max_line = LIMIT_LINE;
    c->clocks.slept = clock_slept_ms();
    c->clocks.progress_at = clock_ms();
    c->session.reply.tag = 0;
    return err;
}
