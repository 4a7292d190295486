/* The table of FUSE operations, for fuse_session_new(), whose user data is a struct fs. */
#ifndef FS_OPS_H
#define FS_OPS_H

#include <fuse_lowlevel.h>

extern const struct fuse_lowlevel_ops fs_ops;

#endif
