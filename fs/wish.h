/* Moves that ask for a name which is another message's (modify.c).
 *
 * To the kernel such a rename(2) replaces the other message: with the answer it takes the one that
 * was moved for what is called so, and tells those who watch the other one that it is gone. It can
 * be told better only after the answer, and who looks in between sees the wrong mail. So the first
 * attempt is answered ESTALE. Upon that the kernel looks up both names anew and tries once more, as
 * it does for every call that takes a path. Then the look-up of the target finds nothing, and that
 * of the source what may be believed no longer than for this one call. So nothing is replaced, and
 * whoever asks for the name after the move asks us. */
#ifndef FS_WISH_H
#define FS_WISH_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <sys/types.h>

struct wishes;

/* A rename(2) by the thread `tid` of `name` in the directory `ino` to `name2` in `ino2`. */
struct wish {
    pid_t tid;
    fuse_ino_t ino, ino2;
    const char *name, *name2;
};

struct wishes *wishes_new(void);
void wishes_free(struct wishes *ws);

/* The first attempt is about to be answered ESTALE. */
void wish_put(struct wishes *ws, const struct wish *w);

/* The thread calls rename(2): is it the second attempt? Either way none is expected any more. */
bool wish_take(struct wishes *ws, const struct wish *w);

/* What a name is that the thread looks up, between the two attempts. */
enum wish_name { WISH_NONE, WISH_SOURCE, WISH_TARGET };
enum wish_name wish_name(struct wishes *ws, pid_t tid, fuse_ino_t parent, const char *name);

#endif
