/* Untagged responses: a table of {numbered or not, name, handler}, and the response codes. */
#include "imap/conn/conn.h"

#include <errno.h>
#include <stdio.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/arrival.h"
#include "imap/exec/exec.h"
#include "imap/exec/look.h"
#include "imap/wire/fetch.h"

/* ---- mailboxes ---- */

/* INBOX is INBOX in any case, all other names are what they are, byte by byte. */
static bool is_mailbox(struct str name, const char *mailbox)
{
    if (strcasecmp(mailbox, "INBOX") == 0)
        return str_is(name, mailbox);
    return name.n == strlen(mailbox) && memcmp(name.p, mailbox, name.n) == 0;
}

/* A row that is neither of the two asked for is of something below. Only a name with a wildcard in
 * it brings strangers along. */
static void note_listed(struct op *op, struct str name, bool exists, bool holds_mail)
{
    size_t n = strlen(op->mailbox);
    if (is_mailbox(name, op->mailbox))
        op->saw |= !exists                               ? 0
                   : holds_mail || op->kind == OP_RENAME ? OP_SAW_MAILBOX
                                                         : OP_SAW_LEVEL;
    else if (op->dest && is_mailbox(name, op->dest))
        op->saw |= exists ? OP_SAW_DEST : 0;
    else if (!strpbrk(op->mailbox, "%*") ||
             (name.n > n && name.p[n] == op->delim && memcmp(name.p, op->mailbox, n) == 0))
        op->saw |= OP_SAW_BELOW;
}

static bool has_attr(const struct arg *attrs, const char *name)
{
    for (const struct arg *a = attrs; a; a = a->next)
        if (arg_is(a, name))
            return true;
    return false;
}

/* LIST (attrs) delim name */
static int on_list(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_LIST);
    const struct arg *attrs = r->args;
    const struct arg *delim = attrs ? attrs->next : NULL;
    const struct arg *name = delim ? delim->next : NULL;
    bool gone = attrs && attrs->type == ARG_LIST && has_attr(attrs->child, "\\NonExistent") &&
                !has_attr(attrs->child, "\\HasChildren");
    /* Unasked (NOTIFY): something has changed. What comes in the middle of a whole LIST is as good
     * as a part of it. */
    if (c->session.notified && (!op || (gone && op->kind != OP_LIST)))
        pool_folders(c->pool);
    if (!op || !name || attrs->type != ARG_LIST || name->type == ARG_LIST)
        return 0;
    struct str n = name->s;
    if (name->type == ARG_NIL && n.n == 0) /* NIL as a name: a mailbox may be called that */
        n = (struct str){"NIL", 3};
    if (n.n == 0 || n.n > LIMIT_MAILBOX_NAME)
        return 0;
    if (op->kind != OP_LIST) {
        note_listed(op, n, !has_attr(attrs->child, "\\NonExistent"),
                    !has_attr(attrs->child, "\\Noselect"));
        return 0;
    }
    char d = delim->type == ARG_STRING && delim->s.n == 1 ? delim->s.p[0] : '\0';
    if (d == '\r' || d == '\n')
        d = '\0'; /* it would go into names, and end the line they are in */
    if (op->on_list(op, n, d, attrs->child))
        endless_news(c);
    return 0;
}

/* What is left out is 0, and `exists` UINT32_MAX. */
static struct mailbox_state status_items(const struct arg *items)
{
    struct mailbox_state s = {.exists = UINT32_MAX};
    uint64_t n;
    for (const struct arg *a = items; a && a->next; a = a->next->next) {
        if (!arg_number(a->next, INT64_MAX, &n))
            continue;
        if (arg_is(a, "HIGHESTMODSEQ"))
            s.modseq = n;
        else if (n > UINT32_MAX)
            continue;
        else if (arg_is(a, "MESSAGES")) {
            s.exists = (uint32_t)n;
        } else if (arg_is(a, "UIDNEXT"))
            s.uidnext = (uint32_t)n;
        else if (arg_is(a, "UIDVALIDITY"))
            s.uidvalidity = (uint32_t)n;
    }
    return s;
}

