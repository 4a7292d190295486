/* The mailbox that a connection has selected. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/conn.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/conn/trace.h"

void box_become(struct conn *c, enum select_state select)
{
    static const char *const names[] = {
        [SELECT_NONE] = "NONE", [SELECT_CLOSING] = "CLOSING", [SELECT_ASKED] = "ASKED",
        [SELECT_OPEN] = "OPEN", [SELECT_DOUBTED] = "DOUBTED",
    };
    if (c->box.select == select)
        return;
    conn_debug_state(c, "SELECT", names[c->box.select], names[select]);
    c->box.select = select;
}

void box_closed(struct conn *c)
{
    if (c->box.select == SELECT_CLOSING)
        box_become(c, SELECT_ASKED);
}

void conn_forget_box(struct conn *c)
{
    box_become(c, SELECT_NONE);
    free(c->box.name);
    c->box = (struct box){0};
    c->idle.known_at = 0;
    c->idle.judged = false;
    pool_selected(c->pool, c, NULL, 0, false);
}

/* Is `name` the mailbox, or below it? */
static bool covers(const char *mailbox, char delim, const char *name)
{
    size_t n = strlen(mailbox);
    return strncmp(name, mailbox, n) == 0 && (name[n] == '\0' || (delim && name[n] == delim));
}

void conn_leave_box(struct conn *c)
{
    /* Never CLOSE, which expunges. Without UNSELECT, failing to open another mailbox closes this
     * one (RFC 3501 section 6.3.1). */
    const char *leave = caps_has(&c->caps, CAP_UNSELECT)
                            ? "UNSELECT"
                            : "EXAMINE \"imapfs: no such mailbox, to close the one that is open\"";
    buf_adds(conn_begin(c, NULL, 0, WANT_NONE), leave);
    conn_end(c);
    conn_forget_box(c);
}

void conn_deselect(struct conn *c, const char *mailbox, char delim)
{
    pool_unselect(c->pool, c, mailbox, delim);
    if (c->box.name && covers(mailbox, delim, c->box.name))
        conn_leave_box(c);
}

/* May the server be asked to tell what has changed since? Also while the ENABLE in front of it is
 * in flight: a reconnect is followed by looks at once, and it is then that much may have changed.
 */
static bool may_resync(const struct conn *c)
{
    return (c->session.qresync || c->session.enable_tag) && !c->session.no_resync &&
           pool_may_ask(c->pool, EXTRA_RESYNC);
}

void conn_select(struct conn *c, struct op *op, bool write)
{
    bool closing = c->box.name;
    conn_forget_box(c);
    c->selecting = op;
    c->box.name = mem_strdup(op->mailbox);
    c->box.write = write;
    box_become(c, closing ? SELECT_CLOSING : SELECT_ASKED);
    struct buf *b = conn_begin(c, op, STEP_SELECT, WANT_NONE);
    buf_adds(b, write ? "SELECT " : "EXAMINE ");
    conn_mailbox(c, b, op->mailbox);
    uint64_t modseq;
    uint32_t validity;
    if (may_resync(c) && op_resyncs(op, &modseq, &validity)) {
        c->box.resync = validity;
        buf_addf(b, " (QRESYNC (%u %" PRIu64 "))", validity, modseq);
    } else if (caps_has(&c->caps, CAP_CONDSTORE)) {
        buf_adds(b, " (CONDSTORE)");
    }
    conn_end(c);
}

bool box_fits(const struct conn *c, const struct op *op, bool write)
{
    bool sound = box_is_open(&c->box) && !(c->box.select == SELECT_DOUBTED && !conn_busy(c));
    return sound && strcmp(c->box.name, op->mailbox) == 0 && (c->box.write || !write);
}

void box_heard(struct conn *c, uint32_t uid)
{
    if (uid >= c->box.heard)
        c->box.heard = uid < UINT32_MAX ? uid + 1 : uid;
}

void box_doubt(struct conn *c)
{
    if (c->box.select != SELECT_OPEN)
        return;
    box_become(c, SELECT_DOUBTED);
    pool_watching(c->pool, c);
    pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_POLL);
}

void box_emptied(struct conn *c)
{
    /* So it looks when a mailbox is deleted and made anew, of which Cyrus then tells nothing. */
    log_debug("%s: empty by now: selected anew before that is believed", c->box.name);
    box_doubt(c);
}

bool box_contradicted(struct conn *c, const struct mailbox_state *said, uint32_t before)
{
    const struct mailbox_state *here = &c->box.state;
    uint32_t least = before < here->exists ? before : here->exists;
    uint32_t most = before > here->exists ? before : here->exists;
    bool other =
        (said->uidvalidity && here->uidvalidity && said->uidvalidity != here->uidvalidity) ||
        (said->uidnext && said->uidnext < here->uidnext);
    /* What comes and goes between the two answers makes a difference, too; where it is always
     * there, it means nothing. */
    bool count = said->exists != UINT32_MAX && (said->exists < least || said->exists > most) &&
                 pool_may_ask(c->pool, EXTRA_COUNT);
    if (other || count)
        log_info("%s: selected anew, since STATUS says otherwise (UIDVALIDITY %u, UIDNEXT %u, "
                 "messages %u; here %u, %u, %u)",
                 c->box.name, said->uidvalidity, said->uidnext, said->exists, here->uidvalidity,
                 here->uidnext, here->exists);
    return other || count;
}

bool box_other_validity(const struct conn *c, const struct op *op)
{
    return op->uidvalidity && c->box.state.uidvalidity &&
           op->uidvalidity != c->box.state.uidvalidity;
}

/* Was the question of what had changed what the server would not take? NO says that only where the
 * ENABLE in front of it did not work either; else it is about the mailbox. */
static bool resync_refused(struct conn *c, const struct response *r)
{
    if (!c->box.resync || !(r->cond == COND_BAD || (r->cond == COND_NO && !c->session.qresync)))
        return false;
    c->session.no_resync = true;
    pool_hangs_up(c->pool, EXTRA_RESYNC);
    return true;
}

void box_selected(struct conn *c, struct op *op, const struct response *r)
{
    c->selecting = NULL;
    int err = outcome_errno(r);
    if (err) {
        bool again = resync_refused(c, r), write = c->box.write;
        conn_forget_box(c);
        if (again)
            conn_select(c, op, write);
        else
            conn_finish(c, op, err);
        return;
    }
    if (c->box.resync)
        pool_answers(c->pool, EXTRA_RESYNC);
    /* Without [CLOSED] nothing that was told is believed to be about this mailbox; and a server
     * that has not enabled it may take the question and tell nothing. */
    c->box.state.resynced = c->session.qresync && c->box.resync &&
                            c->box.resync == c->box.state.uidvalidity &&
                            c->box.select != SELECT_CLOSING;
    box_become(c, SELECT_OPEN);
    c->box.fresh = c->box.just_selected = true;
    c->box.news = false;
    idle_known(c);
    c->box.read_only = code_from_name(r->code) == CODE_READ_ONLY;
    pool_selected(c->pool, c, c->box.name, c->box.state.uidvalidity, c->box.write);
    if (box_other_validity(c, op)) {
        log_warn("mailbox %s has a new UIDVALIDITY (%u, was %u): what was known of it is void",
                 op->mailbox, c->box.state.uidvalidity, op->uidvalidity);
        conn_finish(c, op, -ESTALE);
    } else if (op_class(op)->write && c->box.read_only) {
        log_info("mailbox %s is read-only on the server", op->mailbox);
        conn_finish(c, op, -EACCES);
    } else {
        conn_start(c, op);
    }
}
