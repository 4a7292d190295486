#include "cache/rows.h"

#include <string.h>

#include "cache/change.h"
#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/wire/fetch.h"
#include "imap/wire/flags.h"

/* The bits of msg.flags for the keywords among `flags`. */
static uint32_t keyword_bits(struct folder *f, const struct arg *flags)
{
    struct str names[LIMIT_KEYWORDS];
    size_t n = 0;
    for (const struct arg *k = flags; k && n < LIMIT_KEYWORDS; k = k->next)
        if (k->type == ARG_ATOM && k->s.n && *k->s.p != '\\' && k->s.n <= LIMIT_KEYWORD)
            names[n++] = k->s;
    bool was_full = f->facts.keywords.full;
    uint32_t number = keywords_number(&f->facts.keywords, names, n);
    if (f->facts.keywords.full && !was_full)
        log_warn("%s: too many sets of keywords: messages with others are shown without",
                 f->facts.wire);
    f->facts.msgs.failed |= f->facts.keywords.failed;
    f->facts.keywords.failed = false;
    return number << MSG_KEYWORDS_SHIFT;
}

/* `is_new`: what makes it known came in the same row, and is told of by the caller. */
static void take_flags(struct account *a, struct folder *f, struct msg *m,
                       const struct fetch_row *row, bool is_new)
{
    uint32_t flags = row->flags | keyword_bits(f, row->flag_list);
    bool was_visible = msg_visible(m);
    uint32_t before = m->flags;
    m->flags = (m->flags & ~(FLAG_SYSTEM | MSG_KEYWORDS)) | flags;
    if (was_visible && !msg_visible(m))
        msg_tell_gone(a, f, m);
    if (!was_visible && msg_visible(m)) {
        f->news.version++;
        if (before & MSG_NAMED && !is_new)
            folder_event(a, f, m, EVENT_NEW); /* rescued from deletion */
    }
    if (was_visible && msg_visible(m) && before & MSG_NAMED && !is_new &&
        (before ^ m->flags) & ~(uint32_t)FLAG_RECENT)
        folder_event(a, f, m, EVENT_FLAGS);
    if (msg_visible(m) && f->facts.own_deleted.n)
        uidset_remove(&f->facts.own_deleted, m->uid); /* someone rescued it: it is mail again */
}

static void take_row(struct account *a, struct folder *f, const struct fetch_row *row,
                     const char *label, size_t label_len)
{
    bool meta = row->has & (FETCH_SIZE | FETCH_HEADER | FETCH_DATE), is_new = false;
    bool counted = sync_row(f->sync, row->uid, meta);
    if (row->has & FETCH_HEADER && !msgtable_label_room(&f->facts.msgs, label_len))
        return; /* rather not at all than under no name for good */
    struct msg *m = meta ? folder_add(f, row->uid) : msgtable_find(&f->facts.msgs, row->uid);
    if (!m) {
        if (!meta && !counted && !msgtable_knows(&f->facts.msgs, row->uid))
            f->watch.hints |= CHANGE_EXISTS; /* flags of a message we have not met */
        return;
    }
    /* What gives the name is taken once: a name stays as long as its message. */
    if (row->has & FETCH_DATE && !(m->flags & MSG_NAMED))
        m->date = row->date;
    if (row->has & FETCH_SIZE && !(m->flags & MSG_SIZED))
        m->size = row->size;
    if (row->has & FETCH_HEADER && !(m->flags & MSG_NAMED)) {
        msgtable_set_label(&f->facts.msgs, m, label, label_len);
        m->flags |= MSG_NAMED;
        f->news.version++;
        is_new = true;
    }
    if (row->has & FETCH_FLAGS)
        take_flags(a, f, m, row, is_new);
    if (is_new && msg_visible(m))
        folder_event(a, f, m, EVENT_NEW);
    if (meta)
        sync_loaded(f->sync, row);
}

void rows_on_row(void *account, const char *mailbox, uint32_t uidvalidity,
                 const struct fetch_row *row)
{
    struct account *a = account;
    char label[ACCOUNT_LABEL_MAX];
    size_t label_len = 0;
    if (row->has & FETCH_HEADER) {
        size_t n = row->header.n < LIMIT_HEADER ? row->header.n : LIMIT_HEADER;
        label_len = a->hooks.label(row->header.p, n, label, sizeof label);
    }
    account_lock(a);
    struct folder *f = folder_by_wire(a, mailbox);
    if (f && f->facts.uidvalidity == uidvalidity)
        take_row(a, f, row, label, label_len);
    account_unlock(a);
}

void rows_on_change(void *account, const char *mailbox, uint32_t uidvalidity, unsigned what)
{
    struct account *a = account;
    account_lock(a);
    struct folder *f = folder_by_wire(a, mailbox);
    if (f && f->facts.uidvalidity == uidvalidity) {
        f->watch.hints |= what;
        watch_folder(a, f);
    }
    account_unlock(a);
}

void rows_on_vanished(void *account, const char *mailbox, uint32_t uidvalidity,
                      const struct uidset *uids)
{
    struct account *a = account;
    account_lock(a);
    struct folder *f = folder_by_wire(a, mailbox);
    for (size_t i = 0; f && f->facts.uidvalidity == uidvalidity && i < uids->n; i++) {
        struct msg *m = msgtable_after(&f->facts.msgs, uids->r[i].lo - 1);
        for (; m && m->uid <= uids->r[i].hi; m = msgtable_after(&f->facts.msgs, m->uid)) {
            /* What becomes of one that is being changed, its change knows. */
            if (!change_vanished(a, f->gen, m->uid))
                msg_drop(a, f, m);
        }
        sync_went(f->sync, uids->r[i].lo, uids->r[i].hi); /* also what was known to be gone */
    }
    if (f)
        folder_tell(a, f);
    account_unlock(a);
}
