/* Questions about a folder's messages: is what is known good enough? If not, who asks waits for a
 * sync. */
#include "cache/account.h"

#include <errno.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"

enum { BELIEVED = 5000 }; /* ms that the silence of a server is taken for news of none */

/* Is what is known not older than `since`? That is when a look began; or any time while the server
 * tells of changes as they happen, if there was a look after that connection had selected the
 * mailbox. A server that may tell of them later is believed for a short time. */
static bool is_fresh(struct account *a, struct folder *f, int64_t since)
{
    struct freshness *fr = &f->fresh;
    if (!f->watch.hints && !f->sync && fr->synced_at >= pool_hears(a->pool, f->facts.wire))
        fr->heard_at = pool_tells_at_once(a->pool) || clock_ms() < fr->synced_at + BELIEVED
                           ? clock_ms()
                           : fr->synced_at + BELIEVED;
    return f->facts.loaded && (fr->synced_at >= since || fr->heard_at >= since);
}

int account_sync(struct account *a, uint32_t folder, enum trust trust, int64_t asked,
                 struct waiter *w)
{
    int64_t since = trust_since(trust, asked);
    int result = 0;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (f)
        watch_used(f);
    if (!f) {
        result = -ESTALE;
    } else if (!f->facts.noselect && !is_fresh(a, f, since)) {
        waiter_add(&sync_join(a, f, 0)->waiters, w);
        result = -EINPROGRESS;
    }
    account_unlock(a);
    return result;
}

/* Is its name still on its way? */
static bool is_half(const struct folder *f, const struct msg *m)
{
    return !(m->flags & MSG_NAMED) && f->sync && (!f->facts.loaded || m->uid >= f->sync->from);
}

int account_list(struct account *a, uint32_t folder, uint64_t after, struct msg_info *out,
                 size_t max, size_t *n, struct waiter *w)
{
    int result = 0;
    *n = 0;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (!f) {
        result = -ESTALE;
    } else {
        watch_used(f);
        for (const struct msg *m; *n < max && (m = folder_next(f, after)) != NULL;) {
            after = msg_place(m);
            if (!f->facts.loaded && m->uid > f->facts.load_upto)
                break; /* met by a probe; those before it have not come yet */
            bool half = is_half(f, m);
            if (half && !f->facts.loaded)
                break;
            if (half)
                f->sync->left_out = true;
            else if (msg_visible(m))
                msg_describe(a, f, m, &out[(*n)++]);
        }
        if (*n == 0 && !f->facts.loaded && !f->facts.noselect) {
            sync_await_rows(a, sync_join(a, f, 0), w);
            result = -EINPROGRESS;
        }
    }
    account_unlock(a);
    return result;
}

/* Is `m`, of a folder that is not loaded, known well enough? It is if it came with the load that is
 * under way, was just moved here, or was asked for alone; and that may be long ago if, as in
 * is_fresh(), the server has been telling of changes ever since. */
static bool is_believed(struct account *a, struct folder *f, const struct msg *m, int64_t since)
{
    if (f->sync && !f->sync->probe)
        return true;
    if (fresh_is_last(&f->fresh, m->uid, since) || fresh_was_probed(&f->fresh, m->uid, since))
        return true;
    int64_t heard = pool_hears(a->pool, f->facts.wire);
    if (!pool_tells_at_once(a->pool) && heard < since - BELIEVED)
        heard = since - BELIEVED;
    return !(f->watch.hints & (CHANGE_EXPUNGE | CHANGE_FLAGS)) &&
           fresh_was_probed(&f->fresh, m->uid, heard);
}

int account_find(struct account *a, uint32_t folder, uint32_t uid, enum trust trust, int64_t asked,
                 struct msg_info *out, struct waiter *w)
{
    int64_t since = trust_since(trust, asked);
    int result = -ENOENT;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    struct msg *m = f ? msgtable_find(&f->facts.msgs, uid) : NULL;
    if (f)
        watch_used(f);
    if (!f) {
        result = -ESTALE;
    } else if (m && !is_half(f, m) && (f->facts.loaded || is_believed(a, f, m, since))) {
        if (msg_visible(m)) {
            msg_describe(a, f, m, out);
            result = 0;
        }
    } else if (!m && fresh_is_none(&f->fresh, uid, since)) {
        result = -ENOENT; /* a UID that was not given out yet a moment ago */
    } else if (!f->facts.noselect && (f->facts.loaded ? !is_fresh(a, f, since)
                                                      : !fresh_was_probed(&f->fresh, uid, since))) {
        /* One message of a folder that nobody listed is asked for alone: the folder may be huge. */
        waiter_add(&sync_join(a, f, f->facts.loaded ? 0 : uid)->waiters, w);
        result = -EINPROGRESS;
    }
    account_unlock(a);
    return result;
}

void account_look(struct account *a, uint32_t folder, enum trust trust, int64_t asked)
{
    int64_t since = trust_since(trust, asked);
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (f && f->facts.loaded && !f->sync && !is_fresh(a, f, since)) {
        f->watch.hints |= CHANGE_POLL;
        watch_folder(a, f);
    }
    account_unlock(a);
}
