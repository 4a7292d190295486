/* Untagged responses about the messages of the selected mailbox. */
#include "imap/base/limits.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/arrival.h"
#include "imap/exec/exec_body.h"
#include "imap/exec/exec_delete.h"
#include "imap/exec/exec_store.h"
#include "imap/exec/untagged.h"
#include "imap/wire/fetch.h"
#include "imap/wire/uidset.h"

/* Is what the server says of messages certainly about the mailbox that is selected? While one is
 * being selected only if it was asked to say what has changed in it, and the one before is closed.
 */
static bool about_box(const struct conn *c)
{
    return box_is_open(&c->box) || (c->box.select == SELECT_ASKED && c->box.resync &&
                                    c->box.resync == c->box.state.uidvalidity);
}

int untagged_exists(struct conn *c, const struct response *r)
{
    if (!c->box.name)
        return 0;
    uint32_t n = r->number < LIMIT_MESSAGES ? r->number : LIMIT_MESSAGES;
    bool more = n > c->box.state.exists;
    if (n != c->box.state.exists && box_is_open(&c->box))
        idle_news(c);
    c->box.state.exists = n;
    if (!box_is_open(&c->box))
        endless_opens(c, n);
    c->box.changes += more;
    c->box.news |= more;
    if (box_is_open(&c->box) && more)
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXISTS);
    return 0;
}

/* Which message it was is said by number only, and numbers are not kept: whoever asked for an
 * expunge knows, and otherwise the cache asks which UIDs are left. */
int untagged_expunge(struct conn *c, const struct response *r)
{
    if (!box_is_open(&c->box))
        return 0;
    if (c->box.state.exists > 0)
        c->box.state.exists--;
    c->box.changes++;
    idle_news(c);
    if (delete_on_expunge(c, r->number))
        return 0;
    c->box.news = true;
    pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXPUNGE);
    if (c->box.state.exists == 0)
        box_emptied(c);
    return 0;
}

int untagged_fetch(struct conn *c, const struct response *r)
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
    if (row.has & FETCH_FLAGS && box_is_open(&c->box))
        idle_news(c);
    if (!row.uid) {
        if (row.has & FETCH_FLAGS)
            pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_FLAGS);
        return 0;
    }
    box_heard(c, row.uid);
    store_row(c, &row);
    look_row(c, &row);
    if (noting)
        arrival_message_row(noting, &row);
    if (row.has & FETCH_BODY && !c->flow.passed)
        body_row(c, &row);
    if (row.has & FETCH_HEADER && header_row(c, &row))
        row.has &= ~(unsigned)FETCH_HEADER;
    if (row.has & ~(unsigned)FETCH_BODY)
        pool_row(c->pool, c->box.name, c->box.state.uidvalidity, &row);
    return 0;
}

/* VANISHED (EARLIER) 41,43:116 (RFC 7162 section 3.2.10): like EXPUNGE, but it tells the UIDs, so
 * that whoever asked for an expunge knows for certain. */
int untagged_vanished(struct conn *c, const struct response *r)
{
    const struct arg *a = r->args;
    bool earlier = a && a->type == ARG_LIST;
    struct uidset set = {0};
    if (earlier)
        a = a->next;
    /* Of what happened earlier it speaks only while a mailbox is selected, and was asked to. */
    if (!about_box(c) || earlier == box_is_open(&c->box))
        return 0;
    if (!a || a->type != ARG_ATOM || uidset_parse(&set, a->s.p, a->s.n) != 0 ||
        (!earlier && uidset_count(&set) > c->box.state.exists)) {
        uidset_free(&set); /* more than there are: the cache asks which are left */
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXPUNGE);
        return 0;
    }
    uint64_t n = earlier ? 0 : uidset_count(&set);
    c->box.state.exists -= n < c->box.state.exists ? (uint32_t)n : c->box.state.exists;
    bool own = delete_on_vanished(c, &set);
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
