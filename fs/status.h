/* .imapfs/status: what the mount is doing, made anew each time the file is opened. */
#ifndef FS_STATUS_H
#define FS_STATUS_H

#include "fs/fs.h"

void status_open(fuse_req_t req, struct fuse_file_info *fi);
void status_read(fuse_req_t req, size_t size, off_t off, const struct fuse_file_info *fi);
void status_release(const struct fs *fs, const struct fuse_file_info *fi);

#endif
