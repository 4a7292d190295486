/* Operations that change mailboxes. After a lost connection LIST tells whether they were done. */
#include "imap/exec/exec_mailbox.h"

#include <errno.h>

#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/exec/op_mailbox.h"
#include "imap/exec/search.h"

enum step {
    STEP_LOOK,
    STEP_LOOK_DEST,
    STEP_LOOK_SELF,
    STEP_CHILDREN,
    STEP_STATUS,
    STEP_EXAMINE,
    STEP_SEARCH_UNDELETED,
    STEP_SEARCH_ALL,
    STEP_DO,
    STEP_LOOK_BEFORE,  /* in front of a CREATE, in the same flight */
    STEP_LOOK_REFUSED, /* behind a CREATE or RENAME whose refusal proves little; of RENAME, two */
    STEP_LOOK_REFUSED_DEST,
};

/* How far an operation got, of any of the three kinds. */
struct progress {
    enum { PHASE_BEGIN, PHASE_SENT } phase;
    bool unsure; /* the answer to one was lost, so it may be done at any time */
    /* What LIST had: the mailbox, as one that holds messages, or as a level that holds none; the
     * one it is to be; something below it. */
    bool mailbox, level, dest, below;
    bool counted; /* STATUS had MESSAGES: */
    uint64_t count;
    uint32_t uidvalidity; /* as the mailbox is opened; 0: the server did not say */
    int fail;             /* first error of its commands, kept until the last is answered */
    struct search search;
};
static_assert(sizeof(struct progress) <= OP_PROGRESS, "room");

static struct progress *progress_of(const struct op *op)
{
    return op->progress;
}

static void list_nothing(struct op *op)
{
    struct progress *p = progress_of(op);
    p->mailbox = p->level = p->dest = p->below = p->counted = false;
}

/* LIST of one exact name; mailbox_listed() notes which of ours came by. A name with a wildcard in
 * it may bring others along, which do no harm. */
static void look(struct conn *c, struct op *op, int step, const char *name)
{
    struct buf *b = conn_begin(c, op, step, WANT_LIST);
    buf_adds(b, "LIST \"\" ");
    conn_mailbox(c, b, name);
    conn_end(c);
}

static void send_named(struct conn *c, struct op *op, int step, const char *command,
                       const char *name)
{
    struct buf *b = conn_begin(c, op, step, WANT_NONE);
    buf_adds(b, command);
    buf_addc(b, ' ');
    conn_mailbox(c, b, name);
    conn_end(c);
}

/* Other clients show what is subscribed, so a new folder is, and one that is gone is not, which a
 * server must not see to by itself (RFC 3501 section 6.3.9). Whether it works is no matter. */
static void subscribe(struct conn *c, const char *name)
{
    send_named(c, NULL, 0, "SUBSCRIBE", name);
}

static void unsubscribe(struct conn *c, const char *name)
{
    send_named(c, NULL, 0, "UNSUBSCRIBE", name);
}

/* Was the answer to a change lost, at any time? Then it may have been done, or may be done yet, and
 * what is found later is no other's work. A NO is no such case: the server says that it has done
 * nothing. */
static bool is_unsure(struct op *op)
{
    progress_of(op)->unsure |= op->resumed && progress_of(op)->phase == PHASE_SENT;
    progress_of(op)->phase = PHASE_BEGIN;
    return progress_of(op)->unsure;
}

/* ---- CREATE ---- */

static void create_send(struct conn *c, struct op *op)
{
    progress_of(op)->phase = PHASE_SENT;
    send_named(c, op, STEP_DO, "CREATE", op->mailbox);
}

/* In front of a CREATE it is asked whether the mailbox is there, in the same flight, so that a
 * refusal can be judged by that. */
static void create_start(struct conn *c, struct op *op)
{
    list_nothing(op);
    if (is_unsure(op)) {
        look(c, op, STEP_LOOK, op->mailbox);
    } else {
        look(c, op, STEP_LOOK_BEFORE, op->mailbox);
        create_send(c, op);
    }
}

