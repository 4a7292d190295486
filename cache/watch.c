/* Follows what the server tells unasked, and looks by itself where it tells nothing.
 *
 * What the connections hear is noted (watch_entry.hints, watch.tree_due) and acted upon by one
 * thread, at once the first time and then at most once a second for each folder, so that neither a
 * busy mailbox nor a chattering server keeps us busy. After a word about mailboxes that are not
 * selected there is a second look, as a server may leave out what followed closely (Dovecot 2.3
 * does). The same thread looks every `poll` seconds after the folders used last, as far as they are
 * in use and no connection is told of them. */
#include "cache/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/mem.h"
#include "imap/wire/utf7.h"

enum {
    SPACING = 1000, /* ms between two looks at the same thing */
    LAST_USED = 16, /* folders that are looked after longer than others, and polled */
    PROMISED = 16,  /* folders that are polled since what goes from them is to be told */
    OFTEN = 60,     /* seconds between two looks that are good enough for that */
};

/* ---- what is in use ---- */

/* Who sleeps uses nothing, and the kernel's time outs stand still as well. */
static int64_t awake_ms(void)
{
    return clock_ms() - clock_slept_ms();
}

void watch_used(struct folder *f)
{
    f->watch.used_at = awake_ms();
}

/* A folder used since then is in use. */
static int64_t in_use_since(const struct account *a)
{
    int64_t hour_ago = awake_ms() - ACCOUNT_IN_USE * 1000;
    return a->watch.followed_at && a->watch.followed_at >= hour_ago ? a->watch.follow_from
                                                                    : hour_ago;
}

void account_followed(struct account *a)
{
    account_lock(a);
    a->watch.follow_from = in_use_since(a);
    a->watch.followed_at = awake_ms();
    account_unlock(a);
}

/* The folders used last, the latest first; returns their number. */
static unsigned last_used(struct account *a, struct folder *last[LAST_USED])
{
    unsigned n = 0;
    for (struct folder *f = tree_first(a); f; f = tree_next(f)) {
        unsigned at = n;
        while (at > 0 && last[at - 1]->watch.used_at < f->watch.used_at)
            at--;
        if (!f->facts.loaded || at == LAST_USED)
            continue;
        n += n < LAST_USED;
        for (unsigned i = n - 1; i > at; i--)
            last[i] = last[i - 1];
        last[at] = f;
    }
    return n;
}

/* ---- what is promised ---- */

static bool polls_often(const struct account *a)
{
    return a->config->poll && a->config->poll <= OFTEN;
}

/* Whoever asks first gets a place among the few, and keeps it as long as he goes on to ask: a walk
 * over all folders, which comes to each of them once, takes it from nobody. */
static bool has_place(struct account *a, const struct folder *f, int64_t now)
{
    unsigned n = 0;
    int64_t next = INT64_MAX;
    if (f->watch.promised_until > now)
        return true;
    if (now < a->watch.promises_full_until)
        return false;
    for (const struct folder *other = tree_first(a); other; other = tree_next(other))
        if (other->watch.promised_until > now) {
            next = other->watch.promised_until < next ? other->watch.promised_until : next;
            n++;
        }
    if (n >= PROMISED)
        a->watch.promises_full_until = next;
    return n < PROMISED;
}

/* Of a folder that is not loaded something is promised while a load runs. Should that break off,
 * nobody looks what becomes of the messages that it has named: watch_withdraw(). */
bool account_promise(struct account *a, uint32_t folder)
{
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    int64_t now = awake_ms();
    bool just_now = f && f->watch.promised_until - now > ACCOUNT_PROMISE * 1000 - 1000;
    bool may = just_now || (f && (f->facts.loaded || (f->sync && !f->sync->probe)) &&
                            (pool_tells_all(a->pool) || (polls_often(a) && has_place(a, f, now))));
    if (may && !just_now)
        f->watch.promised_until = now + ACCOUNT_PROMISE * 1000;
    account_unlock(a);
    return may;
}

