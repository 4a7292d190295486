#include "fs/attr.h"

#include <errno.h>
#include <string.h>

#include "fs/events.h"
#include "fs/reading.h"
#include "fs/status.h"
#include "fs/textfile.h"

static void attr_common(const struct fs *fs, struct stat *st, mode_t type, mode_t mode)
{
    memset(st, 0, sizeof *st);
    if (fs->opt->attr.umask >= 0)
        mode = (S_ISDIR(type) ? 0777 : 0666) & ~(mode_t)fs->opt->attr.umask;
    st->st_mode = type | mode;
    st->st_uid = fs->uid;
    st->st_gid = fs->gid;
    st->st_nlink = 1; /* of a directory: "not counted", so that find(1) looks */
    st->st_blksize = 128 * 1024;
    st->st_mtime = st->st_ctime = st->st_atime = fs->mounted_at;
}

void attr_folder(const struct fs *fs, const struct folder_info *f, struct stat *st)
{
    attr_common(fs, st, S_IFDIR, 0700);
    st->st_ino = ino_folder(f->id);
    if (f->changed)
        st->st_mtime = st->st_ctime = st->st_atime = f->changed;
}

/* No directory is in it, so its links can be counted. */
void attr_view(const struct fs *fs, const struct folder_info *f, uint8_t view, struct stat *st)
{
    attr_folder(fs, f, st);
    st->st_ino = ino_of((struct node){.kind = NODE_VIEW, .view = view, .id = f->id});
    st->st_nlink = 2;
}

void attr_message(const struct fs *fs, const struct msg_info *m, fuse_ino_t ino, struct stat *st)
{
    attr_common(fs, st, S_IFREG, 0600);
    st->st_ino = ino ? ino : ino_message(m->gen, m->uid);
    st->st_size = (off_t)m->size;
    st->st_blocks = (blkcnt_t)((m->size + 511) / 512);
    st->st_mtime = st->st_ctime = st->st_atime = m->date;
}

void attr_control(struct fs *fs, struct node n, struct stat *st)
{
    if (n.kind == NODE_CONTROL)
        attr_common(fs, st, S_IFDIR, 0500);
    else
        attr_common(fs, st, S_IFREG, 0400);
    if (fs->opt->attr.umask < 0)
        st->st_mode &= ~(mode_t)0222;
    st->st_ino = ino_of(n);
    if (n.kind == NODE_STATUS)
        textfile_stat(fs->status, st);
    else if (n.kind == NODE_EVENTS)
        events_stat(fs, st);
}

double attr_timeout(const struct msg_info *m)
{
    return m->doubtful ? 0 : TIMEOUT_MESSAGE;
}

int attr_now(struct fs *fs, fuse_ino_t ino, pid_t tid, struct stat *st, double *timeout)
{
    struct node n = node_of(ino);
    struct msg_info m;
    struct folder_info f;
    int err = 0;
    *timeout = TIMEOUT_OTHER;
    switch (n.kind) {
    case NODE_NONE:
        err = -ESTALE;
        break;
    case NODE_FOLDER:
        err = account_folder(fs->account, n.id, &f);
        if (!err)
            attr_folder(fs, &f, st);
        break;
    case NODE_VIEW:
        err = account_folder(fs->account, n.id, &f);
        if (!err)
            attr_view(fs, &f, n.view, st);
        break;
    case NODE_MESSAGE:
        err = account_msg(fs->account, n.id, n.uid, &m);
        if (!err) {
            attr_message(fs, &m, ino, st);
            if (!m.sized)
                reading_told(fs->reading, ino, tid);
            *timeout = attr_timeout(&m);
        }
        break;
    case NODE_CONTROL:
        attr_control(fs, n, st);
        break;
    case NODE_STATUS:
        status_refresh_old(fs);
        /* fall through */
    case NODE_EVENTS:
        *timeout = 0;
        attr_control(fs, n, st);
        break;
    }
    return err;
}
