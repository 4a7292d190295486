/* Where messages went that this mount moved: the kernel and open files still know them by their old
 * numbers, and the user by the name he gave them. Bounded; what falls out is found by its new name.
 */
#include "cache/internal.h"

#include <stdlib.h>

#include "imap/mem.h"

enum { MOVED_MAX = 65536 };

struct moved {
    uint64_t from; /* generation and UID */
    uint64_t to;
    UT_hash_handle hh;
};

struct alias {
    uint32_t uid;
    UT_hash_handle hh;
    char key[]; /* generation in hex, '/', name */
};

static uint64_t number(uint32_t gen, uint32_t uid)
{
    return (uint64_t)gen << 32 | uid;
}

static void alias_key(struct buf *key, uint32_t gen, const char *name)
{
    buf_addf(key, "%x/%s", gen, name);
}

static struct alias *find_alias(struct account *a, uint32_t gen, const char *name)
{
    struct buf key = {0};
    struct alias *al;
    alias_key(&key, gen, name);
    HASH_FIND_STR(a->aliases, buf_str(&key), al);
    buf_free(&key);
    return al;
}

static void alias_drop(struct account *a, struct alias *al)
{
    HASH_DEL(a->aliases, al);
    free(al);
}

static void note_alias(struct account *a, uint32_t gen, uint32_t uid, const char *name)
{
    struct buf key = {0};
    alias_key(&key, gen, name);
    struct alias *al;
    HASH_FIND_STR(a->aliases, buf_str(&key), al);
    if (al)
        alias_drop(a, al);
    al = mem_alloc(sizeof *al + key.len + 1);
    memcpy(al->key, buf_str(&key), key.len + 1);
    al->uid = uid;
    buf_free(&key);
    HASH_ADD_STR(a->aliases, key, al);
    if (HASH_COUNT(a->aliases) > MOVED_MAX)
        alias_drop(a, a->aliases); /* the oldest: uthash keeps the order of insertion */
}

void moved_note(struct account *a, uint32_t gen, uint32_t uid, uint32_t new_gen, uint32_t new_uid,
                const char *name)
{
    uint64_t from = number(gen, uid);
    struct moved *m;
    HASH_FIND(hh, a->moved, &from, sizeof from, m);
    if (m) {
        HASH_DEL(a->moved, m);
        free(m);
    }
    m = mem_zalloc(sizeof *m);
    m->from = from;
    m->to = number(new_gen, new_uid);
    HASH_ADD(hh, a->moved, from, sizeof from, m);
    if (HASH_COUNT(a->moved) > MOVED_MAX) {
        struct moved *oldest = a->moved;
        HASH_DEL(a->moved, oldest);
        free(oldest);
    }
    if (name)
        note_alias(a, new_gen, new_uid, name);
}

bool moved_follow(struct account *a, uint32_t *gen, uint32_t *uid)
{
    uint64_t from = number(*gen, *uid);
    struct moved *m;
    HASH_FIND(hh, a->moved, &from, sizeof from, m);
    if (!m)
        return false;
    *gen = (uint32_t)(m->to >> 32);
    *uid = (uint32_t)m->to;
    return true;
}

/* "4711.eml" is the message with that UID, if there is or was one: then nobody else goes by that
 * name, or it would mean another message each time that one comes or goes. */
static bool is_anothers(const char *name, uint32_t uid, uint32_t uidnext)
{
    char *end;
    uint64_t other = *name >= '1' && *name <= '9' ? strtoull(name, &end, 10) : 0;
    return other > uid && other < uidnext && strcmp(end, ".eml") == 0;
}

uint32_t moved_alias(struct account *a, const struct folder *f, const char *name)
{
    struct alias *al = find_alias(a, f->gen, name);
    if (!al)
        return 0;
    if (is_anothers(name, al->uid, f->uidnext)) {
        alias_drop(a, al);
        return 0;
    }
    return al->uid;
}

void moved_free(struct account *a)
{
    struct moved *m, *mt;
    HASH_ITER (hh, a->moved, m, mt) {
        HASH_DEL(a->moved, m);
        free(m);
    }
    struct alias *al, *at;
    HASH_ITER (hh, a->aliases, al, at)
        alias_drop(a, al);
}
