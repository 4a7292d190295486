/* The messages of a folder: finding and listing them, and telling upward what became of them. */
#ifndef CACHE_MESSAGES_H
#define CACHE_MESSAGES_H

#include "cache/account.h"
#include "cache/msgtable.h"

struct folder;

/* Generation and UID in one number: the key to what is kept of a message. */
static inline uint64_t msg_number(uint32_t gen, uint32_t uid)
{
    return (uint64_t)gen << 32 | uid;
}

/* The message by number, moves followed; NULL when it is gone. */
struct msg *msg_by_number(struct account *a, uint32_t gen, uint32_t uid, struct folder **f);

/* May it be seen: there, and not flagged \Deleted? */
bool msg_visible(const struct msg *m);

void msg_describe(const struct account *a, const struct folder *f, const struct msg *m,
                  struct msg_info *out);

/* A message that was visible is so no more: says it upward. */
void msg_tell_gone(struct account *a, struct folder *f, const struct msg *m);

/* Takes a message out of the folder and says so upward. */
void msg_drop(struct account *a, struct folder *f, struct msg *m);

/* As msgtable_add(); what is new changes the folder's version. A message that comes behind its time
 * to a folder that is being loaded, so that who lists it may have passed its place already, is
 * MSG_LATE. */
struct msg *folder_add(struct folder *f, uint32_t uid);

/* As msgtable_revive(); what is there again changes the folder's version, as with folder_add(). */
void folder_revive(struct folder *f, struct msg *m);

/* The message that follows in a listing: those that came in time in the order of their UIDs, and
 * then, once the folder is loaded, those that are late. So a listing that overtakes the load has
 * all, and each once, in whatever order they come. */
struct msg *folder_next(const struct folder *f, uint64_t place);
uint64_t msg_place(const struct msg *m);

/* Says upward that the folder has changed, if it has. */
void folder_tell(struct account *a, struct folder *f);

/* As folder_tell(), after all of the folder has become known: the first time that is no change. */
void folder_meet(struct account *a, struct folder *f);

/* Says upward what became of a message. */
void folder_event(struct account *a, const struct folder *f, const struct msg *m,
                  enum account_event what);

/* Forgets all messages and begins a new generation; the folder must be loaded anew. A sync that is
 * under way, unless it is the caller's own, is ended with sync_reset(). */
void folder_forget(struct account *a, struct folder *f);

#endif