/* STATUS name (MESSAGES 3 ...) */
static int on_status(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_STATUS), *sender = conn_wanting(c, WANT_WINDOW);
    const struct arg *list = r->args ? r->args->next : NULL;
    bool look = op && op->kind == OP_CHECK && r->args && is_mailbox(r->args->s, op->mailbox);
    if (c->session.notified && !look && list && list->type == ARG_LIST) {
        struct mailbox_state now = status_items(list->child);
        pool_status_of(c->pool, r->args->s, &now);
    }
    if (sender && list && list->type == ARG_LIST && is_mailbox(r->args->s, arrival_mailbox(sender)))
        arrival_status(sender, list->child);
    if (!op || !list || list->type != ARG_LIST || !is_mailbox(r->args->s, op->mailbox))
        return 0; /* of another mailbox: a deletion hangs on this number */
    if (op->kind == OP_CHECK) {
        op->state = status_items(list->child);
        return 0;
    }
    for (const struct arg *a = list->child; a && a->next; a = a->next->next)
        if (arg_is(a, "MESSAGES") && arg_number(a->next, UINT32_MAX, &op->count))
            op->saw |= OP_SAW_COUNT;
    return 0;
}

/* QUOTA root (STORAGE used limit) */
static int on_quota(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_QUOTA);
    const struct arg *list = r->args ? r->args->next : NULL;
    if (!op || !list || list->type != ARG_LIST)
        return 0;
    for (const struct arg *a = list->child; a && a->next && a->next->next;
         a = a->next->next->next) {
        uint64_t used, limit;
        if (arg_is(a, "STORAGE") && arg_number(a->next, INT64_MAX, &used) &&
            arg_number(a->next->next, INT64_MAX, &limit)) {
            op->quota_used = used;
            op->quota_limit = limit;
        }
    }
    return 0;
}

/* NAMESPACE ((prefix delim)...) others shared */
static int on_namespace(struct conn *c, const struct response *r)
{
    const struct arg *first = r->args && r->args->type == ARG_LIST ? r->args->child : NULL;
    if (first && first->type == ARG_LIST && first->child && first->child->type == ARG_STRING)
        snprintf(c->session.personal, sizeof c->session.personal, STR_FMT,
                 STR_ARG(first->child->s));
    const struct arg *others = first ? r->args->next : NULL, *shared = others ? others->next : NULL;
    c->session.only_personal = shared && others->type == ARG_NIL && shared->type == ARG_NIL;
    return 0;
}

/* ---- messages ---- */

/* Is what the server says of messages certainly about the mailbox that is selected? While one is
 * being selected only if it was asked to say what has changed in it, and the one before is closed.
 */
static bool about_box(const struct conn *c)
{
    return c->box.ready || (c->box.name && c->box.resync && !c->box.closing &&
                            c->box.resync == c->box.state.uidvalidity);
}

static int on_exists(struct conn *c, const struct response *r)
{
    if (!c->box.name)
        return 0;
    uint32_t n = r->number < LIMIT_MESSAGES ? r->number : LIMIT_MESSAGES;
    bool more = n > c->box.state.exists;
    if (n != c->box.state.exists && c->box.ready)
        idle_news(c);
    c->box.state.exists = n;
    if (!c->box.ready)
        endless_opens(c, n);
    c->box.changes += more;
    c->box.news |= more;
    if (c->box.ready && more)
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXISTS);
    return 0;
}

/* Is it what an operation has asked for? If the number of its message is known, that tells; and the
 * numbers behind one that is expunged become less. Else the first one is taken for it: also before
 * the STORE in front of the EXPUNGE is answered, for Dovecot, sent both in one go, answers them
 * together. Of two, one is another's; and if in the end nothing was expunged, the first was, too.
 */
