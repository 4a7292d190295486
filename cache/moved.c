/* Where messages went that this mount moved: the kernel and open files still know them by their old
 * numbers, and the user by the name he gave them. Bounded; what falls out is found by its new name.
 *
 * Where that is, is noted as the server said it, by a UID under a UIDVALIDITY, and holds for one
 * generation of the folder, the first that is known under that UIDVALIDITY: not in a folder that
 * was made anew, be it under the same one, nor in the one before it when the server spoke of the
 * new one. */
#include "cache/moved.h"

#include <stdlib.h>
#include <uthash.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "imap/base/mem.h"

enum { MOVED_MAX = 65536 };

/* Where a message is now. */
struct target {
    uint32_t folder, uidvalidity, uid; /* folder.id and so on */
    uint32_t gen;                      /* of the folder; 0: not known under that UIDVALIDITY yet */
};

struct moved {
    uint64_t from; /* generation and UID */
    struct target to;
    UT_hash_handle hh;
};

struct alias {
    struct target to;
    uint32_t name_of; /* the UID whose message is called so by itself; 0: none */
    UT_hash_handle hh;
    char key[]; /* folder.id and UIDVALIDITY in hex, each with '/' behind it, then the name */
};

/* Is `f` the folder that the target is in, in its generation? That is the first one asked about
 * which is known under the UIDVALIDITY. */
static bool is_in(struct target *to, const struct folder *f)
{
    if (f->id != to->folder || f->facts.uidvalidity != to->uidvalidity)
        return false;
    if (!to->gen)
        to->gen = f->gen;
    return f->gen == to->gen;
}

static void alias_key(struct buf *key, uint32_t folder, uint32_t uidvalidity, const char *name)
{
    buf_addf(key, "%x/%x/%s", folder, uidvalidity, name);
}

static struct alias *find_alias(struct account *a, const struct folder *f, const char *name)
{
    struct buf key = {0};
    struct alias *al;
    alias_key(&key, f->id, f->facts.uidvalidity, name);
    HASH_FIND_STR(a->moves.aliases, buf_str(&key), al);
    buf_free(&key);
    return al;
}

static void alias_drop(struct account *a, struct alias *al)
{
    HASH_DEL(a->moves.aliases, al);
    free(al);
}

static void note_alias(struct account *a, const struct target *to, const char *name,
                       uint32_t name_of)
{
    struct buf key = {0};
    alias_key(&key, to->folder, to->uidvalidity, name);
    struct alias *al;
    HASH_FIND_STR(a->moves.aliases, buf_str(&key), al);
    if (al)
        alias_drop(a, al);
    al = mem_alloc(sizeof *al + key.len + 1);
    memcpy(al->key, buf_str(&key), key.len + 1);
    al->to = *to;
    al->name_of = name_of;
    buf_free(&key);
    HASH_ADD_STR(a->moves.aliases, key, al);
    if (HASH_COUNT(a->moves.aliases) > MOVED_MAX)
        alias_drop(a, a->moves.aliases); /* the oldest: uthash keeps the order of insertion */
}

void moved_note(struct account *a, uint32_t gen, uint32_t uid, const struct folder *dest,
                uint32_t new_uid, uint32_t new_uidvalidity, const char *name, uint32_t name_of)
{
    if (!new_uid || !new_uidvalidity)
        return;
    uint64_t from = msg_number(gen, uid);
    struct moved *m;
    HASH_FIND(hh, a->moves.moved, &from, sizeof from, m);
    if (m) {
        HASH_DEL(a->moves.moved, m);
        free(m);
    }
    m = mem_zalloc(sizeof *m);
    m->from = from;
    m->to = (struct target){.folder = dest->id, .uidvalidity = new_uidvalidity, .uid = new_uid};
    is_in(&m->to, dest); /* its generation, if it is known */
    HASH_ADD(hh, a->moves.moved, from, sizeof from, m);
    if (HASH_COUNT(a->moves.moved) > MOVED_MAX) {
        struct moved *oldest = a->moves.moved;
        HASH_DEL(a->moves.moved, oldest);
        free(oldest);
    }
    if (name)
        note_alias(a, &m->to, name, name_of);
}

bool moved_follow(struct account *a, uint32_t *gen, uint32_t *uid)
{
    uint64_t from = msg_number(*gen, *uid);
    struct moved *m;
    HASH_FIND(hh, a->moves.moved, &from, sizeof from, m);
    const struct folder *f = m ? folder_by_id(a, m->to.folder) : NULL;
    if (!f || !is_in(&m->to, f))
        return false;
    *gen = f->gen;
    *uid = m->to.uid;
    return true;
}

/* Is or was there another message that has the name by itself? Then nobody else goes by it, or it
 * would mean another message each time that one comes or goes. */
static bool is_anothers(const struct alias *al, uint32_t uidnext)
{
    return al->name_of > al->to.uid && al->name_of < uidnext;
}

uint32_t moved_alias(struct account *a, const struct folder *f, const char *name)
{
    struct alias *al = find_alias(a, f, name);
    if (!al)
        return 0;
    if (!is_in(&al->to, f) || is_anothers(al, f->facts.uidnext)) {
        alias_drop(a, al);
        return 0;
    }
    return al->to.uid;
}

void moved_free(struct account *a)
{
    struct moved *m, *mt;
    HASH_ITER (hh, a->moves.moved, m, mt) {
        HASH_DEL(a->moves.moved, m);
        free(m);
    }
    struct alias *al, *at;
    HASH_ITER (hh, a->moves.aliases, al, at)
        alias_drop(a, al);
}
