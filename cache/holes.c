/* UIDs that the server has named and not described.
 *
 * A server may refuse to describe any message of a set because of one in it, and may have broken
 * off where that one is. So what is left after a refusal is asked for in halves, until that one is
 * asked for alone; what is not described then, or with an OK, is listed by its UID, at
 * once. Now and then it is asked for once more. */
#include "cache/holes.h"

#include <inttypes.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/sync.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

enum { ASK_AGAIN = 5 * 60 * 1000 }; /* ms */

void holes_end(struct holes *h)
{
    uidset_free(&h->todo);
    uidset_free(&h->asked);
    uidset_free(&h->undescribed);
    *h = (struct holes){0};
}

/* Nothing is known of it but its UID, or not even that; not so if it was just revived. */
static bool is_undescribed(const struct folder *f, uint32_t uid)
{
    const struct msg *m = msgtable_find(&f->facts.msgs, uid);
    return m ? !(m->flags & MSG_NAMED) : !msgtable_knows(&f->facts.msgs, uid);
}

/* One that is listed by its UID already is left alone, unless it is time to ask for all again; and
 * one that could not be listed, always. */
static bool is_hole(const struct sync *s, uint32_t uid)
{
    const struct folder *f = s->folder;
    const struct msg *m = msgtable_find(&f->facts.msgs, uid);
    if (!m && f->facts.msgs.n >= LIMIT_MESSAGES)
        return false;
    return is_undescribed(f, uid) && (!m || !m->size || s->holes.all);
}

bool holes_due(struct sync *s)
{
    struct folder *f = s->folder;
    if (!f->facts.undescribed || clock_ms() < f->fresh.describe_at)
        return false;
    f->fresh.describe_at = clock_ms() + ASK_AGAIN;
    s->holes.all = true;
    return true;
}

void holes_find(struct sync *s, const struct uidset *found)
{
    struct holes *h = &s->holes;
    size_t n = 0;
    uidset_free(&h->todo);
    for (size_t i = 0; i < found->n && n < LIMIT_HOLES; i++)
        for (uint64_t uid = found->r[i].lo; uid <= found->r[i].hi && n < LIMIT_HOLES; uid++)
            if (is_hole(s, (uint32_t)uid)) {
                sync_collect(s, &h->todo, (uint32_t)uid, (uint32_t)uid);
                n++;
            }
    h->more = n == LIMIT_HOLES;
    h->upto = h->todo.n ? h->todo.r[h->todo.n - 1].hi : 0;
    if (n)
        s->todo |= SYNC_HOLES;
    else
        s->folder->facts.undescribed &= !h->all;
    if (h->more)
        h->all = false; /* or the same ones might come again and again */
}

/* Moves the first ones of those to do to those that are asked for: as many as a portion is, and,
 * if `line`, as a command line takes; fewer where there is no memory for them. */
static void take_portion(struct holes *h, bool line)
{
    uint64_t left = h->portion ? h->portion : UINT64_MAX;
    size_t taken = 0, most = line ? LIMIT_COMMAND / sizeof "4294967295:4294967295" : SIZE_MAX;
    uidset_free(&h->asked);
    while (taken < h->todo.n && taken < most && left) {
        struct uidrange *r = &h->todo.r[taken];
        uint64_t count = (uint64_t)r->hi - r->lo + 1;
        uint32_t hi = count > left ? r->lo + (uint32_t)(left - 1) : r->hi;
        if (!uidset_try_add(&h->asked, r->lo, hi)) {
            if (!taken)
                mem_gone(); /* for a handful */
            break;
        }
        if (count > left) {
            r->lo = hi + 1;
            break;
        }
        left -= count;
        taken++;
    }
    h->todo.n -= taken;
    memmove(h->todo.r, h->todo.r + taken, h->todo.n * sizeof *h->todo.r);
}

/* For a command line. Where the set is too scattered for one, it is a range over all of it, which
 * costs rows we know already. */
static char *set_text(const struct uidset *set)
{
    struct buf text = {0};
    bool scattered = set->n > LIMIT_COMMAND / 2; /* a range takes two bytes at least */
    if (!scattered)
        uidset_text(set, &text);
    if (scattered || text.len > LIMIT_COMMAND) {
        buf_reset(&text);
        buf_addf(&text, "%u:%u", set->r[0].lo, set->r[set->n - 1].hi);
    }
    return buf_steal(&text);
}

char *holes_ask(struct holes *h)
{
    take_portion(h, h->refusals > 0);
    return set_text(&h->asked);
}

static void list_by_uid(struct sync *s, const struct uidset *uids)
{
    for (size_t i = 0; i < uids->n; i++)
        for (uint64_t uid = uids->r[i].lo; uid <= uids->r[i].hi; uid++) {
            struct msg *m = folder_add(s->folder, (uint32_t)uid);
            if (m && !m->size)
                m->size = MSG_UNKNOWN_SIZE;
            sync_collect(s, &s->holes.undescribed, (uint32_t)uid, (uint32_t)uid);
        }
}

/* Puts what is left of those that were asked for in front of those to do. */
static void put_back(struct sync *s, struct uidset *left)
{
    struct holes *h = &s->holes;
    for (size_t i = 0; i < h->todo.n; i++)
        sync_collect(s, left, h->todo.r[i].lo, h->todo.r[i].hi);
    uidset_free(&h->todo);
    h->todo = *left;
    *left = (struct uidset){0};
}

/* How many are asked for next, after an answer that described some and left some out. */
static void judge(struct holes *h, bool refused, uint64_t described, uint64_t left)
{
    h->refusals += refused;
    h->in_vain = described ? 0 : h->in_vain + refused;
    h->hopeless = h->refusals >= LIMIT_REFUSALS || h->in_vain >= LIMIT_REFUSALS_IN_VAIN;
    if (refused && left > 1)
        h->portion = (left + 1) / 2;
    else if (h->portion)
        h->portion *= 2;
}

static void finish(struct sync *s)
{
    struct folder *f = s->folder;
    struct holes *h = &s->holes;
    if (h->undescribed.n) {
        log_info("%s: the server does not describe %" PRIu64 " of its messages, such as UID %u",
                 f->facts.wire, uidset_count(&h->undescribed), h->undescribed.r[0].lo);
        f->fresh.describe_at = clock_ms() + ASK_AGAIN;
        s->todo |= SYNC_BARE;
    }
    f->facts.undescribed = h->undescribed.n || (f->facts.undescribed && !h->all);
    if (h->more)
        s->todo |= SYNC_UIDS;
}

void holes_answered(struct sync *s, bool refused)
{
    struct holes *h = &s->holes;
    struct uidset left = {0};
    for (size_t i = 0; i < h->asked.n; i++)
        for (uint64_t uid = h->asked.r[i].lo; uid <= h->asked.r[i].hi; uid++)
            if (is_undescribed(s->folder, (uint32_t)uid))
                sync_collect(s, &left, (uint32_t)uid, (uint32_t)uid);
    uint64_t n = uidset_count(&left);
    judge(h, refused, uidset_count(&h->asked) - n, n);
    uidset_free(&h->asked);
    bool again = refused && n > 1 && !h->hopeless;
    if (again || h->hopeless)
        put_back(s, &left);
    if (!again) {
        list_by_uid(s, h->hopeless ? &h->todo : &left);
        uidset_free(h->hopeless ? &h->todo : &left);
    }
    if (h->todo.n)
        s->todo |= SYNC_HOLES;
    else
        finish(s);
}

char *holes_take_undescribed(struct holes *h)
{
    char *text = set_text(&h->undescribed);
    uidset_free(&h->undescribed);
    return text;
}