void watch_unpromise(struct account *a, struct folder *f)
{
    f->watch.promised_until = 0;
    a->watch.promises_full_until = 0; /* its place is free */
}

void watch_withdraw(struct account *a, struct folder *f)
{
    if (f->watch.promised_until <= awake_ms())
        return;
    struct msgplace at = {0};
    for (struct msg *m; (m = msgtable_walk(&f->facts.msgs, &at)) != NULL;) {
        struct msg_info info;
        if (!msg_visible(m))
            continue;
        msg_describe(a, f, m, &info);
        a->hooks.msg_unsure(a->hooks.ctx, &info);
    }
    watch_unpromise(a, f);
}

/* ---- what is due ---- */

static void due(struct account *a, struct folder *f)
{
    if (!f->watch.due) {
        f->watch.due = true;
        f->watch.next_due = a->watch.due;
        a->watch.due = f;
    }
    pthread_cond_signal(&a->watch.cond);
}

void watch_folder(struct account *a, struct folder *f)
{
    if (f->facts.loaded && f->watch.hints)
        due(a, f);
}

void watch_synced(struct account *a, const struct folder *f)
{
    if (f->watch.due)
        pthread_cond_signal(&a->watch.cond);
}

void watch_tree(struct account *a)
{
    a->watch.tree_due = true;
    pthread_cond_signal(&a->watch.cond);
}

void watch_forget(struct account *a, struct folder *f)
{
    for (struct folder **at = &a->watch.due; *at; at = &(*at)->watch.next_due)
        if (*at == f) {
            *at = f->watch.next_due;
            break;
        }
    f->watch.due = false;
}

void watch_on_folders(void *account)
{
    struct account *a = account;
    account_lock(a);
    a->watch.tree_due = a->watch.tree_twice = true;
    pthread_cond_signal(&a->watch.cond);
    account_unlock(a);
}

/* A name that the server says unasked: Dovecot 2.3 says it in UTF-8 (NOTIFY's STATUS). */
static struct folder *folder_said(struct account *a, const char *name)
{
    struct folder *f = folder_by_wire(a, name);
    struct buf wire = {0};
    if (!f && utf7_encode(name, strlen(name), &wire) == 0)
        f = folder_by_wire(a, buf_str(&wire));
    buf_free(&wire);
    return f;
}

/* The state of a mailbox that no connection has selected, or perhaps one has. */
void watch_on_status(void *account, struct str mailbox, const struct mailbox_state *now)
{
    struct account *a = account;
    char *wire = mailbox.n <= LIMIT_MAILBOX_NAME ? mem_strndup(mailbox.p, mailbox.n) : NULL;
    account_lock(a);
    struct folder *f = wire ? folder_said(a, wire) : NULL;
    if (f && f->facts.loaded) {
        if ((now->uidvalidity && now->uidvalidity != f->facts.uidvalidity) ||
            now->uidnext > f->facts.uidnext ||
            (now->exists != UINT32_MAX && now->exists > f->facts.msgs.live))
            f->watch.hints |= CHANGE_EXISTS;
        if (now->exists < f->facts.msgs.live)
            f->watch.hints |= CHANGE_EXPUNGE;
        if (now->modseq > f->facts.modseq)
            f->watch.hints |= CHANGE_FLAGS;
        f->watch.thorough |= now->uidvalidity && now->uidvalidity != f->facts.uidvalidity;
        f->watch.twice = f->watch.hints != 0;
        watch_folder(a, f);
    }
    account_unlock(a);
    free(wire);
}

/* What happened since was not heard, so everything in use is looked at as soon as that is possible.
 * So are the folders used last, however long ago: a connection may have been told of them all the
 * time, and only a look has one select them again. */
