/* What a scene asks for, as operations. For scene.h. */
#ifndef TESTS_UNIT_SCENE_MAKE_H
#define TESTS_UNIT_SCENE_MAKE_H

#include "tests/unit/scene_want.h"

static inline char *text_of(const struct want *w)
{
    return w->text ? mem_strdup(w->text) : NULL;
}

static inline void parse_set(struct uidset *set, const char *text)
{
    if (text && *text)
        assert_int_equal(uidset_parse(set, text, strlen(text)), 0);
}

/* The UIDs that are to be changed. */
static inline void uids_of(const struct want *w, struct uidset *set)
{
    uint32_t uid = w->uid ? w->uid : 5;
    if (w->uids)
        parse_set(set, w->uids);
    else
        uidset_add(set, uid, uid);
}

/* "+FLAGS (\\Seen $Junk)" */
static inline void read_change(struct flag_change *change, const char *text)
{
    change->how = *text == '+' ? FLAGS_ADD : *text == '-' ? FLAGS_REMOVE : FLAGS_REPLACE;
    text += strcspn(text, "(") + 1;
    while (*text != ')') {
        size_t n = strcspn(text, " )");
        assert_int_equal(flag_change_add(change, (struct str){text, n}), 0);
        text += n + strspn(text + n, " ");
    }
}

static inline struct op *make_read(const struct want *w, const char *mailbox)
{
    switch (w->kind) {
    case OP_LIST: {
        struct op_list *o = op_list_new();
        o->on_list = on_list;
        return &o->op;
    }
    case OP_CHECK: {
        struct op_check *o = op_check_new(mailbox);
        o->op.uidvalidity = w->uidvalidity;
        o->modseq = w->modseq;
        o->modseq_validity = w->modseq ? 7 : 0;
        o->thorough = w->thorough;
        o->changed = w->changed;
        return &o->op;
    }
    case OP_META: {
        struct op_meta *o = op_meta_new(mailbox, w->uidvalidity, text_of(w));
        o->refresh = w->refresh;
        return &o->op;
    }
    case OP_FLAGS: {
        struct op_flags *o = op_flags_new(mailbox, w->uidvalidity, text_of(w));
        o->modseq = w->modseq;
        return &o->op;
    }
    case OP_SEARCH: {
        struct op_search *o = op_search_new(mailbox, w->uidvalidity, text_of(w));
        o->refresh = w->refresh;
        return &o->op;
    }
    case OP_BODY: {
        struct op_body *o = op_body_new(mailbox, w->uidvalidity);
        o->uid = w->uid ? w->uid : 5;
        o->off = w->off;
        o->len = w->len;
        o->whole = w->whole;
        o->mark_seen = w->mark_seen;
        o->on_bytes = on_body;
        return &o->op;
    }
    case OP_BODIES: {
        struct op_bodies *o = op_bodies_new(mailbox, w->uidvalidity);
        parse_set(&o->uids, w->uids);
        o->len = w->len;
        o->on_bytes = on_bodies;
        return &o->op;
    }
    case OP_HEADER: {
        struct op_header *o = op_header_new(mailbox, w->uidvalidity, text_of(w));
        parse_set(&o->uids, w->uids);
        o->on_bytes = on_header;
        return &o->op;
    }
    default:
        return &op_quota_new(mailbox)->op;
    }
}

static inline struct op *make_append(const struct want *w, const char *mailbox)
{
    struct buf bytes = {0};
    buf_adds(&bytes, w->append);
    memset(buf_reserve(&bytes, w->append_more), 'x', w->append_more);
    struct op_append *o = op_append_new(mailbox, blob_copy(bytes.data, bytes.len + w->append_more));
    buf_free(&bytes);
    o->flags = text_of(w);
    return &o->op;
}

static inline struct op *make_change(const struct want *w, const char *mailbox)
{
    switch (w->kind) {
    case OP_MOVE: {
        struct op_move *o = op_move_new(mailbox, w->uidvalidity, w->dest);
        uids_of(w, &o->uids);
        parse_set(&o->spare, w->spare);
        o->dest_uidnext = w->uidnext;
        o->dest_uidvalidity = w->uidnext ? 7 : 0;
        return &o->op;
    }
    case OP_COPY: {
        struct op_copy *o = op_copy_new(mailbox, w->uidvalidity, w->dest);
        uids_of(w, &o->uids);
        return &o->op;
    }
    case OP_DELETE: {
        struct op_delete *o = op_delete_new(mailbox, w->uidvalidity);
        uids_of(w, &o->uids);
        parse_set(&o->spare, w->spare);
        return &o->op;
    }
    case OP_STORE: {
        struct op_store *o = op_store_new(mailbox, w->uidvalidity);
        uids_of(w, &o->uids);
        read_change(&o->change, w->text);
        return &o->op;
    }
    case OP_APPEND:
        return make_append(w, mailbox);
    case OP_CREATE:
        return &op_create_new(mailbox)->op;
    case OP_REMOVE: {
        struct op_remove *o = op_remove_new(mailbox, w->uidvalidity, w->delim);
        parse_set(&o->spare, w->spare);
        return &o->op;
    }
    case OP_RENAME:
        return &op_rename_new(mailbox, w->dest, w->delim)->op;
    default:
        return NULL;
    }
}

static inline struct op *make_op(const struct want *w, struct result *r)
{
    const char *mailbox = w->mailbox ? w->mailbox : "A";
    struct op *op = make_change(w, mailbox);
    op = op ? op : make_read(w, mailbox);
    op->patient = w->patient;
    op->done = on_done;
    op->ctx = r;
    return op;
}

#endif