/* May the mailbox be there by this very operation, although the server refused it?
 *
 * Where the answer to a first CREATE was lost, that one may still have been at work when it was
 * looked for. And Dovecot 2.3 says "already exists" of what it has just made itself: a session that
 * comes across the half-made Maildir completes it, and CREATE then finds those directories. One
 * CREATE in eight ends so while others log in and look around. In both cases LIST has not had the
 * mailbox right before. Should another client have made it in this very moment, mkdir tells two of
 * them that they made it: that is the lesser evil, since the folder is there and new, and it would
 * else fail often for no reason. */
static bool create_doubtful(const struct op *op, int err)
{
    return !progress_of(op)->mailbox && (err == -EEXIST || progress_of(op)->unsure);
}

static void create_end(struct conn *c, struct op *op, int err)
{
    if (!err)
        subscribe(c, op->mailbox);
    conn_finish(c, op, err);
}

static void create_refused(struct conn *c, struct op *op, int err, enum resp_cond cond)
{
    progress_of(op)->phase = PHASE_BEGIN;
    if (cond != COND_NO || err == -EBUSY || !create_doubtful(op, err)) {
        create_end(c, op, err);
        return;
    }
    progress_of(op)->fail = err;
    progress_of(op)->unsure = true; /* also should this connection be lost before it is found */
    look(c, op, STEP_LOOK_REFUSED, op->mailbox);
}

static void create_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    bool there = progress_of(op)->mailbox;
    switch (step) {
    case STEP_LOOK_BEFORE:
        progress_of(op)->mailbox |= err != 0; /* it may be there as well as not */
        return;
    case STEP_LOOK:
        if (err || there)
            create_end(c, op, err);
        else
            create_send(c, op);
        return;
    case STEP_LOOK_REFUSED:
        create_end(c, op, !err && there ? 0 : progress_of(op)->fail);
        return;
    default:
        if (err)
            create_refused(c, op, err, r->cond);
        else
            create_end(c, op, 0);
        return;
    }
}

const struct op_class exec_create = {
    .retry = RETRY_SETTLE, .start = create_start, .answered = create_answered};

/* ---- DELETE of an empty mailbox ---- */

static void remove_send(struct conn *c, struct op *op)
{
    progress_of(op)->phase = PHASE_SENT;
    conn_deselect(c, op->mailbox, op_as_remove(op)->delim);
    send_named(c, op, STEP_DO, "DELETE", op->mailbox);
}

/* DELETE destroys mail without asking, so right before it the server is asked what is there;
 * nothing that was known of the mailbox counts. */
static void remove_inspect(struct conn *c, struct op *op)
{
    list_nothing(op);
    progress_of(op)->count = 0;
    progress_of(op)->fail = 0;
    progress_of(op)->phase = PHASE_BEGIN;
    conn_deselect(c, op->mailbox, op_as_remove(op)->delim);
    look(c, op, STEP_LOOK_SELF, op->mailbox);
    if (op_as_remove(op)->delim) {
        struct buf name = {0};
        buf_adds(&name, op->mailbox);
        buf_addc(&name, op_as_remove(op)->delim);
        buf_addc(&name, '%');
        look(c, op, STEP_CHILDREN, buf_str(&name));
        buf_free(&name);
    }
    struct buf *b = conn_begin(c, op, STEP_STATUS, WANT_STATUS);
    buf_adds(b, "STATUS ");
    conn_mailbox(c, b, op->mailbox);
    buf_adds(b, " (MESSAGES)");
    conn_end(c);
}

static void remove_start(struct conn *c, struct op *op)
{
    list_nothing(op);
    if (is_unsure(op))
        look(c, op, STEP_LOOK, op->mailbox);
    else
        remove_inspect(c, op);
}

/* Messages that this mount flagged \Deleted but could not expunge do not keep a folder alive, as
 * long as they are still \Deleted and nothing else is there. */
static void remove_search(struct conn *c, struct op *op)
{
    progress_of(op)->fail = 0;
    progress_of(op)->uidvalidity = 0;
    conn_forget_box(c);
    struct buf *b = conn_begin(c, op, STEP_EXAMINE, WANT_SELECTED);
    buf_adds(b, "EXAMINE ");
    conn_mailbox(c, b, op->mailbox);
    conn_end(c);
    search_begin(&progress_of(op)->search);
    buf_adds(conn_begin(c, op, STEP_SEARCH_UNDELETED, WANT_SEARCH), "UID SEARCH UNDELETED");
    conn_end(c);
}