static bool own_expunge(const struct conn *c, uint32_t number)
{
    struct op *op = NULL;
    bool asked = false;
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op && (cmd->op->kind == OP_MOVE || cmd->op->kind == OP_DELETE)) {
            op = cmd->op; /* there is only one */
            asked |= cmd->want == WANT_EXPUNGE;
        }
    if (!op || (op->number && number > op->number))
        return false;
    if (op->number && number < op->number) {
        op->number--;
        return false;
    }
    if (op->number) {
        op->number = 0;
        op->saw = (op->saw | OP_SAW_VANISHED) & ~(unsigned)OP_SAW_THERE;
        asked = true;
    }
    op->count++;
    if (!asked || op->own)
        return false;
    op->own = true;
    return true;
}

/* Which message it was is said by number only, and numbers are not kept: whoever asked for an
 * expunge knows, and otherwise the cache asks which UIDs are left. */
static int on_expunge(struct conn *c, const struct response *r)
{
    if (!c->box.ready)
        return 0;
    if (c->box.state.exists > 0)
        c->box.state.exists--;
    c->box.changes++;
    idle_news(c);
    if (own_expunge(c, r->number))
        return 0;
    c->box.news = true;
    pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXPUNGE);
    if (c->box.state.exists == 0)
        box_emptied(c);
    return 0;
}

static void give_bytes(struct conn *c, struct op *op, uint32_t uid, struct str bytes)
{
    op->got = true;
    op->on_bytes(op, uid, op->passed, conn_blob(c, bytes));
}

static bool wants_body_of(const struct op *op, uint32_t uid)
{
    return op->kind == OP_BODIES ? uidset_has(&op->uids, uid) : op->uid == uid && !op->got;
}

enum body_fit conn_body_fit(struct conn *c, const struct op *op, const struct fetch_row *row,
                            size_t literal, size_t *skip)
{
    uint64_t off = op->off + op->passed;
    size_t len = op->len - op->passed;
    *skip = 0;
    if (row->body_window && row->body_off != (op->whole ? 0 : off))
        return BODY_OTHER;
    if (!op->whole && literal <= len)
        return row->body_window || off == 0 ? BODY_FITS : BODY_DOUBT;
    if (!op->whole)
        pool_windows_ignored(c->pool, "answers a window of a message with all of it");
    *skip = off < literal ? (size_t)off : literal;
    return BODY_FITS;
}

/* NIL is how some say that a message cannot be had; behind its end it is no bytes. Of a set of
 * which each message was asked for from its beginning, an empty one has not come: some answer only
 * the first with bytes. */
static bool is_nothing(const struct op *op, const struct fetch_row *row)
{
    return op->off + op->passed == 0 &&
           (row->body_nil || (op->kind == OP_BODIES && row->body.n == 0));
}

/* The bytes that some body operation asked for. */
static void deliver_body(struct conn *c, const struct fetch_row *row)
{
    struct op *misled = NULL;
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        size_t skip;
        if (!op || cmd->want != WANT_BODY || !wants_body_of(op, row->uid) || is_nothing(op, row))
            continue;
        if (misled && op->whole)
            break; /* that is answered after the window in front of it */
        if (conn_body_fit(c, op, row, row->body.n, &skip) != BODY_FITS) {
            misled = misled || op->kind != OP_BODY ? misled : op;
            continue;
        }
        struct str bytes = {row->body.p + skip, row->body.n - skip};
        if (bytes.n > op->len - op->passed)
            bytes.n = op->len - op->passed;
        if (op->kind == OP_BODIES)
            uidset_remove(&op->uids, row->uid);
        give_bytes(c, op, row->uid, bytes);
        return;
    }
    if (misled)
        misled->saw |= OP_SAW_OTHER;
    log_debug("%s: a body of UID %u that nobody asked for", c->box.name, row->uid);
}

/* Rows of a listing have a header, too, but of fewer fields, and a date beside it. */
static bool deliver_header(struct conn *c, const struct fetch_row *row)
{
    if (row->has & FETCH_DATE)
        return false;
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        if (op && cmd->want == WANT_HEADER && uidset_has(&op->uids, row->uid)) {
            uidset_remove(&op->uids, row->uid);
            give_bytes(c, op, row->uid, row->header);
            return true;
        }
    }
    return false;
}

