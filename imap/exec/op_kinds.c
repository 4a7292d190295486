/* How an operation of each kind is made and freed; nothing of what it does. */
#include "imap/exec/op_kinds.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

#include "imap/base/mem.h"
#include "imap/exec/op_mailbox.h"
#include "imap/exec/op_message.h"
#include "imap/exec/op_read.h"

static size_t room_of(enum op_kind kind)
{
    switch (kind) {
    case OP_MOVE:
    case OP_COPY:
    case OP_APPEND:
    case OP_DELETE:
    case OP_STORE:
        return OP_PROGRESS_CHANGE;
    default:
        return OP_PROGRESS;
    }
}

/* One allocation: the operation, and behind it room for its progress. */
static void *new_op(enum op_kind kind, size_t size, const char *mailbox, uint32_t uidvalidity)
{
    size_t at = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    struct op *op = mem_zalloc(at + room_of(kind));
    op->kind = kind;
    op->mailbox = mailbox ? mem_strdup(mailbox) : NULL;
    op->uidvalidity = uidvalidity;
    op->progress = (char *)op + at;
    return op;
}

#define NEW(name, kind, mailbox, uidvalidity)                                                      \
    struct op_##name *o = new_op(kind, sizeof *o, mailbox, uidvalidity)

struct op_list *op_list_new(void)
{
    NEW(list, OP_LIST, NULL, 0);
    return o;
}

struct op_check *op_check_new(const char *mailbox)
{
    NEW(check, OP_CHECK, mailbox, 0);
    return o;
}

struct op_meta *op_meta_new(const char *mailbox, uint32_t uidvalidity, char *uids)
{
    NEW(meta, OP_META, mailbox, uidvalidity);
    o->uids = uids;
    return o;
}

struct op_flags *op_flags_new(const char *mailbox, uint32_t uidvalidity, char *uids)
{
    NEW(flags, OP_FLAGS, mailbox, uidvalidity);
    o->uids = uids;
    return o;
}

struct op_search *op_search_new(const char *mailbox, uint32_t uidvalidity, char *keys)
{
    NEW(search, OP_SEARCH, mailbox, uidvalidity);
    o->keys = keys;
    return o;
}

struct op_body *op_body_new(const char *mailbox, uint32_t uidvalidity)
{
    NEW(body, OP_BODY, mailbox, uidvalidity);
    return o;
}

struct op_bodies *op_bodies_new(const char *mailbox, uint32_t uidvalidity)
{
    NEW(bodies, OP_BODIES, mailbox, uidvalidity);
    return o;
}

struct op_header *op_header_new(const char *mailbox, uint32_t uidvalidity, char *fields)
{
    NEW(header, OP_HEADER, mailbox, uidvalidity);
    o->fields = fields;
    return o;
}

struct op_quota *op_quota_new(const char *mailbox)
{
    NEW(quota, OP_QUOTA, mailbox, 0);
    return o;
}

struct op_move *op_move_new(const char *mailbox, uint32_t uidvalidity, const char *dest)
{
    NEW(move, OP_MOVE, mailbox, uidvalidity);
    o->dest = mem_strdup(dest);
    return o;
}

struct op_copy *op_copy_new(const char *mailbox, uint32_t uidvalidity, const char *dest)
{
    NEW(copy, OP_COPY, mailbox, uidvalidity);
    o->dest = mem_strdup(dest);
    return o;
}

struct op_delete *op_delete_new(const char *mailbox, uint32_t uidvalidity)
{
    NEW(delete, OP_DELETE, mailbox, uidvalidity);
    return o;
}

struct op_store *op_store_new(const char *mailbox, uint32_t uidvalidity)
{
    NEW(store, OP_STORE, mailbox, uidvalidity);
    return o;
}

struct op_append *op_append_new(const char *mailbox, struct blob *bytes)
{
    NEW(append, OP_APPEND, mailbox, 0);
    o->bytes = bytes;
    return o;
}

struct op_create *op_create_new(const char *mailbox)
{
    NEW(create, OP_CREATE, mailbox, 0);
    return o;
}

struct op_remove *op_remove_new(const char *mailbox, uint32_t uidvalidity, char delim)
{
    NEW(remove, OP_REMOVE, mailbox, uidvalidity);
    o->delim = delim;
    return o;
}

struct op_rename *op_rename_new(const char *mailbox, const char *dest, char delim)
{
    NEW(rename, OP_RENAME, mailbox, 0);
    o->dest = mem_strdup(dest);
    o->delim = delim;
    return o;
}

/* ---- freeing ---- */

static void free_move(struct op_move *o)
{
    free(o->dest);
    uidset_free(&o->uids);
    uidset_free(&o->spare);
    uidset_free(&o->gone);
    uidset_free(&o->flagged);
    uidmap_free(&o->copies);
}

static void free_copy(struct op_copy *o)
{
    free(o->dest);
    uidset_free(&o->uids);
    uidset_free(&o->copied);
    uidmap_free(&o->copies);
}

static void free_delete(struct op_delete *o)
{
    uidset_free(&o->uids);
    uidset_free(&o->spare);
    uidset_free(&o->gone);
    uidset_free(&o->flagged);
}

static void free_search(struct op_search *o)
{
    free(o->keys);
    uidset_free(&o->found);
}

static void free_header(struct op_header *o)
{
    free(o->fields);
    uidset_free(&o->uids);
}

static void free_store(struct op_store *o)
{
    uidset_free(&o->uids);
    uidset_free(&o->stored);
    flag_change_free(&o->change);
}

static void free_append(struct op_append *o)
{
    free(o->flags);
    blob_unref(o->bytes);
}

static void free_owned(struct op *op)
{
    switch (op->kind) {
    case OP_META:
        free(op_as_meta(op)->uids);
        return;
    case OP_FLAGS:
        free(op_as_flags(op)->uids);
        return;
    case OP_SEARCH:
        free_search(op_as_search(op));
        return;
    case OP_BODIES:
        uidset_free(&op_as_bodies(op)->uids);
        return;
    case OP_HEADER:
        free_header(op_as_header(op));
        return;
    case OP_MOVE:
        free_move(op_as_move(op));
        return;
    case OP_COPY:
        free_copy(op_as_copy(op));
        return;
    case OP_DELETE:
        free_delete(op_as_delete(op));
        return;
    case OP_STORE:
        free_store(op_as_store(op));
        return;
    case OP_APPEND:
        free_append(op_as_append(op));
        return;
    case OP_REMOVE:
        uidset_free(&op_as_remove(op)->spare);
        return;
    case OP_RENAME:
        free(op_as_rename(op)->dest);
        return;
    default:
        return; /* it owns nothing else */
    }
}

void op_free(struct op *op)
{
    if (!op)
        return;
    free_owned(op);
    free(op->mailbox);
    free(op);
}
