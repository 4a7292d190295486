#include "fs/xattr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/header.h"
#include "fs/request.h"
#include "imap/base/mem.h"
#include "imap/wire/flags.h"

#define PREFIX "user.imap."

enum which {
    MSG_UID,
    MSG_FLAGS,
    MSG_FROM,
    MSG_TO,
    MSG_SUBJECT,
    MSG_DATE,
    MSG_MESSAGE_ID,
    DIR_MAILBOX,
    DIR_UIDVALIDITY,
    DIR_MESSAGES,
    DIR_UNSEEN,
    DIR_SPECIAL_USE,
};

static const struct {
    const char *name;
    enum node_kind kind;
    const char *field; /* the header field it comes from, one of ACCOUNT_FIELDS */
} table[] = {
    [MSG_UID] = {"uid", NODE_MESSAGE, NULL},
    [MSG_FLAGS] = {"flags", NODE_MESSAGE, NULL},
    [MSG_FROM] = {"from", NODE_MESSAGE, "From"},
    [MSG_TO] = {"to", NODE_MESSAGE, "To"},
    [MSG_SUBJECT] = {"subject", NODE_MESSAGE, "Subject"},
    [MSG_DATE] = {"date", NODE_MESSAGE, "Date"},
    [MSG_MESSAGE_ID] = {"message-id", NODE_MESSAGE, "Message-ID"},
    [DIR_MAILBOX] = {"mailbox", NODE_FOLDER, NULL},
    [DIR_UIDVALIDITY] = {"uidvalidity", NODE_FOLDER, NULL},
    [DIR_MESSAGES] = {"messages", NODE_FOLDER, NULL},
    [DIR_UNSEEN] = {"unseen", NODE_FOLDER, NULL},
    [DIR_SPECIAL_USE] = {"special-use", NODE_FOLDER, NULL},
};

enum { COUNT = sizeof table / sizeof *table };

/* The attribute of that name that this kind of node has, or COUNT. */
static unsigned find_attr(const char *name, enum node_kind kind)
{
    unsigned i = COUNT;
    if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
        for (i = 0; i < COUNT; i++)
            if (table[i].kind == kind && strcmp(name + strlen(PREFIX), table[i].name) == 0)
                break;
    return i;
}

/* ---- reading ---- */

/* A value as getxattr(2) wants it: its size, or its bytes if they fit. */
static void answer_value(struct request *r, const char *value, size_t len)
{
    if (r->size == 0)
        request_xattr_size(r, len);
    else if (len > r->size)
        request_err(r, -ERANGE);
    else
        request_bytes(r, value, len);
}

/* As it can be set again: a keyword may begin with what else means "add". */
static void flags_value(struct account *a, struct node n, struct buf *value)
{
    struct buf flags = {0};
    account_flags(a, n.id, n.uid, &flags);
    if (flags.len && strchr("+-", flags.data[0]))
        buf_addc(value, ' ');
    buf_add(value, flags.data, flags.len);
    buf_free(&flags);
}

static void message_step(struct request *r)
{
    struct node n = node_of(r->ino);
    struct msg_info m;
    struct folder_info f;
    struct buf value = {0};
    int err = r->err ? r->err : account_msg(r->fs->account, n.id, n.uid, &m);
    /* Flags change: a folder that is known is looked at, of one that is not the message alone. */
    if (!err && r->which == MSG_FLAGS) {
        if (account_folder(r->fs->account, m.folder, &f) == 0 && f.loaded)
            err = account_sync(r->fs->account, m.folder, TRUST_RECENT, r->began, &r->w);
        else
            err = account_find(r->fs->account, m.folder, m.uid, TRUST_RECENT, r->began, &m, &r->w);
    }
    if (!err && table[r->which].field)
        err = account_header(r->fs->account, n.id, n.uid, &r->out, &r->w);
    if (err == -EINPROGRESS)
        return;
    if (err) {
        request_err(r, err);
        return;
    }
    if (r->which == MSG_UID)
        buf_addf(&value, "%u", m.uid);
    else if (r->which == MSG_FLAGS)
        flags_value(r->fs->account, n, &value);
    else if (r->out.len)
        header_text(r->out.data, r->out.len, table[r->which].field, &value);
    answer_value(r, buf_str(&value), value.len);
    buf_free(&value);
}

