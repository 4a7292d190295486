#include "imap/conn/sasl.h"

#include <errno.h>
#include <gsasl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/mem.h"
#include "imap/base/str.h"

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

/* ---- base64 ---- */

int sasl_decode(const char *base64, struct buf *out)
{
    char *bytes = NULL;
    size_t len = 0;
    if (*base64 && gsasl_base64_from(base64, strlen(base64), &bytes, &len) != GSASL_OK)
        return -EPROTO;
    buf_add(out, bytes, len);
    buf_str(out);
    gsasl_free(bytes);
    return 0;
}

int sasl_encode(const char *bytes, size_t len, struct buf *out)
{
    char *base64 = NULL;
    size_t n = 0;
    int r = gsasl_base64_to(bytes, len, &base64, &n);
    if (r == GSASL_OK) {
        buf_add(out, base64, n);
        buf_str(out);
        explicit_bzero(base64, n);
    }
    gsasl_free(base64);
    return r == GSASL_OK ? 0 : -EPROTO;
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

/* The words of "e=" that have a meaning; others could repeat the password. */
static const char *error_name(struct str value)
{
    static const char *const names[] = {
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(value, names[i]))
            return names[i];
    return "other-error";
}

/* Once libgsasl has it, nothing ends the hashing, and a server that says "e=" has refused the
 * login, as one does that says NO. */
static int check_challenge(const struct sasl *s, struct str text, struct buf *why)
{
    int err = 0;
    for (size_t at = 0; at < text.n && !err;) {
        const char *end = memchr(text.p + at, ',', text.n - at);
        struct str field = {text.p + at, end ? (size_t)(end - text.p) - at : text.n - at};
        if (field.n > 2 && memcmp(field.p, "i=", 2) == 0) {
            err = check_rounds(s, (struct str){field.p + 2, field.n - 2}, why);
        } else if (at == 0 && field.n > 2 && memcmp(field.p, "e=", 2) == 0) {
            buf_addf(why, "login refused: %s", error_name((struct str){field.p + 2, field.n - 2}));
            err = -EACCES;
        }
        at += field.n + 1;
    }
    return err;
}

/* ---- the exchange ---- */

int sasl_step(struct sasl *s, const char *challenge, struct buf *out, struct buf *why)
{
    struct buf in = {0};
    char *answer = NULL;
    size_t len = 0;
    int r = GSASL_OK, err = sasl_decode(challenge, &in);
    if (!err && s->scram)
        err = check_challenge(s, (struct str){in.data, in.len}, why);
    if (!err) {
        /* Not gsasl_step64(): some mechanisms take what they get for a string, and what that one
         * decodes has no NUL. */
        r = gsasl_step(s->session, buf_str(&in), in.len, &answer, &len);
        err = r == GSASL_OK || r == GSASL_NEEDS_MORE ? 0 : -EPROTO;
    }
    if (!err)
        err = sasl_encode(answer ? answer : "", len, out);
    if (answer)
        explicit_bzero(answer, len);
    gsasl_free(answer);
    buf_free(&in);
    if (err && !why->len)
        buf_addf(why, "the server's part of %s makes no sense",
                 gsasl_mechanism_name(s->session) ? gsasl_mechanism_name(s->session) : "SASL");
    return err ? err : r == GSASL_OK;
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