static bool all_spare(const struct op *op)
{
    const struct uidset *found = &progress_of(op)->search.found, *spare = &op_as_remove(op)->spare;
    return found->n && uidset_within(found, spare, spare);
}

static void remove_end(struct conn *c, struct op *op, int err)
{
    /* The first one, whose answer was lost, was still at work when it was looked for. */
    if (progress_of(op)->unsure && err == -ENOENT)
        err = 0;
    if (!err)
        unsubscribe(c, op->mailbox);
    conn_finish(c, op, err);
}

static void remove_counted(struct conn *c, struct op *op, int err)
{
    bool selectable = progress_of(op)->mailbox;
    if (progress_of(op)->fail)
        conn_finish(c, op, progress_of(op)->fail);
    else if (progress_of(op)->below)
        conn_finish(c, op, -ENOTEMPTY);
    else if (err && !selectable)
        remove_send(c, op); /* a level that holds no messages, and nothing below it */
    else if (err)
        remove_end(c, op, err);
    else if (!progress_of(op)->counted)
        conn_finish(c, op, -EIO); /* OK, but no number: nothing is destroyed on a guess */
    else if (progress_of(op)->count == 0)
        remove_send(c, op);
    else if (progress_of(op)->count > uidset_count(&op_as_remove(op)->spare))
        conn_finish(c, op, -ENOTEMPTY);
    else
        remove_search(c, op);
}

/* The two searches behind the EXAMINE: nothing that is not \Deleted, and nothing that is not ours.
 */
static void remove_searched(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (!err)
        err = search_error(&progress_of(op)->search, r);
    if (err || progress_of(op)->fail) {
        conn_leave_box(c);
        conn_finish(c, op, progress_of(op)->fail ? progress_of(op)->fail : err);
    } else if (step == STEP_SEARCH_UNDELETED && progress_of(op)->search.found.n == 0 &&
               op->uidvalidity && progress_of(op)->uidvalidity == op->uidvalidity) {
        search_begin(&progress_of(op)->search);
        buf_adds(conn_begin(c, op, STEP_SEARCH_ALL, WANT_SEARCH), "UID SEARCH ALL");
        conn_end(c);
    } else if (step == STEP_SEARCH_ALL && all_spare(op)) {
        conn_leave_box(c);
        remove_send(c, op);
    } else {
        conn_leave_box(c);
        conn_finish(c, op, -ENOTEMPTY);
    }
}

static void remove_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    switch (step) {
    case STEP_LOOK:
        if (!err && (progress_of(op)->mailbox || progress_of(op)->level))
            remove_inspect(c, op);
        else
            remove_end(c, op, err);
        return;
    case STEP_LOOK_SELF:
    case STEP_CHILDREN:
    case STEP_EXAMINE:
        progress_of(op)->fail = progress_of(op)->fail ? progress_of(op)->fail : err;
        return; /* the next one is on its way */
    case STEP_STATUS:
        remove_counted(c, op, err);
        return;
    case STEP_SEARCH_UNDELETED:
    case STEP_SEARCH_ALL:
        remove_searched(c, op, step, r);
        return;
    default:
        progress_of(op)->phase = PHASE_BEGIN;
        /* A level that exists only through its children is gone when the last of them is. */
        remove_end(c, op, !progress_of(op)->mailbox && err == -ENOENT ? 0 : err);
        return;
    }
}

static struct search *remove_search_answer(const struct op *op)
{
    return &progress_of(op)->search;
}

static void remove_over(struct op *op)
{
    search_begin(&progress_of(op)->search);
}

const struct op_class exec_remove = {.retry = RETRY_SETTLE,
                                     .alone = true,
                                     .searches = true,
                                     .start = remove_start,
                                     .answered = remove_answered,
                                     .end = remove_over,
                                     .search = remove_search_answer};

/* ---- RENAME ---- */

static void rename_send(struct conn *c, struct op *op)
{
    progress_of(op)->phase = PHASE_SENT;
    conn_deselect(c, op->mailbox, op_as_rename(op)->delim);
    struct buf *b = conn_begin(c, op, STEP_DO, WANT_NONE);
    buf_adds(b, "RENAME ");
    conn_mailbox(c, b, op->mailbox);
    buf_addc(b, ' ');
    conn_mailbox(c, b, op_as_rename(op)->dest);
    conn_end(c);
}

