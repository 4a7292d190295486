#include "fs/xattr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/header.h"
#include "fs/request.h"
#include "imap/flags.h"
#include "imap/limits.h"
#include "imap/mem.h"

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
    const char *field; /* the header field it comes from */
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

enum {
    COUNT = sizeof table / sizeof *table,
    COMMAND_REST = 64, /* bytes of a STORE beside the flags: tag, command, UID */
};

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

static void message_step(struct request *r)
{
    struct node n = node_of(r->ino);
    struct msg_info m;
    struct folder_info f;
    struct buf value = {0};
    int err = r->err ? r->err : account_msg(r->fs->account, n.id, n.uid, &m);
    /* Flags change: a folder that is known is looked at, of one that is not the message alone. */
    if (!err && r->which == MSG_FLAGS) {
        int64_t since = r->began - STALE_MESSAGES;
        if (account_folder(r->fs->account, m.folder, &f) == 0 && f.loaded)
            err = account_sync(r->fs->account, m.folder, since, &r->w);
        else
            err = account_find(r->fs->account, m.folder, m.uid, since, &m, &r->w);
    }
    if (err == -EINPROGRESS)
        return;
    if (!err && table[r->which].field && !r->woken) {
        err = account_header(r->fs->account, n.id, n.uid, table[r->which].field, &r->out, &r->w);
        if (err == -EINPROGRESS)
            return;
    }
    if (err) {
        request_err(r, err);
        return;
    }
    if (r->which == MSG_UID)
        buf_addf(&value, "%u", m.uid);
    else if (r->which == MSG_FLAGS)
        account_flags(r->fs->account, n.id, n.uid, &value);
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
        err = account_sync(a, n.id, r->began - STALE_MESSAGES, &r->w);
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

/* Appends the names that getxattr answers, each with its NUL. */
static int list_names(struct fs *fs, struct node n, struct buf *list)
{
    struct folder_detail d = {0};
    int err = n.kind == NODE_FOLDER ? account_folder_detail(fs->account, n.id, &d) : 0;
    for (unsigned i = 0; i < COUNT && !err; i++)
        if (table[i].kind == n.kind && (n.kind != NODE_FOLDER || folder_has(&d, i))) {
            buf_adds(list, PREFIX);
            buf_adds(list, table[i].name);
            buf_addc(list, '\0');
        }
    free(d.mailbox);
    return err;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct buf list = {0};
    int err = list_names(fuse_req_userdata(req), node_of(ino), &list);
    if (err)
        fuse_reply_err(req, -err);
    else if (size == 0)
        fuse_reply_xattr(req, list.len);
    else if (list.len > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, list.data, list.len);
    buf_free(&list);
}

/* ---- writing flags ---- */

/* A server must not have system flags of its own (RFC 3501 section 9, "flag-extension"), and
 * \Recent is not the client's to set. */
static bool may_be_set(struct str flag)
{
    if (!flag_valid(flag) || flag.n > LIMIT_KEYWORD)
        return false;
    return *flag.p != '\\' || (flag_from_name(flag) & ~(unsigned)FLAG_RECENT);
}

/* "+\Flagged", "-\Seen $Junk", or the whole list, as STORE takes it. -E2BIG when it is more than a
 * command may have. */
static int store_text(const char *value, size_t len, struct buf *out)
{
    size_t i = 0;
    if (len && (value[0] == '+' || value[0] == '-'))
        buf_addc(out, value[i++]);
    buf_adds(out, "FLAGS (");
    bool first = true;
    while (i < len) {
        struct str flag = {value + i, 0};
        while (i < len && value[i] != ' ' && value[i] != '\n')
            i++;
        flag.n = (size_t)(value + i - flag.p);
        i++;
        if (!flag.n)
            continue;
        if (!may_be_set(flag))
            return -EINVAL;
        if (!first)
            buf_addc(out, ' ');
        buf_add(out, flag.p, flag.n);
        first = false;
    }
    buf_addc(out, ')');
    if (first && out->data[0] != 'F')
        return -EINVAL; /* "+" of nothing */
    return out->len > LIMIT_COMMAND - COMMAND_REST ? -E2BIG : 0;
}

static void setflags_step(struct request *r)
{
    struct node n = node_of(r->ino);
    if (r->woken) {
        request_err(r, r->err);
        return;
    }
    int err = account_store(r->fs->account, n.id, n.uid, buf_str(&r->out), &r->w);
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
    struct buf text = {0};
    if (!err)
        err = store_text(value, size, &text);
    if (err) {
        buf_free(&text);
        fuse_reply_err(req, -err);
        return;
    }
    struct request *r = request_new(req, setflags_step);
    r->ino = ino;
    r->out = text;
    request_run(r);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    bool known = find_attr(name, node_of(ino).kind) != COUNT;
    fuse_reply_err(req, known ? EPERM : ENODATA);
}
