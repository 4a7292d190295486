#include "imap/sasl.h"

#include <errno.h>
#include <gsasl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "imap/clock.h"
#include "imap/limits.h"
#include "imap/mem.h"
#include "imap/str.h"

enum { TRIAL = 50000 }; /* rounds that tell how long more of them take: some 25 ms */

struct sasl {
    Gsasl *lib;
    Gsasl_session *session;
    bool scram;
    Gsasl_hash hash; /* of SCRAM */
    int64_t deadline;
};

struct sasl *sasl_start(const char *mech, const char *user, const char *password, const char *host,
                        int64_t deadline, struct buf *why)
{
    struct sasl *s = mem_zalloc(sizeof *s);
    s->scram = strncasecmp(mech, "SCRAM-", 6) == 0;
    s->hash = strncasecmp(mech, "SCRAM-SHA-1", 11) == 0 ? GSASL_HASH_SHA1 : GSASL_HASH_SHA256;
    s->deadline = deadline;
    if (gsasl_init(&s->lib) != GSASL_OK ||
        gsasl_client_start(s->lib, mech, &s->session) != GSASL_OK) {
        buf_addf(why, "the authentication mechanism %s is not supported here", mech);
        sasl_free(s);
        return NULL;
    }
    gsasl_property_set(s->session, GSASL_AUTHID, user);
    gsasl_property_set(s->session, GSASL_PASSWORD, password);
    gsasl_property_set(s->session, GSASL_SERVICE, "imap");
    gsasl_property_set(s->session, GSASL_HOSTNAME, host);
    return s;
}

/* ---- what SCRAM's server asks for (RFC 5802 section 7) ---- */

/* How long `rounds` of hashing the password take here, in ms. */
static int64_t estimate(const struct sasl *s, uint64_t rounds)
{
    char salted[GSASL_HASH_MAX_SIZE], client[GSASL_HASH_MAX_SIZE], server[GSASL_HASH_MAX_SIZE],
        stored[GSASL_HASH_MAX_SIZE];
    int64_t began = clock_ms();
    gsasl_scram_secrets_from_password(s->hash, "a password of this length", TRIAL, "salt", 4,
                                      salted, client, server, stored);
    return (clock_ms() - began) * (int64_t)(rounds / TRIAL);
}

static int check_rounds(const struct sasl *s, struct str digits, struct buf *why)
{
    uint64_t rounds = 0;
    for (size_t i = 0; i < digits.n && digits.p[i] >= '0' && digits.p[i] <= '9'; i++)
        if (rounds <= LIMIT_SCRAM_ROUNDS)
            rounds = rounds * 10 + (uint64_t)(digits.p[i] - '0');
    if (rounds > LIMIT_SCRAM_ROUNDS) {
        buf_addf(why, "the server wants more than %u rounds of hashing (SCRAM)",
                 LIMIT_SCRAM_ROUNDS);
        return -EPROTO;
    }
    int64_t left = s->deadline - clock_ms();
    if (rounds > TRIAL && estimate(s, rounds) > left) {
        buf_addf(why,
                 "the server wants %" PRIu64 " rounds of hashing (SCRAM), which take longer than "
                 "the login may (timeout=)",
                 rounds);
        return -EPROTO;
    }
    return 0;
}

/* Once libgsasl has it, nothing ends the hashing, and a server that says "e=" has refused the
 * login, as one does that says NO. */
static int check_challenge(const struct sasl *s, const char *challenge, struct buf *why)
{
    char *text = NULL;
    size_t len = 0;
    int err = 0;
    if (gsasl_base64_from(challenge, strlen(challenge), &text, &len) != GSASL_OK)
        return 0; /* libgsasl will not understand it either */
    for (size_t at = 0; at < len && !err;) {
        const char *end = memchr(text + at, ',', len - at);
        struct str field = {text + at, end ? (size_t)(end - text) - at : len - at};
        if (field.n > 2 && memcmp(field.p, "i=", 2) == 0) {
            err = check_rounds(s, (struct str){field.p + 2, field.n - 2}, why);
        } else if (at == 0 && field.n > 2 && memcmp(field.p, "e=", 2) == 0) {
            buf_addf(why, "login refused: " STR_FMT, (int)field.n - 2, field.p + 2);
            err = -EACCES;
        }
        at += field.n + 1;
    }
    gsasl_free(text);
    return err;
}

/* ---- the exchange ---- */

int sasl_step(struct sasl *s, const char *challenge, struct buf *out, struct buf *why)
{
    char *answer = NULL;
    int err = s->scram ? check_challenge(s, challenge, why) : 0;
    if (err)
        return err;
    int r = gsasl_step64(s->session, challenge, &answer);
    if (r == GSASL_OK || r == GSASL_NEEDS_MORE) {
        buf_adds(out, answer);
        explicit_bzero(answer, strlen(answer));
        gsasl_free(answer);
        return r == GSASL_OK;
    }
    buf_addf(why, "the server's part of %s makes no sense",
             gsasl_mechanism_name(s->session) ? gsasl_mechanism_name(s->session) : "SASL");
    return -EPROTO;
}

int sasl_client_first(const char *mech)
{
    return strcasecmp(mech, "PLAIN") == 0 || strncasecmp(mech, "SCRAM-", 6) == 0 ||
           strcasecmp(mech, "EXTERNAL") == 0 || strcasecmp(mech, "ANONYMOUS") == 0;
}

void sasl_free(struct sasl *s)
{
    if (!s)
        return;
    if (s->session)
        gsasl_finish(s->session);
    if (s->lib)
        gsasl_done(s->lib);
    free(s);
}