static void rename_start(struct conn *c, struct op *op)
{
    list_nothing(op);
    if (is_unsure(op)) {
        look(c, op, STEP_LOOK, op->mailbox);
        look(c, op, STEP_LOOK_DEST, op_as_rename(op)->dest);
    } else {
        rename_send(c, op);
    }
}

/* A second RENAME is refused: perhaps because the first, whose answer was lost, was still at work
 * when it was looked for, and has succeeded since. */
static void rename_doubted(struct conn *c, struct op *op, int err)
{
    list_nothing(op);
    progress_of(op)->fail = err;
    look(c, op, STEP_LOOK_REFUSED, op->mailbox);
    look(c, op, STEP_LOOK_REFUSED_DEST, op_as_rename(op)->dest);
}

static bool renamed(const struct op *op)
{
    return progress_of(op)->dest && !progress_of(op)->mailbox;
}

static void rename_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (step == STEP_LOOK_REFUSED) {
        progress_of(op)->mailbox |= err != 0; /* it may be there as well as not */
        return;
    }
    if (step == STEP_DO)
        progress_of(op)->phase = PHASE_BEGIN;
    if (step == STEP_DO && r->cond == COND_NO && err != -EBUSY && progress_of(op)->unsure) {
        rename_doubted(c, op, err);
        return;
    }
    if (step == STEP_LOOK_REFUSED_DEST)
        err = !err && renamed(op) ? 0 : progress_of(op)->fail;
    if (step == STEP_LOOK) {
        progress_of(op)->fail = err;
        return;
    }
    if (step == STEP_LOOK_DEST) {
        err = err ? err : progress_of(op)->fail;
        if (!err && progress_of(op)->mailbox && !progress_of(op)->dest) {
            rename_send(c, op);
            return;
        }
        if (!err && !renamed(op) && exec_too_early(c, op)) {
            exec_later(c, op); /* it may be in the middle of it */
            return;
        }
        if (!err && !renamed(op))
            err = -EIO; /* both are there, or neither: nobody can tell what happened */
    }
    if (!err) {
        subscribe(c, op_as_rename(op)->dest);
        unsubscribe(c, op->mailbox);
    }
    conn_finish(c, op, err);
}

const struct op_class exec_rename = {
    .retry = RETRY_SETTLE, .alone = true, .start = rename_start, .answered = rename_answered};

/* ---- what is told untagged ---- */

/* INBOX is INBOX in any case, all other names are what they are, byte by byte. */
bool mailbox_is(struct str name, const char *mailbox)
{
    if (strcasecmp(mailbox, "INBOX") == 0)
        return str_is(name, mailbox);
    return name.n == strlen(mailbox) && memcmp(name.p, mailbox, name.n) == 0;
}

static const char *dest_of(const struct op *op)
{
    return op->kind == OP_RENAME ? op_as_rename(op)->dest : NULL;
}

static char delim_of(const struct op *op)
{
    return op->kind == OP_RENAME   ? op_as_rename(op)->delim
           : op->kind == OP_REMOVE ? op_as_remove(op)->delim
                                   : '\0';
}

void mailbox_listed(struct op *op, struct str name, bool exists, bool holds_mail)
{
    struct progress *p = progress_of(op);
    const char *dest = dest_of(op);
    size_t n = strlen(op->mailbox);
    if (mailbox_is(name, op->mailbox)) {
        bool plain = holds_mail || op->kind == OP_RENAME;
        p->mailbox |= exists && plain;
        p->level |= exists && !plain;
    } else if (dest && mailbox_is(name, dest)) {
        p->dest |= exists;
    } else if (!strpbrk(op->mailbox, "%*") ||
               (name.n > n && name.p[n] == delim_of(op) && memcmp(name.p, op->mailbox, n) == 0)) {
        p->below = true;
    }
}

void mailbox_counted(struct op *op, uint32_t messages)
{
    progress_of(op)->counted = true;
    progress_of(op)->count = messages;
}

void mailbox_opened(struct op *op, uint32_t uidvalidity)
{
    progress_of(op)->uidvalidity = uidvalidity;
}

void untagged_passed_over(struct conn *c)
{
    struct op *listing = conn_wanting(c, WANT_LIST);
    if (listing && listing->kind == OP_REMOVE)
        progress_of(listing)->below = true; /* perhaps it named something: nothing is deleted */
}