/* A STORE's row is what proves it; each belongs to the oldest one that is not answered. */
static void note_stored(const struct conn *c, const struct fetch_row *row)
{
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        if (!op || op->kind != OP_STORE || op->uid != row->uid)
            continue;
        op->saw |= OP_SAW_MESSAGE | (row->has & FETCH_FLAGS ? OP_SAW_FLAGS : 0);
        return;
    }
}

static int on_fetch(struct conn *c, const struct response *r)
{
    struct fetch_row row;
    struct op *looking = conn_wanting(c, WANT_ROWS), *noting = conn_wanting(c, WANT_MESSAGE);
    if (fetch_decode(r, &row) != 0)
        return 0;
    endless_row(c, r->number);
    if (looking)
        arrival_row(looking, &row);
    if (!about_box(c))
        return 0;
    if (row.has & FETCH_FLAGS && c->box.ready)
        idle_news(c);
    if (!row.uid) {
        if (row.has & FETCH_FLAGS)
            pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_FLAGS);
        return 0;
    }
    box_heard(c, row.uid);
    note_stored(c, &row);
    look_row(c, &row);
    if (noting)
        arrival_message_row(noting, &row);
    if (row.has & FETCH_BODY && !c->flow.passed)
        deliver_body(c, &row);
    if (row.has & FETCH_HEADER && deliver_header(c, &row))
        row.has &= ~(unsigned)FETCH_HEADER;
    if (row.has & ~(unsigned)FETCH_BODY)
        pool_row(c->pool, c->box.name, c->box.state.uidvalidity, &row);
    return 0;
}

/* ---- SEARCH ---- */

static struct log_limit strange = LOG_LIMIT("answers to SEARCH that are none");

static int found(const struct conn *c, struct op *op, const char *text, size_t len)
{
    if (op->refresh && !op->below)
        op->count = c->box.changes;
    int err = len ? uidset_parse(&op->found, text, len) : 0;
    op->got = err == 0;
    if (err && log_may(&strange))
        log_warn("%s: a SEARCH answer that is not a set of UIDs", op->mailbox);
    return err == -ENOMEM ? err : err ? -EPROTO : 0;
}

/* SEARCH 2 84 882 */
static int on_search(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_SEARCH);
    if (!op)
        return 0;
    struct buf set = {0};
    for (const struct arg *a = r->args; a; a = a->next) {
        uint64_t n;
        if (a->type == ARG_LIST)
            continue; /* (MODSEQ 917162500) */
        if (!arg_number(a, UINT32_MAX, &n) || n == 0) {
            /* Half an answer must not pass for a whole one: something may be deleted upon it. */
            if (log_may(&strange))
                log_warn("%s: a SEARCH answer that is not a list of UIDs", op->mailbox);
            buf_free(&set);
            return 0;
        }
        if (!buf_try(&set, a->s.n + 1)) {
            buf_free(&set);
            return -ENOMEM;
        }
        if (set.len)
            buf_addc(&set, ',');
        buf_add(&set, a->s.p, a->s.n);
    }
    int err = found(c, op, set.data, set.len);
    buf_free(&set);
    return err;
}

/* ESEARCH (TAG "A1") UID ALL 2,10:11 (RFC 4731) */
static int on_esearch(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_SEARCH);
    if (!op)
        return 0;
    for (const struct arg *a = r->args; a; a = a->next) {
        if (!arg_is(a, "ALL"))
            continue;
        bool set = a->next && a->next->type == ARG_ATOM;
        return set ? found(c, op, a->next->s.p, a->next->s.n) : 0;
    }
    return found(c, op, NULL, 0); /* nothing matched */
}

/* ---- the table ---- */

/* An operation decides at several of its steps by what the server can do, and they must agree: so
 * nothing about that is learnt while one is under way. */
static void learn_caps(struct conn *c, const struct arg *args)
{
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op)
            return;
    caps_read(&c->caps, args);
}

static int on_capability(struct conn *c, const struct response *r)
{
    learn_caps(c, r->args);
    return 0;
}

