#include "imap/exec/msglimit.h"

#include <string.h>

#include "imap/base/limits.h"
#include "imap/wire/outcome.h"
#include "imap/wire/uidset.h"

/* Those of `uids` that are below m->below. */
static void left(const struct msglimit *m, const char *uids, struct uidset *set)
{
    size_t n = strlen(uids);
    bool open = n > 2 && strcmp(uids + n - 2, ":*") == 0;
    struct uidset asked = {0};
    if (uidset_parse(&asked, uids, open ? n - 2 : n) != 0)
        return;
    if (open)
        uidset_add(&asked, asked.r[0].lo, UINT32_MAX);
    for (size_t i = 0; i < asked.n && asked.r[i].lo < m->below; i++) {
        uint32_t hi = asked.r[i].hi < m->below ? asked.r[i].hi : m->below - 1;
        uidset_add(set, asked.r[i].lo, hi);
    }
    uidset_free(&asked);
}

void msglimit_uids(const struct msglimit *m, const char *uids, struct buf *out)
{
    struct uidset set = {0};
    if (m->below)
        left(m, uids, &set);
    if (set.n)
        uidset_text(&set, out);
    else
        buf_adds(out, uids);
    uidset_free(&set);
}

void msglimit_keys(const struct msglimit *m, const char *keys, struct buf *out)
{
    if (m->below)
        buf_addf(out, "UID 1:%u ", m->below - 1);
    buf_adds(out, keys);
}

/* The lowest UID that was dealt with; 0: the server does not say. */
static uint32_t lowest(const struct response *r)
{
    uint64_t uid;
    bool said = r->code_args && arg_number(r->code_args->next, UINT32_MAX, &uid);
    return said ? (uint32_t)uid : 0;
}

bool msglimit_partial(const struct response *r)
{
    return r->cond == COND_OK && code_from_name(r->code) == CODE_MESSAGELIMIT && lowest(r) != 1;
}

bool msglimit_more(struct msglimit *m, const char *uids, const struct response *r)
{
    uint32_t uid = msglimit_partial(r) ? lowest(r) : 0;
    if (!uid || (m->below && uid >= m->below) || m->parts == LIMIT_PARTS)
        return false;
    m->parts++;
    m->below = uid;
    if (!uids)
        return true;
    struct uidset set = {0};
    left(m, uids, &set);
    bool more = set.n > 0;
    uidset_free(&set);
    return more;
}