/* Is there such an attribute? The account's top is no mailbox, and some levels hold no messages. */
static bool folder_has(const struct folder_detail *d, unsigned which)
{
    if (which == DIR_MAILBOX)
        return *d->mailbox;
    if (which == DIR_SPECIAL_USE)
        return *d->special_use;
    return d->selectable;
}

static void folder_step(struct request *r)
{
    struct node n = node_of(r->ino);
    struct account *a = r->fs->account;
    struct folder_detail d;
    struct buf value = {0};
    int err = r->err;
    /* All but the name are learnt by looking into the folder. */
    if (!err && r->which != DIR_MAILBOX && r->which != DIR_SPECIAL_USE)
        err = account_sync(a, n.id, TRUST_RECENT, r->began, &r->w);
    if (err == -EINPROGRESS)
        return;
    if (!err)
        err = account_folder_detail(a, n.id, &d);
    if (!err && !folder_has(&d, r->which)) {
        err = -ENODATA;
        free(d.mailbox);
    }
    if (err) {
        request_err(r, err);
        return;
    }
    if (r->which == DIR_MAILBOX)
        buf_adds(&value, d.mailbox);
    else if (r->which == DIR_UIDVALIDITY)
        buf_addf(&value, "%u", d.uidvalidity);
    else if (r->which == DIR_MESSAGES)
        buf_addf(&value, "%zu", d.messages);
    else if (r->which == DIR_UNSEEN)
        buf_addf(&value, "%zu", d.unseen);
    else
        buf_adds(&value, d.special_use);
    free(d.mailbox);
    answer_value(r, buf_str(&value), value.len);
    buf_free(&value);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct node n = node_of(ino);
    unsigned which = find_attr(name, n.kind);
    if (which == COUNT) {
        /* "Not supported" is remembered by ls(1) for the whole file system; "no such attribute"
         * would have it ask for security.selinux and ACLs once for every message. */
        fuse_reply_err(req, strncmp(name, "user.", 5) == 0 ? ENODATA : EOPNOTSUPP);
        return;
    }
    struct request *r = request_new(req, n.kind == NODE_MESSAGE ? message_step : folder_step);
    r->ino = ino;
    r->size = size;
    r->which = which;
    request_run(r);
}

/* Programs that copy (cp -a, rsync -X, tar --xattrs, mv to another file system) read all that is
 * named here, of every file, and write it to the copy and, when that comes back, to us. So named is
 * what they get at no cost, what is true of the copy, too, and what can be set: the flags. The rest
 * is told to who asks for it by name. */
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    static const char flags[] = PREFIX "flags"; /* with its NUL */
    size_t len = node_of(ino).kind == NODE_MESSAGE ? sizeof flags : 0;
    if (size == 0)
        fuse_reply_xattr(req, len);
    else if (len > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, flags, len);
}

/* ---- writing flags ---- */

static void setflags_step(struct request *r)
{
    struct node n = node_of(r->ino);
    if (r->woken) {
        request_err(r, r->err);
        return;
    }
    struct flag_change change = {0};
    int err = flag_change_read(&change, r->out.data, r->out.len);
    if (!err)
        err = account_store(r->fs->account, n.id, n.uid, &change, &r->w);
    flag_change_free(&change);
    if (err != -EINPROGRESS)
        request_err(r, err);
}

/* Every attribute that a node can have is there: none can be made (XATTR_CREATE), and what is none
 * cannot be replaced. */
static int may_set(unsigned which, const char *name, int flags)
{
    if (which == COUNT)
        return flags & XATTR_REPLACE && strncmp(name, "user.", 5) == 0 ? -ENODATA : -EOPNOTSUPP;
    if (flags & XATTR_CREATE)
        return -EEXIST;
    return which == MSG_FLAGS ? 0 : -EPERM;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                 int flags)
{
    struct node n = node_of(ino);
    unsigned which = find_attr(name, n.kind);
    int err = may_set(which, name, flags);
    struct flag_change change = {0};
    if (!err)
        err = flag_change_read(&change, value, size);
    flag_change_free(&change);
    if (err) {
        fuse_reply_err(req, -err);
        return;
    }
    struct request *r = request_new(req, setflags_step);
    r->ino = ino;
    buf_add(&r->out, value, size);
    request_run(r);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    bool known = find_attr(name, node_of(ino).kind) != COUNT;
    fuse_reply_err(req, known ? EPERM : ENODATA);
}
