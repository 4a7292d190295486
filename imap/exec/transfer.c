#include "imap/exec/transfer.h"

#include "imap/conn/handler.h"

struct uidmap *transfer_copies(const struct op *op, uint32_t **validity)
{
    if (op->kind == OP_MOVE) {
        *validity = &op_as_move(op)->copies_validity;
        return &op_as_move(op)->copies;
    }
    *validity = &op_as_copy(op)->copies_validity;
    return &op_as_copy(op)->copies;
}

static struct uidmap *copies_of(const struct op *op)
{
    uint32_t *validity;
    return transfer_copies(op, &validity);
}

void transfer_finish(struct conn *c, struct op *op, int err)
{
    if (op->kind == OP_MOVE)
        delete_finish(c, op, err);
    else
        conn_finish(c, op, deletion_error(&transfer_of(op)->deletion, err));
}

void transfer_give_up(struct op *op, const struct uidset *uids, int err)
{
    struct transfer *t = transfer_of(op);
    if (uids->n && !t->deletion.err)
        t->deletion.err = err;
    uidset_cut(&t->left, uids);
}

void transfer_moved(struct op *op, const struct uidset *uids)
{
    struct transfer *t = transfer_of(op);
    uidset_join(&t->deletion.gone, uids);
    uidset_cut(&t->left, uids);
}

void transfer_named(const struct op *op, struct uidset *out)
{
    const struct uidmap *copies = copies_of(op);
    for (size_t i = 0; i < copies->n; i++)
        if (uidset_has(&transfer_of(op)->left, copies->pairs[i].from))
            uidset_add(out, copies->pairs[i].from, copies->pairs[i].from);
}

void transfer_divide(const struct op *op, struct uidset *found, struct uidset *missing)
{
    look_found(op, found);
    uidset_keep(found, &transfer_of(op)->left);
    uidset_join(missing, &transfer_of(op)->left);
    uidset_cut(missing, found);
}

void transfer_see_nothing(struct op *op)
{
    look_forget(&transfer_of(op)->look);
    uidset_free(&transfer_of(op)->seen);
}

void transfer_begin(struct op *op, const struct uidset *uids)
{
    struct transfer *t = transfer_of(op);
    if (!t->begun)
        uidset_join(&t->left, uids);
    t->begun = true;
}

void transfer_judged(struct op *op)
{
    struct transfer *t = transfer_of(op);
    struct uidset there = {0}, not_there = {0};
    uint32_t *validity;
    struct uidmap *copies = transfer_copies(op, &validity);
    arrival_there(op, &there);
    arrival_not(op, &not_there);
    if (there.n && *validity != t->arrival.uidvalidity_now)
        uidmap_free(copies); /* what an earlier COPY was told is of another life of the mailbox */
    for (size_t i = 0; i < t->arrival.n; i++)
        if (t->arrival.travellers[i].fate == FATE_THERE)
            uidmap_put(copies, t->arrival.travellers[i].uid, t->arrival.travellers[i].there);
    if (there.n)
        *validity = t->arrival.uidvalidity_now;
    uidset_join(&t->copied, &there);
    uidset_cut(&t->left, &there);
    struct uidset unclear = {0};
    uidset_join(&unclear, &t->left);
    uidset_cut(&unclear, &not_there);
    transfer_give_up(op, &unclear, t->arrival.fail);
    uidset_free(&there);
    uidset_free(&not_there);
    uidset_free(&unclear);
}

void transfer_proven(struct op *op)
{
    struct transfer *t = transfer_of(op);
    struct uidset proven = {0};
    transfer_named(op, &proven);
    if (!proven.n) {
        uidset_join(&proven, &t->seen);
        uidset_join(&proven, &t->look.there);
        uidset_keep(&proven, &t->left);
    }
    uidset_join(&t->copied, &proven);
    uidset_cut(&t->left, &proven);
    uidset_free(&proven);
}

void transfer_learn_uid(struct op *op)
{
    const struct transfer *t = transfer_of(op);
    uint32_t *validity, uid = arrival_new_uid(op);
    struct uidmap *copies = transfer_copies(op, &validity);
    if (!uid || uidset_count(&t->copied) != 1 || uidmap_get(copies, t->copied.r[0].lo))
        return;
    uidmap_put(copies, t->copied.r[0].lo, uid);
    *validity = t->arrival.uidvalidity;
}

struct search *transfer_search(const struct op *op)
{
    return &transfer_of(op)->search;
}

struct look *transfer_look(const struct op *op)
{
    return &transfer_of(op)->look;
}

struct deletion *transfer_deletion(const struct op *op)
{
    return &transfer_of(op)->deletion;
}

struct arrival *transfer_arrival(const struct op *op)
{
    return &transfer_of(op)->arrival;
}

void transfer_free(struct transfer *t)
{
    uidset_free(&t->left);
    uidset_free(&t->seen);
    uidset_free(&t->copied);
    deletion_free(&t->deletion);
    look_forget(&t->look);
    search_begin(&t->search);
    arrival_free(&t->arrival);
}
