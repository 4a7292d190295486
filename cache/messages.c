#include "cache/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "cache/folder.h"
#include "cache/state.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/wire/flags.h"

/* ---- messages ---- */

bool msg_visible(const struct msg *m)
{
    return !(m->flags & (MSG_GONE | FLAG_DELETED));
}

/* ---- the order of listings ---- */

#define PLACES_LATE ((uint64_t)1 << 32)

uint64_t msg_place(const struct msg *m)
{
    return (m->flags & MSG_LATE ? PLACES_LATE : 0) | m->uid;
}

/* Listings have it from now on. */
static void appear(struct folder *f, struct msg *m)
{
    f->news.version++;
    if (f->facts.loaded || m->uid >= f->facts.load_upto)
        return;
    m->flags |= MSG_LATE;
    f->facts.late = true;
}

struct msg *folder_add(struct folder *f, uint32_t uid)
{
    size_t n = f->facts.msgs.n;
    struct msg *m = msgtable_add(&f->facts.msgs, uid);
    if (m && f->facts.msgs.n > n)
        appear(f, m);
    return m;
}

void folder_revive(struct folder *f, struct msg *m)
{
    msgtable_revive(&f->facts.msgs, m);
    appear(f, m);
}

struct msg *folder_next(const struct folder *f, uint64_t place)
{
    bool late = place >= PLACES_LATE;
    struct msg *m = msgtable_after(&f->facts.msgs, (uint32_t)place);
    while (m && late != ((m->flags & MSG_LATE) != 0))
        m = msgtable_after(&f->facts.msgs, m->uid);
    return m || late || !f->facts.late || !f->facts.loaded ? m : folder_next(f, PLACES_LATE);
}

void msg_describe(const struct account *a, const struct folder *f, const struct msg *m,
                  struct msg_info *out)
{
    out->folder = folder_id(a, f);
    out->gen = f->gen;
    out->uid = m->uid;
    out->flags = m->flags & FLAG_SYSTEM;
    out->date = m->date;
    out->size = msg_size(m);
    out->sized = m->flags & MSG_SIZED;
    out->doubtful = out->sized ? m->resized > 0
                               : !m->size || m->size == MSG_UNKNOWN_SIZE || a->bodies.n_wrong_sizes;
    out->place = msg_place(m);
    out->named = m->flags & MSG_NAMED;
    const char *label = msgtable_label(&f->facts.msgs, m);
    size_t n = strnlen(label, sizeof out->label - 1);
    memcpy(out->label, label, n);
    out->label[n] = '\0';
}

void msg_tell_gone(struct account *a, struct folder *f, const struct msg *m)
{
    struct msg_info info;
    f->news.version++;
    msg_describe(a, f, m, &info);
    a->hooks.msg_gone(a->hooks.ctx, &info);
    folder_event(a, f, m, EVENT_EXPUNGED);
}

void folder_tell(struct account *a, struct folder *f)
{
    if (f->news.told == f->news.version)
        return;
    f->news.told = f->news.version;
    f->news.told_when = time(NULL);
    a->hooks.folder_changed(a->hooks.ctx, folder_id(a, f));
}

void folder_meet(struct account *a, struct folder *f)
{
    if (!f->news.met)
        f->news.told = f->news.version;
    f->news.met = true;
    folder_tell(a, f);
}

static void add_path(const struct account *a, const struct folder *f, struct buf *out)
{
    if (f == a->tree.top || !f->parent)
        return;
    add_path(a, f->parent, out);
    buf_addf(out, "%s%s", out->len ? "/" : "", f->facts.name);
}

static void add_flags(const struct folder *f, const struct msg *m, struct buf *out)
{
    flags_text(m->flags & FLAG_SYSTEM & ~(uint32_t)FLAG_RECENT, out);
    const char *keywords = keywords_text(&f->facts.keywords, msg_keywords(m));
    if (*keywords)
        buf_addf(out, "%s%s", out->len ? " " : "", keywords);
}

void folder_event(struct account *a, const struct folder *f, const struct msg *m,
                  enum account_event what)
{
    if (!f->facts.loaded)
        return;
    struct msg_info info;
    struct buf path = {0}, flags = {0};
    msg_describe(a, f, m, &info);
    add_path(a, f, &path);
    if (what == EVENT_FLAGS)
        add_flags(f, m, &flags);
    a->hooks.event(a->hooks.ctx, buf_str(&path), &info, what, buf_str(&flags));
    buf_free(&path);
    buf_free(&flags);
}

void msg_drop(struct account *a, struct folder *f, struct msg *m)
{
    if (msg_visible(m))
        msg_tell_gone(a, f, m);
    body_forget(a, f->gen, m->uid);
    header_forget(a, f->gen, m->uid);
    msgtable_remove(&f->facts.msgs, m);
    sync_went(f->sync, m->uid, m->uid);
}

void folder_forget(struct account *a, struct folder *f)
{
    f->facts.loaded = false;
    struct msgplace at = {0};
    for (struct msg *m; (m = msgtable_walk(&f->facts.msgs, &at)) != NULL;)
        if (!(m->flags & MSG_GONE))
            msg_drop(a, f, m);
    watch_unpromise(a, f);
    msgtable_clear(&f->facts.msgs);
    keywords_clear(&f->facts.keywords);
    uidset_free(&f->facts.own_deleted);
    folder_renumber(a, f);
    f->facts.load_upto = 0;
    f->facts.late = false;
    f->facts.uidvalidity = f->facts.uidnext = 0;
    f->facts.modseq = 0;
    fresh_forget(&f->fresh);
}

struct msg *msg_by_number(struct account *a, uint32_t gen, uint32_t uid, struct folder **f)
{
    for (int hops = 0; hops < 8; hops++) {
        *f = folder_by_gen(a, gen);
        struct msg *m = *f ? msgtable_find(&(*f)->facts.msgs, uid) : NULL;
        if (m && msg_visible(m))
            return m;
        if (!moved_follow(a, &gen, &uid))
            return NULL;
    }
    return NULL;
}

/* ---- questions ---- */

int account_msg(struct account *a, uint32_t gen, uint32_t uid, struct msg_info *out)
{
    struct folder *f;
    account_lock(a);
    const struct msg *m = msg_by_number(a, gen, uid, &f);
    if (m)
        msg_describe(a, f, m, out);
    account_unlock(a);
    return m ? 0 : -ESTALE;
}

uint32_t account_alias(struct account *a, uint32_t folder, const char *name)
{
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    uint32_t uid = f ? moved_alias(a, f, name) : 0;
    struct msg *m = uid ? msgtable_find(&f->facts.msgs, uid) : NULL;
    if (!m || !msg_visible(m))
        uid = f && !f->facts.loaded ? uid : 0;
    account_unlock(a);
    return uid;
}

int account_flags(struct account *a, uint32_t gen, uint32_t uid, struct buf *out)
{
    struct folder *f;
    account_lock(a);
    const struct msg *m = msg_by_number(a, gen, uid, &f);
    if (m) {
        add_flags(f, m, out);
    }
    account_unlock(a);
    return m ? 0 : -ESTALE;
}