/* ENABLED QRESYNC (RFC 5161) */
static int on_enabled(struct conn *c, const struct response *r)
{
    for (const struct arg *a = r->args; a; a = a->next)
        c->session.qresync |= arg_is(a, "QRESYNC");
    return 0;
}

/* VANISHED (EARLIER) 41,43:116 (RFC 7162 section 3.2.10): like EXPUNGE, but it tells the UIDs, so
 * that whoever asked for an expunge knows for certain. */
static int on_vanished(struct conn *c, const struct response *r)
{
    const struct arg *a = r->args;
    bool earlier = a && a->type == ARG_LIST;
    struct uidset set = {0};
    if (earlier)
        a = a->next;
    /* Of what happened earlier it speaks only while a mailbox is selected, and was asked to. */
    if (!about_box(c) || earlier == c->box.ready)
        return 0;
    if (!a || a->type != ARG_ATOM || uidset_parse(&set, a->s.p, a->s.n) != 0 ||
        (!earlier && uidset_count(&set) > c->box.state.exists)) {
        uidset_free(&set); /* more than there are: the cache asks which are left */
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXPUNGE);
        return 0;
    }
    uint64_t n = earlier ? 0 : uidset_count(&set);
    bool own = false;
    c->box.state.exists -= n < c->box.state.exists ? (uint32_t)n : c->box.state.exists;
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        if (!cmd->op || (cmd->op->kind != OP_MOVE && cmd->op->kind != OP_DELETE))
            continue;
        cmd->op->number = 0; /* others came before it, perhaps */
        if (uidset_has(&set, cmd->op->uid)) {
            cmd->op->count++;
            cmd->op->saw = (cmd->op->saw | OP_SAW_VANISHED) & ~(unsigned)OP_SAW_THERE;
            own = true;
        }
    }
    c->box.changes += !earlier;
    c->box.news |= !earlier && !own;
    if (!earlier)
        idle_news(c);
    pool_vanished(c->pool, c->box.name, c->box.state.uidvalidity, &set);
    uidset_free(&set);
    if (n && c->box.state.exists == 0 && !own)
        box_emptied(c);
    return 0;
}

static const struct {
    bool numbered;
    const char *name;
    int (*handle)(struct conn *, const struct response *);
} table[] = {
    {true, "FETCH", on_fetch},
    {true, "EXISTS", on_exists},
    {true, "EXPUNGE", on_expunge},
    {true, "EXPUNGED", on_expunge}, /* mailutils */
    {false, "LIST", on_list},
    {false, "SEARCH", on_search},
    {false, "ESEARCH", on_esearch},
    {false, "STATUS", on_status},
    {false, "CAPABILITY", on_capability},
    {false, "VANISHED", on_vanished},
    {false, "QUOTA", on_quota},
    {false, "NAMESPACE", on_namespace},
    {false, "ENABLED", on_enabled},
};

/* Numbers in codes that say something of the mailbox being selected. */
static void mailbox_code(struct conn *c, enum resp_code code, const struct response *r)
{
    uint64_t n;
    struct op *op = conn_wanting(c, WANT_SELECTED);
    if (!arg_number(r->code_args, INT64_MAX, &n))
        return;
    if (op && code == CODE_UIDVALIDITY && n <= UINT32_MAX)
        op->new_uidvalidity = (uint32_t)n;
    if (code == CODE_HIGHESTMODSEQ && c->box.ready && n > c->box.state.modseq)
        c->box.state.modseq = n;
    if (op && code == CODE_UIDNEXT && n <= UINT32_MAX)
        op->arrival.uidnext_now = (uint32_t)n;
    if (!c->box.name || c->box.ready)
        return;
    if (code == CODE_UIDVALIDITY && n <= UINT32_MAX)
        c->box.state.uidvalidity = (uint32_t)n;
    else if (code == CODE_UIDNEXT && n <= UINT32_MAX)
        c->box.state.uidnext = (uint32_t)n;
    else if (code == CODE_HIGHESTMODSEQ)
        c->box.state.modseq = n;
}

