#include "fs/fs.h"

#include <string.h>

#include "fs/events.h"
#include "fs/name.h"
#include "fs/reading.h"
#include "fs/status.h"
#include "fs/textfile.h"

struct node node_of(fuse_ino_t ino)
{
    uint32_t high = (uint32_t)(ino >> 32), low = (uint32_t)ino;
    if (ino == INO_ROOT)
        return (struct node){NODE_FOLDER, ACCOUNT_ROOT, 0};
    if (ino == INO_CONTROL)
        return (struct node){NODE_CONTROL, 0, 0};
    if (ino == INO_STATUS)
        return (struct node){NODE_STATUS, 0, 0};
    if (ino == INO_EVENTS)
        return (struct node){NODE_EVENTS, 0, 0};
    if (low == 0)
        return (struct node){NODE_FOLDER, high, 0};
    return (struct node){NODE_MESSAGE, high, low};
}

fuse_ino_t ino_folder(uint32_t id)
{
    return id == ACCOUNT_ROOT ? INO_ROOT : (fuse_ino_t)id << 32;
}

fuse_ino_t ino_message(uint32_t gen, uint32_t uid)
{
    return (fuse_ino_t)gen << 32 | uid;
}

static void attr_common(const struct fs *fs, struct stat *st, mode_t type, mode_t mode)
{
    memset(st, 0, sizeof *st);
    if (fs->opt->umask_given)
        mode = (S_ISDIR(type) ? 0777 : 0666) & ~fs->opt->umask;
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

void attr_message(const struct fs *fs, const struct msg_info *m, fuse_ino_t ino, struct stat *st)
{
    attr_common(fs, st, S_IFREG, 0600);
    st->st_ino = ino ? ino : ino_message(m->gen, m->uid);
    st->st_size = (off_t)m->size;
    st->st_blocks = (blkcnt_t)((m->size + 511) / 512);
    st->st_mtime = st->st_ctime = st->st_atime = m->date;
}

void attr_control(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
    if (ino == INO_CONTROL)
        attr_common(fs, st, S_IFDIR, 0500);
    else
        attr_common(fs, st, S_IFREG, 0400);
    if (!fs->opt->umask_given)
        st->st_mode &= ~(mode_t)0222;
    st->st_ino = ino;
    if (ino == INO_STATUS)
        textfile_stat(fs->status, st);
    else if (ino == INO_EVENTS)
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
    case NODE_FOLDER:
        err = account_folder(fs->account, n.id, &f);
        if (!err)
            attr_folder(fs, &f, st);
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
    case NODE_STATUS:
        status_refresh_old(fs);
        /* fall through */
    case NODE_EVENTS:
        *timeout = 0;
        attr_control(fs, ino, st);
        break;
    default:
        attr_control(fs, ino, st);
        break;
    }
    return err;
}

size_t message_name(const struct fs *fs, const struct msg_info *m, char out[static 256])
{
    if (fs->opt->names_uid || !m->named)
        return name_uid_only(out, m->uid);
    return name_compose(out, m->date, m->label, m->uid);
}
