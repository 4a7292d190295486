#include "imap/exec/look.h"

#include <stdlib.h>

#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/search.h"
#include "imap/wire/fetch.h"
#include "imap/wire/flags.h"

void look_forget(struct look *l)
{
    uidset_free(&l->asked);
    uidset_free(&l->there);
    uidset_free(&l->deleted);
    free(l->seats);
    *l = (struct look){0};
}

void look_ask_rows(struct conn *c, struct op *op, const struct uidset *uids, int step)
{
    struct look *l = op_class(op)->look(op);
    look_forget(l);
    uidset_join(&l->asked, uids);
    struct buf *b = conn_begin(c, op, step, WANT_LOOK);
    buf_adds(b, "UID FETCH ");
    uidset_text(uids, b);
    buf_adds(b, " (UID FLAGS)");
    conn_end(c);
}

void look_ask(struct conn *c, struct op *op, const struct uidset *uids, int step)
{
    look_ask_rows(c, op, uids, LOOK_ROW);
    search_begin(op_class(op)->search(op));
    struct buf *b = conn_begin(c, op, step, WANT_SEARCH);
    buf_adds(b, "UID SEARCH UID ");
    uidset_text(uids, b);
    conn_end(c);
}

void look_found(const struct op *op, struct uidset *found)
{
    const struct look *l = op_class(op)->look(op);
    struct uidset named = {0};
    uidset_join(&named, &l->asked);
    uidset_keep(&named, &op_class(op)->search(op)->found);
    uidset_join(&named, &l->there);
    uidset_keep(&named, &l->asked);
    uidset_join(found, &named);
    uidset_free(&named);
}

int look_error(const struct op *op, const struct response *r)
{
    const struct look *l = op_class(op)->look(op);
    struct uidset unseen = {0};
    uidset_join(&unseen, &l->asked);
    uidset_cut(&unseen, &l->there);
    bool all = unseen.n == 0;
    uidset_free(&unseen);
    if (all)
        return 0;
    int err = outcome_errno(r);
    return err ? err : search_error(op_class(op)->search(op), r);
}

bool look_is_exact(const struct conn *c)
{
    return caps_has(&c->caps, CAP_UIDPLUS) || pool_uids(c->pool) == UIDS_EXACT;
}

void look_ask_nearest(struct conn *c, struct op *op)
{
    if (pool_uids(c->pool) != UIDS_UNKNOWN || !c->box.state.exists)
        return;
    buf_addf(conn_begin(c, op, LOOK_NEAREST, WANT_NEAREST), "UID FETCH %u (UID)", UINT32_MAX);
    conn_end(c);
}

void look_answered(struct conn *c, int step, const struct response *r)
{
    bool any = c->box.state.exists > 0;
    if (step == LOOK_NEAREST && r->cond == COND_OK && any && pool_uids(c->pool) == UIDS_UNKNOWN)
        pool_note_uids(c->pool, UIDS_EXACT);
}

/* ---- rows ---- */

static void seat(struct look *l, uint32_t uid, uint32_t number)
{
    size_t i = 0;
    while (i < l->nseats && l->seats[i].uid != uid)
        i++;
    if (i == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 1;
        l->seats = mem_realloc(l->seats, l->cap * sizeof *l->seats);
    }
    l->nseats += i == l->nseats;
    l->seats[i] = (struct seat){uid, number};
}

uint32_t look_unseat(struct look *l, uint32_t number)
{
    uint32_t uid = 0;
    size_t n = 0;
    for (size_t i = 0; i < l->nseats; i++) {
        struct seat s = l->seats[i];
        if (s.number == number && !uid) {
            uid = s.uid;
            continue;
        }
        s.number -= s.number > number;
        l->seats[n++] = s;
    }
    l->nseats = n;
    return uid;
}

/* Only the answer to the oldest command can be meant by a row that tells nothing but a UID. */
static void note_nearest(const struct conn *c, const struct fetch_row *row)
{
    if (!c->cmds || c->cmds->want != WANT_NEAREST || row->has || row->uid == UINT32_MAX ||
        pool_uids(c->pool) == UIDS_NEAREST)
        return;
    log_info("the server answers for the next message when it is asked for a UID that none has");
    pool_note_uids(c->pool, UIDS_NEAREST);
}

void look_row(struct conn *c, struct fetch_row *row)
{
    bool deleted = row->has & FETCH_FLAGS && row->flags & FLAG_DELETED;
    note_nearest(c, row);
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        const struct op_class *class = op ? op_class(op) : NULL;
        if (!class || !class->look || !uidset_has(class->uids(op), row->uid))
            continue;
        if (cmd->want == WANT_LOOK || cmd->want == WANT_MESSAGE) {
            struct look *l = class->look(op);
            uidset_add(&l->there, row->uid, row->uid);
            if (deleted)
                uidset_add(&l->deleted, row->uid, row->uid);
            if (row->seq) /* 0 means nothing */
                seat(l, row->uid, row->seq);
        }
        /* That it is being deleted is told when it is done, or not at all. */
        if (deleted && class->deletion)
            row->has &= ~(unsigned)FETCH_FLAGS;
    }
}