static bool copyuid(struct op *op, const struct arg *a)
{
    uint64_t validity;
    if (!a || !a->next || !a->next->next || !arg_number(a, UINT32_MAX, &validity))
        return false;
    struct str src = a->next->s, dst = a->next->next->s;
    uint32_t uid;
    if (uidset_map(src.p, src.n, dst.p, dst.n, op->uid, &uid) != 0)
        return false;
    op->new_uid = uid;
    op->new_uidvalidity = (uint32_t)validity;
    return true;
}

/* APPENDUID 38505 3955 (RFC 4315 section 3) */
static void appenduid(struct op *op, const struct arg *a)
{
    uint64_t validity, uid;
    if (!a || !arg_number(a, UINT32_MAX, &validity) || !arg_number(a->next, UINT32_MAX, &uid))
        return;
    op->new_uid = (uint32_t)uid;
    op->new_uidvalidity = (uint32_t)validity;
}

void untagged_code(struct conn *c, struct op *op, const struct response *r)
{
    enum resp_code code = code_from_name(r->code);
    if (code == CODE_CLOSED) {
        c->box.closing = false;
    } else if (code == CODE_CAPABILITY) {
        learn_caps(c, r->code_args);
    } else if (str_is(r->code, "NOTIFICATIONOVERFLOW")) {
        c->session.notified = false; /* from now on it tells nothing (RFC 5465 section 5.8) */
        pool_watching(c->pool, c);
        pool_folders(c->pool);
        pool_deaf(c->pool);
    } else if (code == CODE_ALERT) {
        static struct log_limit alerts = LOG_LIMIT("alerts of the server");
        if (log_may(&alerts))
            log_warn("the server says: " STR_FMT, STR_ARG(r->text));
    } else if (code == CODE_COPYUID) {
        /* Untagged before the EXPUNGEs of a MOVE (RFC 6851 section 4.3), else with the tagged OK.
         * Nobody else is interested. */
        if (op && (op->kind == OP_MOVE || op->kind == OP_COPY)) {
            copyuid(op, r->code_args);
            return;
        }
        for (struct cmd *cmd = c->cmds; cmd && !op; cmd = cmd->next)
            if (cmd->op && cmd->op->kind == OP_MOVE && copyuid(cmd->op, r->code_args))
                return;
    } else if (code == CODE_APPENDUID) {
        if (op && op->kind == OP_APPEND)
            appenduid(op, r->code_args);
    } else {
        mailbox_code(c, code, r);
    }
}

enum { DOUBT_PAUSE = 10000 }; /* ms before a mailbox is selected anew once more */

/* An untagged NO or BAD while the server is only asked what is new is how Dovecot says that
 * the selected mailbox was deleted and another one made in its place, of which it tells nothing
 * until that is selected; the command itself it answers OK. The mailbox is not selected anew again
 * and again for that, since the words may be about something else. */
static void trouble(struct conn *c, const struct response *r)
{
    const struct cmd *cmd = c->cmds;
    while (cmd && cmd->op && cmd->op->kind != OP_CHECK)
        cmd = cmd->next;
    if (!c->box.ready || !cmd || c->box.doubt || code_from_name(r->code) == CODE_ALERT ||
        clock_ms() < c->clocks.doubt_next)
        return;
    log_info("%s: selected anew, since the server says: " STR_FMT, c->box.name, STR_ARG(r->text));
    c->clocks.doubt_next = clock_ms() + DOUBT_PAUSE;
    box_doubt(c);
}

int untagged_handle(struct conn *c, const struct response *r)
{
    if (r->cond == COND_BYE) {
        c->session.bye = true;
        buf_reset(&c->session.reply.text);
        buf_add(&c->session.reply.text, r->text.p, r->text.n);
        return c->session.logout ? 0 : -ECONNRESET;
    }
    if (r->cond != COND_NONE) {
        untagged_code(c, NULL, r);
        if (r->cond != COND_OK)
            trouble(c, r);
        return 0;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].numbered == r->has_number && str_is(r->name, table[i].name))
            return table[i].handle(c, r);
    return 0;
}
