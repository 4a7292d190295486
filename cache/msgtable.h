/* The messages of one mailbox, sorted by UID: 32 bytes each, in blocks of some hundreds, so that
 * one that comes out of order moves few others; and their labels in one run of bytes. A message has
 * the offset of its label, so that it can be saved as it is. Not thread-safe. */
#ifndef CACHE_MSGTABLE_H
#define CACHE_MSGTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/keywords.h"
#include "imap/base/buf.h"

/* Bits of msg.flags beside the FLAG_... of imap/wire/flags.h; between them is the number of the set
 * of its keywords (keywords.h). */
enum { MSG_KEYWORDS_SHIFT = 6 };
#define MSG_KEYWORDS (((1u << KEYWORDS_BITS) - 1) << MSG_KEYWORDS_SHIFT)
#define MSG_GONE                                                                                   \
    (1u << 31)                /* expunged; the slot is kept so that a late answer cannot revive it \
                               */
#define MSG_NAMED  (1u << 30) /* its header came, so its name is final */
#define MSG_SIZED  (1u << 29) /* its size was measured, not just announced */
#define MSG_STORED (1u << 28) /* the kernel was given all of it, and has not asked since */
#define MSG_LATE   (1u << 27) /* came when listings had passed its place: they have it at the end */

struct msg {
    int64_t date;  /* INTERNALDATE, seconds since the epoch */
    uint64_t size; /* bytes */
    uint32_t uid;
    uint32_t flags;
    uint32_t label; /* offset in msgtable.labels */
    int8_t resized; /* measured, it was found longer (1) or shorter (-1) than announced */
};

static inline uint32_t msg_keywords(const struct msg *m)
{
    return (m->flags & MSG_KEYWORDS) >> MSG_KEYWORDS_SHIFT;
}

/* What a message is said to hold while only reading it can tell: the kernel asks for no byte beyond
 * what it was told. */
enum { MSG_UNKNOWN_SIZE = 64 * 1024 };

/* Its size as far as is known. That a message is empty is believed once it was measured. */
static inline uint64_t msg_size(const struct msg *m)
{
    return m->size || m->flags & MSG_SIZED ? m->size : MSG_UNKNOWN_SIZE;
}

/* Neighbours: never none, ascending UIDs, gone ones included. */
struct msgblock {
    struct msg *v;
    uint32_t first; /* v[0].uid */
    uint16_t n, cap;
};

/* Zero-initialise; msgtable_clear() frees. Pointers to a struct msg live until the next add. */
struct msgtable {
    struct msgblock *blocks; /* ascending UIDs */
    size_t nblocks, blocks_cap;
    size_t n;          /* messages, gone ones included */
    size_t live;       /* not gone */
    size_t room;       /* messages that the blocks have room for */
    struct buf labels; /* NUL-terminated strings; offset 0 is "" */
    size_t garbage;    /* bytes of labels that nobody refers to */
    bool failed;       /* memory was refused, so something is left out; for the caller to clear */
};

/* NULL when the UID is not known, or gone. */
struct msg *msgtable_find(const struct msgtable *t, uint32_t uid);

/* Finds or inserts. NULL when the UID is known to be gone, the table is full (LIMIT_MESSAGES), or
 * memory is, which sets `failed`. Constant time for ascending UIDs, and nearly so for any others.
 */
struct msg *msgtable_add(struct msgtable *t, uint32_t uid);

/* Is the UID known, be it as gone? */
bool msgtable_knows(const struct msgtable *t, uint32_t uid);

void msgtable_remove(struct msgtable *t, struct msg *m);

/* The message is there after all; all but its UID is forgotten. */
void msgtable_revive(struct msgtable *t, struct msg *m);

/* The first message with a UID over `uid` that is not gone; NULL at the end. */
struct msg *msgtable_after(const struct msgtable *t, uint32_t uid);

/* The last message with a UID under `uid` that is not gone; NULL at the beginning. */
struct msg *msgtable_before(const struct msgtable *t, uint32_t uid);

/* Walks over all messages, gone ones included, in the order of their UIDs: NULL at the end.
 * Zero-initialise the place; nothing may be added on the way. */
struct msgplace {
    size_t block, i;
};
struct msg *msgtable_walk(const struct msgtable *t, struct msgplace *at);

/* The highest UID known, be it as gone; 0 when there is none. */
uint32_t msgtable_last(const struct msgtable *t);

const char *msgtable_label(const struct msgtable *t, const struct msg *m);

/* Makes sure that the next label of at most so many bytes can be set. False, and `failed` is set,
 * when there is no memory. */
bool msgtable_label_room(struct msgtable *t, size_t len);

/* When there is no memory it has none, and `failed` is set. */
void msgtable_set_label(struct msgtable *t, struct msg *m, const char *label, size_t len);

/* Gives back the room of gone messages, and what blocks leave empty, when it is much. Only when no
 * answer that may speak of them is under way. */
void msgtable_compact(struct msgtable *t);

/* The bytes the table holds, for the status. */
size_t msgtable_bytes(const struct msgtable *t);

void msgtable_clear(struct msgtable *t);

#endif
