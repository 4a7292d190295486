#include "imap/pool/prompt.h"

#include "imap/base/log.h"

enum {
    /* Who tells once a minute tells one in twelve within five seconds by chance, and misses the
     * others: three in a row are no chance. */
    PROVEN = 3,
    MOST = 4,   /* what once was proven is doubted after the second miss */
    MISSED = 2, /* a miss weighs more than a hit */
    /* ms: no miss counts so soon behind a change of this mount's, which an honest server may not
     * have noticed yet (Dovecot 2.3 takes half a second) */
    JUST_NOW = 2000,
};

static void set_score(struct prompt *p, unsigned score)
{
    bool was = prompt_proven(p);
    p->score = score;
    if (was != prompt_proven(p))
        log_info("the server tells of changes %s", was ? "late: it is asked" : "at once");
}

void prompt_told(struct prompt *p, int64_t since, int64_t now)
{
    if (since && now - since <= PROMPT_AT_ONCE && p->score < MOST)
        set_score(p, p->score + 1);
}

void prompt_missed(struct prompt *p, int64_t now)
{
    if (!p->own_at || now - p->own_at > JUST_NOW)
        set_score(p, p->score > MISSED ? p->score - MISSED : 0);
}

bool prompt_proven(const struct prompt *p)
{
    return p->score >= PROVEN;
}