void watch_on_deaf(void *account)
{
    struct account *a = account;
    struct folder *last[LAST_USED];
    account_lock(a);
    int64_t since = in_use_since(a);
    unsigned n = last_used(a, last);
    for (struct folder *f = tree_first(a); f; f = tree_next(f))
        if (f->facts.loaded &&
            (f->watch.used_at >= since || (n && f->watch.used_at >= last[n - 1]->watch.used_at))) {
            f->watch.hints |= CHANGE_EXISTS | CHANGE_FLAGS;
            due(a, f);
        }
    account_unlock(a);
}

void watch_poll(struct account *a, struct folder *f)
{
    f->watch.hints |= CHANGE_POLL;
    f->watch.thorough = true;
    due(a, f);
}

/* Also folders in which a connection is told of changes: not every server tells of all, or soon. */
static void poll_folders(struct account *a)
{
    struct folder *last[LAST_USED];
    int64_t since = in_use_since(a), now = awake_ms();
    unsigned n = last_used(a, last);
    for (unsigned i = 0; i < n && last[i]->watch.used_at >= since; i++)
        watch_poll(a, last[i]);
    bool tells_all = pool_tells_all(a->pool);
    for (struct folder *f = tree_first(a); f; f = tree_next(f))
        if (!tells_all && f->watch.promised_until > now)
            watch_poll(a, f);
}

/* Begins what is due; returns when (clock_ms()) to come again. */
static int64_t work(struct account *a)
{
    int64_t now = clock_ms(), next = INT64_MAX;
    if (a->watch.tree_due && now >= a->watch.tree_not_before) {
        a->watch.tree_due = a->watch.tree_twice;
        a->watch.tree_twice = false;
        a->watch.tree_not_before = now + SPACING;
        if (!listing_refresh(a, now))
            a->watch.tree_due = true;
    }
    if (a->watch.tree_due)
        next = a->watch.tree_not_before;
    for (struct folder **at = &a->watch.due; *at;) {
        struct folder *f = *at;
        if (f->sync || now < f->watch.not_before) {
            /* A sync that ends calls again: watch_synced(). */
            if (!f->sync && f->watch.not_before < next)
                next = f->watch.not_before;
            at = &f->watch.next_due;
            continue;
        }
        *at = f->watch.next_due;
        f->watch.due = false;
        f->watch.not_before = now + SPACING;
        bool twice = f->watch.twice;
        f->watch.twice = false;
        sync_due(a, f);
        if (twice) {
            f->watch.hints |= CHANGE_POLL;
            due(a, f);
            at = &a->watch.due; /* it was put in front */
        }
    }
    int64_t poll = (int64_t)a->config->poll * 1000;
    if (poll && now >= a->watch.poll_at) {
        if (a->watch.poll_at)
            poll_folders(a);
        a->watch.poll_at = now + poll;
        return now; /* what it has found */
    }
    return poll && a->watch.poll_at < next ? a->watch.poll_at : next;
}

static void *watch_main(void *account)
{
    struct account *a = account;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    account_lock(a);
    while (!a->watch.stop) {
        int64_t next = work(a), left = next - clock_ms();
        if (left <= 0)
            continue;
        a->watch.n_wakeups++;
        if (next == INT64_MAX) {
            pthread_cond_wait(&a->watch.cond, &a->lock);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += left / 1000;
        until.tv_nsec += left % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&a->watch.cond, &a->lock, &until);
    }
    account_unlock(a);
    return NULL;
}

void watch_init(struct account *a)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->watch.cond, &attr);
    pthread_condattr_destroy(&attr);
}

void watch_free(struct account *a)
{
    pthread_cond_destroy(&a->watch.cond);
}

int watch_start(struct account *a)
{
    int err = pthread_create(&a->watch.thread, NULL, watch_main, a);
    a->watch.started = err == 0;
    return -err;
}

void watch_stop(struct account *a)
{
    account_lock(a);
    a->watch.stop = true;
    pthread_cond_signal(&a->watch.cond);
    account_unlock(a);
    if (a->watch.started)
        pthread_join(a->watch.thread, NULL);
    a->watch.started = false;
}
